"""Every public call of the kernels that runs on a backend takes it, and its threads, by keyword, and checks both."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from headrace import kernels
from headrace.kernels.network.instructions import Rows

OFFSETS, CODES = torch.tensor([0, 2]), torch.zeros(2, 1, dtype=torch.int32)
PAIR, ONE = torch.randn(2, 3), torch.tensor([0])
LISTS = (PAIR, torch.rand(2), OFFSETS, 1)


def _index() -> kernels.TopKIndex:
    return kernels.TopKIndex(PAIR)


def _edges(**parts: Any) -> kernels.Edges:
    return kernels.Edges(torch.tensor([0, 1]), ONE, torch.ones(1), **parts)


def _path_model() -> kernels.PathModel:
    weights = [torch.zeros(4, 3)], [torch.zeros(4)], [torch.zeros(5, 4)], [torch.zeros(5)]
    return kernels.PathModel(torch.zeros(0, 5, 2), *weights)


def _pair_table() -> kernels.PairTable:
    return kernels.PairTable(OFFSETS, torch.tensor([0, 1]).int(), torch.zeros(3, 2), None)


def _program() -> kernels.Program:
    rows = kernels.Stage((Rows(0, 3, item=0),), 3, 0, 3)
    return kernels.Program(kernels.Stage((), 0, 0, 0), rows, torch.zeros(0), PAIR, PAIR[:0], 0, 0, 0)


#: A good call of each, short of backend and threads.
CALLS: dict[str, Callable[..., Any]] = {
    "beam_search": lambda **how: kernels.beam_search(PAIR, _path_model(), 2, **how),
    "bloom_contains": lambda **how: kernels.bloom_contains(torch.zeros(1, 4).long(), ONE, ONE, 3, **how),
    "bloom_contains_lists": lambda **how: kernels.bloom_contains_lists([], [], [], OFFSETS, torch.arange(2), **how),
    "bloom_insert": lambda **how: kernels.bloom_insert(torch.zeros(1, 4).long(), ONE, ONE, 3, **how),
    "closeness": lambda **how: kernels.closeness(PAIR, CODES[:1], OFFSETS, torch.arange(2), **how),
    "co_occurrence": lambda **how: kernels.co_occurrence(OFFSETS, torch.arange(2), 1, items=2, **how),
    "dpp": lambda **how: kernels.dpp(*LISTS, **how),
    "dpp_picks": lambda **how: kernels.dpp_picks(*LISTS, **how),
    "embedding_bag": lambda **how: kernels.embedding_bag(
        kernels.EmbeddingTables([PAIR]), torch.arange(2), OFFSETS, **how
    ),
    "lookup_pairs": lambda **how: kernels.lookup_pairs(
        [_pair_table()], ONE[None], OFFSETS[:1].repeat(2), ONE[:0], **how
    ),
    "mmr": lambda **how: kernels.mmr(*LISTS, **how),
    "mmr_picks": lambda **how: kernels.mmr_picks(*LISTS, **how),
    "network": lambda **how: kernels.network(
        _program(),
        request=PAIR[:1, :0],
        offsets=OFFSETS,
        item=torch.arange(2),
        codes=CODES[:, :0],
        pair=PAIR[:, :0],
        **how,
    ),
    "pool_items": lambda **how: kernels.pool_items(OFFSETS[None], torch.arange(2), 2, **how),
    "segment_topk": lambda **how: kernels.segment_topk(OFFSETS, torch.rand(2), torch.arange(2), 1, **how),
    "swing": lambda **how: kernels.swing(OFFSETS, torch.arange(2), 1, items=2, **how),
    "topk": lambda **how: kernels.topk(PAIR, PAIR, 1, **how),
    "two_hop": lambda **how: kernels.two_hop(ONE, _edges(), _edges(), 1, **how),
    "TopKIndex.search": lambda **how: _index().search(PAIR, 1, **how),
    "TopKIndex.search_counted": lambda **how: kernels.TopKIndex(PAIR[:0]).search_counted(PAIR, 1, **how),
    "TopKIndex.search_float64": lambda **how: _index().search_float64(PAIR, 1, **how),
    "TopKShards.search": lambda **how: kernels.TopKShards([_index()]).search(PAIR, 1, **how),
    "TopKShards.search_float64": lambda **how: kernels.TopKShards([_index()]).search_float64(PAIR, 1, **how),
    "TopKRanks.search": lambda **how: kernels.TopKRanks(_index()).search(PAIR, 1, **how),
    "TopKRanks.search_float64": lambda **how: kernels.TopKRanks(_index()).search_float64(PAIR, 1, **how),
}


def _functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """All public functions, and the public methods that a class of the kernels defines itself."""
    for name in kernels.__all__:
        value = getattr(kernels, name)
        if inspect.isclass(value):
            yield from ((f"{name}.{part}", f) for part, f in vars(value).items() if inspect.isfunction(f))
        elif inspect.isfunction(value):
            yield name, value


RUN = {
    name: function
    for name, function in _functions()
    if not name.split(".")[-1].startswith("_") and {"backend", "threads"} & set(inspect.signature(function).parameters)
}


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    path: Path = tmp_path_factory.mktemp("group") / "store"
    dist.init_process_group("gloo", init_method=f"file://{path}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_every_call_is_covered() -> None:
    assert set(CALLS) == set(RUN)


@pytest.mark.parametrize("name", sorted(RUN))
def test_backend_and_threads_go_by_keyword(name: str) -> None:
    parameters = inspect.signature(RUN[name]).parameters
    for part, default in (("backend", "auto"), ("threads", 0)):
        assert parameters[part].kind is inspect.Parameter.KEYWORD_ONLY
        assert parameters[part].default == default


@pytest.mark.parametrize("name", sorted(CALLS))
@pytest.mark.usefixtures("group")
def test_backend_and_threads_are_checked(name: str) -> None:
    call = CALLS[name]
    call(backend="auto", threads=1)
    for how, error, words in [
        ({"backend": "fast"}, ValueError, "^backend: expected auto, reference, native, gpu, got 'fast'$"),
        ({"backend": None}, ValueError, "^backend: expected auto, reference, native, gpu, got None$"),
        ({"threads": -1}, ValueError, "^threads: expected 0 to 1024, got -1$"),
        ({"threads": 1025}, ValueError, "^threads: expected 0 to 1024, got 1025$"),
        ({"threads": 2.0}, TypeError, "^threads: expected an int, got float$"),
        ({"threads": True}, TypeError, "^threads: expected an int, got bool$"),
    ]:
        for backend in ("reference", "native"):
            with pytest.raises(error, match=words):
                call(**{"backend": backend, **how})
