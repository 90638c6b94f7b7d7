import itertools

import pytest
import torch

from headrace.kernels.beam_search import PathIndex
from headrace.kernels.beam_search import path_index as module


@pytest.fixture(params=["direct", "sorted"], autouse=True)
def layout(request, monkeypatch):
    if request.param == "sorted":
        monkeypatch.setattr(module, "DIRECT_CODES", 0)
    return request.param


def draw(shape, nodes, missing, seed):
    make = torch.Generator().manual_seed(seed)
    paths = torch.randint(0, nodes, shape, generator=make, dtype=torch.int32)
    return paths.masked_fill(torch.rand(shape[:-1], generator=make)[..., None] < missing, -1)


def brute_lookup(item_paths, paths):
    on = {}
    for item, of_item in enumerate(item_paths.tolist()):
        for path in of_item:
            on.setdefault(tuple(path), set()).add(item)
    on.pop((-1,) * item_paths.shape[2], None)
    return [sorted(set().union(*(on.get(tuple(path), ()) for path in beam))) for beam in paths.tolist()]


@pytest.mark.parametrize(
    ("items", "per_item", "depth", "nodes"),
    [(1, 1, 1, 1), (7, 2, 3, 2), (97, 3, 2, 5), (1000, 3, 3, 10), (65, 1, 1, 31), (33, 4, 4, 3), (0, 2, 2, 4)],
)
@pytest.mark.parametrize(("batch", "beam"), [(1, 1), (3, 17), (16, 33), (2, 0), (0, 4)])
def test_lookup_equals_brute_force(items, per_item, depth, nodes, batch, beam):
    item_paths = draw((items, per_item, depth), nodes, 0.1, seed=items)
    paths = draw((batch, beam, depth), nodes, 0.2, seed=batch)
    offsets, found = PathIndex.build(item_paths, nodes).lookup(paths)
    assert offsets.dtype == found.dtype == torch.int64
    rows = [found[a:b].tolist() for a, b in itertools.pairwise(offsets.tolist())]
    assert rows == brute_lookup(item_paths, paths)


def test_layouts(layout):
    index = PathIndex.build(draw((50, 2, 3), 4, 0, seed=0), 4)
    assert (index.codes is None) == (layout == "direct")
    assert index.items.dtype == torch.int32
    assert index.to("cpu").lookup(torch.zeros(1, 1, 3, dtype=torch.int32))[0].shape == (2,)


def test_no_item_has_a_path():
    index = PathIndex.build(torch.full((5, 2, 2), -1, dtype=torch.int32), 3)
    offsets, found = index.lookup(torch.zeros(2, 3, 2, dtype=torch.int32))
    assert offsets.tolist() == [0, 0, 0]
    assert found.shape == (0,)


def test_wide_codes_are_sorted():
    item_paths = torch.tensor([[[999_999, 5]], [[0, 999_999]], [[999_999, 5]]], dtype=torch.int32)
    index = PathIndex.build(item_paths, 1_000_000)
    assert index.codes is not None
    offsets, found = index.lookup(torch.tensor([[[999_999, 5], [0, 0]], [[0, 999_999], [-1, -1]]], dtype=torch.int32))
    assert offsets.tolist() == [0, 2, 3]
    assert found.tolist() == [0, 2, 1]


@pytest.mark.parametrize(
    ("paths", "nodes", "error", "message"),
    [
        (torch.zeros(2, 1, 3), 4, TypeError, "item_paths: expected int32"),
        (torch.zeros(2, 3, dtype=torch.int32), 4, ValueError, "item_paths: expected 3 dimensions"),
        (torch.zeros(2, 1, 0, dtype=torch.int32), 4, ValueError, "item_paths: depth: expected at least 1"),
        (torch.full((2, 1, 3), 4, dtype=torch.int32), 4, ValueError, "item_paths: expected nodes from 0 to 3, got"),
        (torch.tensor([[[0, -1]]], dtype=torch.int32), 4, ValueError, r"got \[0, -1\] at \(0, 0\)"),
        (torch.zeros(2, 1, 3, dtype=torch.int32), 0, ValueError, "nodes: expected at least 1"),
        (torch.zeros(2, 1, 63, dtype=torch.int32), 2, ValueError, r"nodes\^depth of at most 2\^62"),
    ],
)
def test_bad_builds(paths, nodes, error, message):
    with pytest.raises(error, match=message):
        PathIndex.build(paths, nodes)


@pytest.mark.parametrize(
    ("paths", "error", "message"),
    [
        (torch.zeros(1, 2, 3), TypeError, "paths: expected int32"),
        (torch.zeros(1, 2, dtype=torch.int32), ValueError, "paths: expected 3 dimensions"),
        (torch.zeros(1, 2, 2, dtype=torch.int32), ValueError, "paths: expected depth 3 as in the index, got 2"),
        (torch.full((1, 2, 3), 4, dtype=torch.int32), ValueError, "paths: expected nodes from 0 to 3"),
    ],
)
def test_bad_lookups(paths, error, message):
    index = PathIndex.build(torch.zeros(2, 1, 3, dtype=torch.int32), 4)
    with pytest.raises(error, match=message):
        index.lookup(paths)
