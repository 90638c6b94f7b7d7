"""The state of an approximate index that somebody forged is refused, or searched without an error."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import forging
import numpy as np
import pytest
import torch
from children import in_child

from headrace.search.ann import AnnIndex
from headrace.search.ann.faiss_finder import load_faiss

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


def forged_bytes(draw: np.random.Generator, data: torch.Tensor) -> torch.Tensor:
    """A copy that is cut short, or has other bits, numbers or bytes somewhere, half the time in its head."""
    bytes_ = data.numpy().copy()
    place = int(draw.integers(min(len(bytes_), draw.choice([400, len(bytes_)]))))
    match int(draw.integers(5)):
        case 0:
            return torch.from_numpy(bytes_[:place].copy())
        case 1:
            bytes_[place] ^= 1 << draw.integers(8)
        case 2:
            bytes_[place : place + 20] = draw.integers(256, size=len(bytes_[place : place + 20]))
        case kind:
            number = draw.choice([-1, 0, 1, len(ITEMS), 2**31 - 1, -(2**31), *([2**40, 2**62] if kind == 3 else [])])
            word = np.array([number], np.int64 if kind == 3 else np.int32).view(np.uint8)
            bytes_[place : place + len(word)] = word[: len(bytes_) - place]
    return torch.from_numpy(bytes_)


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("method", ["ivf", "ivfpq", "hnsw"])
def test_forged_bytes_of_faiss(method: str, metric: str) -> None:
    pytest.importorskip("faiss")
    index = AnnIndex(ITEMS, metric=metric, method=method, fallback="never")
    state = index.state()

    def refused_of_many() -> int:
        refused = 0
        for seed in range(100):
            try:
                forged = state | {"faiss": forged_bytes(np.random.default_rng(seed), state["faiss"])}
                again = AnnIndex.from_state(ITEMS, None, forged)
            except (ValueError, TypeError):
                refused += 1
                continue
            scores, ids = again.search(ITEMS[:9], 5)
            assert ((ids >= -1) & (ids < len(ITEMS))).all(), seed
            assert not scores.isnan().any(), seed
        return refused

    # A search of what should have been refused ends the process.
    assert in_child(refused_of_many) > 40


def crafted(index: AnnIndex, change: Callable[[Any, Any], object]) -> dict[str, torch.Tensor]:
    """The state of `index` after a change to FAISS's own object."""
    faiss = load_faiss()
    state = index.state()
    held = faiss.deserialize_index(state["faiss"].numpy())
    change(faiss, held)
    return state | {"faiss": torch.from_numpy(faiss.serialize_index(held))}


def enter_elsewhere(faiss: Any, held: Any) -> None:
    held.hnsw.entry_point = 10**6


def link_elsewhere(faiss: Any, held: Any) -> None:
    links = faiss.vector_to_array(held.hnsw.neighbors)
    links[0] = len(ITEMS)
    faiss.copy_array_to_vector(links, held.hnsw.neighbors)


def climb(faiss: Any, held: Any) -> None:
    """A link of the upper layer to a node that is on the lowest alone."""
    levels, links = (faiss.vector_to_array(part) for part in (held.hnsw.levels, held.hnsw.neighbors))
    high, low = int((levels > 1).argmax()), int((levels == 1).argmax())
    links[held.hnsw.offsets.at(high) + held.hnsw.cum_nb_neighbors(1)] = low
    faiss.copy_array_to_vector(links, held.hnsw.neighbors)


def other_id(faiss: Any, held: Any) -> None:
    held.remove_ids(np.array([3]))
    held.add_with_ids(np.zeros((1, held.d), np.float32), np.array([10**6]))


def same_id_twice(faiss: Any, held: Any) -> None:
    held.remove_ids(np.array([3]))
    held.add_with_ids(np.zeros((1, held.d), np.float32), np.array([4]))


def fewer_centres(faiss: Any, held: Any) -> None:
    centres = faiss.downcast_index(held.quantizer)
    centres.remove_ids(np.array([0]))


def no_numbers(faiss: Any, held: Any) -> None:
    held.remove_ids(np.array([len(ITEMS) - 1]))
    held.add(np.full((1, held.d), np.finfo(np.float32).max, np.float32))


@pytest.mark.parametrize(
    ("method", "change", "words"),
    [
        ("hnsw", enter_elsewhere, "entry_point 1000000|enter at a node of the top layer, got node 1000000"),
        ("hnsw", link_elsewhere, r"neighbors\[0\] = 300|links of -1 to 299, got -1 to 300"),
        ("hnsw", climb, "links to nodes of the same layer"),
        ("ivf", other_id, "every item from 0 to 299 in one list"),
        ("ivfpq", same_id_twice, "every item from 0 to 299 in one list"),
        ("ivf", fewer_centres, "quantizer: expected"),
        ("ivf", no_numbers, "lists: expected numbers of at most"),
    ],
)
def test_parts_of_faiss_that_do_not_fit(method: str, change: Callable[[Any, Any], object], words: str) -> None:
    pytest.importorskip("faiss")
    index = AnnIndex(ITEMS, method=method, fallback="never")
    with pytest.raises(ValueError, match=words):
        AnnIndex.from_state(ITEMS, None, crafted(index, change))
