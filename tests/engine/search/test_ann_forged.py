"""The state of an approximate index that somebody forged is refused, or searched without an error."""

from __future__ import annotations

import json

import forging
import numpy as np
import pytest
import torch

from headrace.search.ann import AnnIndex

ITEMS = torch.randn(300, 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_forged_hash_tables(metric: str) -> None:
    index = AnnIndex(ITEMS, metric=metric, method="lsh", fallback="never", n_tables=3)
    refused = 0
    for seed in range(150):
        draw = np.random.default_rng(seed)
        state = index.state()
        name = list(state)[draw.integers(len(state))]
        state[name] = forging.forged_tensor(draw, state[name])
        try:
            again = AnnIndex.from_state(ITEMS, None, state)
        except (ValueError, TypeError, KeyError):
            refused += 1
            continue
        for batch in (1, 9):
            scores, ids = again.search(ITEMS[:batch], 5)
            assert ((ids >= -1) & (ids < len(ITEMS))).all(), (seed, name)
            assert not scores.isnan().any(), (seed, name)
    assert refused > 75


@pytest.mark.parametrize("faster", [[], [True], [1, 0, 1, 0], "yes", None])
def test_measurements_of_another_kind_are_refused(faster: object) -> None:
    state = AnnIndex(ITEMS, method="lsh").state()
    known = {**json.loads(state["about"].numpy().tobytes()), "faster_exact": faster}
    state["about"] = torch.from_numpy(np.frombuffer(json.dumps(known).encode(), np.uint8).copy())
    with pytest.raises(ValueError, match=r"faster_exact|list"):
        AnnIndex.from_state(ITEMS, None, state)
