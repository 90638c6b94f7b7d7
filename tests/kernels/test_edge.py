"""The public edge: arrays of any library and of the dtypes people have, each call's answer that of plain tensors."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from headrace import kernels
from headrace.kernels import similarity
from headrace.kernels.network.instructions import Rows

#: Numbers that every floating dtype holds, none of them below 0 where they may be integers.
VECTORS = torch.tensor([[1.0, -0.5], [0.25, 2.0], [-1.5, 0.75]])
REWARDS = torch.tensor([0.5, 0.25, 1.0])
OFFSETS, ITEMS = torch.tensor([0, 1, 3]), torch.tensor([2, 0, 1])
#: Bits keep their width, which is how a test knows them.
WORDS = torch.tensor([3], dtype=torch.uint64)
CODES = torch.tensor([[0, 1], [2, 0]], dtype=torch.int32)
#: Makes the array that a test passes in place of a tensor.
Make = Callable[[Tensor], Any]


def edges(a: Make, **parts: Any) -> kernels.Edges:
    return kernels.Edges(a(OFFSETS), a(torch.tensor([1, 0, 1])), a(REWARDS), **parts)


def pair_table(a: Make) -> kernels.PairTable:
    codes = torch.tensor([0, 0, 1], dtype=torch.int32)
    return kernels.PairTable(a(OFFSETS), a(codes), a(torch.arange(8.0).reshape(4, 2)), a(codes))


def path_model(a: Make) -> kernels.PathModel:
    nodes, hidden = torch.ones(1, 2, 2), [torch.ones(3, 2), torch.ones(3, 4)]
    biases, out = [torch.ones(3)] * 2, [VECTORS.T.contiguous()] * 2
    parts = [[a(part) for part in each] for each in (hidden, biases, out, [torch.tensor([0.5, 0.25])] * 2)]
    return kernels.PathModel(a(nodes), *parts)


def path_index(a: Make) -> kernels.PathIndex:
    return kernels.PathIndex.build(a(torch.tensor([[[0, 1]], [[1, 1]]], dtype=torch.int32)), 2)


def rules(a: Make) -> kernels.Rules:
    return kernels.Rules(a(torch.zeros(1, 3, dtype=torch.int32)), a(torch.tensor([[2, 1, 0]])))


def run_network(a: Make) -> Any:
    rows = kernels.Stage((Rows(0, 2, item=0),), 2, 0, 2)
    empty = torch.zeros(0)
    program = kernels.Program(kernels.Stage((), 0, 0, 0), rows, a(empty), a(VECTORS), a(VECTORS[:0]), 0, 0, 0, (2,))
    parts = {"request": VECTORS[:2, :0], "offsets": OFFSETS, "item": ITEMS, "codes": CODES.new_zeros(3, 0)}
    held = (a(torch.ones(2, 1, 2)), a(torch.ones(2, dtype=torch.int32)))
    made = {name: a(part) for name, part in parts.items()}
    return kernels.network(program, **made, pair=a(VECTORS[:, :0]), sequences=[held])


def index(a: Make) -> kernels.TopKIndex:
    return kernels.TopKIndex(a(VECTORS), a(ITEMS))


def changed(a: Make, change: Callable[[kernels.TopKIndex], Any]) -> Any:
    one = index(a)
    change(one)
    return one.search(a(VECTORS), 2)


def inserted(a: Make) -> Any:
    bits = torch.zeros(2, 4, dtype=torch.uint64)
    given = a(bits)
    kernels.bloom_insert(given, a(torch.tensor([0, 1, 1])), a(ITEMS), 3)
    return given


BITS = inserted(torch.clone)


def contains(a: Make) -> Any:
    return kernels.bloom_contains(a(BITS), a(torch.tensor([1, 1, 0])), a(ITEMS), 3)


def contains_lists(a: Make) -> Any:
    return kernels.bloom_contains_lists([a(BITS)], [a(torch.tensor([[0], [1]]).int())], [3], a(OFFSETS), a(ITEMS))


def saved(a: Make, folder: Path) -> Any:
    kernels.save_shards(folder / "shards", a(VECTORS), 2, a(ITEMS))
    return kernels.TopKShards.load(folder / "shards").search(a(VECTORS), 2)


def lists(a: Make) -> tuple[Any, ...]:
    return a(VECTORS), a(REWARDS), a(OFFSETS), 2


#: A call of everything public that takes arrays; those of no folder get none.
CALLS: dict[str, Callable[..., Any]] = {
    "Edges": lambda a: kernels.two_hop(
        ITEMS[1:], edges(a), edges(a, time=a(torch.tensor([1, 3, 2]))), 2, now=ITEMS[:2]
    ),
    "EmbeddingTables": lambda a: kernels.EmbeddingTables([a(VECTORS), a(VECTORS)]).table(1),
    "PairTable": lambda a: pair_table(a).rows,
    "PathIndex": lambda a: kernels.PathIndex(1, 1, 3, a(OFFSETS[::2]), a(ITEMS.int()), None).items,
    "PathIndex.build": lambda a: path_index(a).offsets,
    "PathIndex.lookup": lambda a: path_index(a).lookup(a(torch.tensor([[[0, 1]]], dtype=torch.int32))),
    "PathModel": lambda a: path_model(a).weights[0],
    "Program": run_network,
    "Rules": lambda a: rules(a).kinds,
    "TopKIndex": lambda a: index(a).truth,
    "TopKIndex.add": lambda a: changed(a, lambda one: one.add(a(VECTORS), a(ITEMS + 3))),
    "TopKIndex.mask": lambda a: index(a).mask(a(ITEMS[:2])),
    "TopKIndex.remove": lambda a: changed(a, lambda one: one.remove(a(ITEMS[:2]))),
    "TopKIndex.search": lambda a: index(a).search(a(VECTORS), 2, a(WORDS)),
    "TopKIndex.search_counted": lambda a: index(a).search_counted(a(VECTORS), 2)[:2],
    "TopKIndex.search_float64": lambda a: index(a).search_float64(a(VECTORS), 2)[:2],
    "TopKIndex.upsert": lambda a: changed(a, lambda one: one.upsert(a(VECTORS), a(ITEMS + 1))),
    "TopKShards.mask": lambda a: kernels.TopKShards([index(a)]).mask(a(ITEMS[:1])),
    "TopKShards.search": lambda a: kernels.TopKShards([index(a)]).search(a(VECTORS), 2, a(WORDS)),
    "TopKShards.search_float64": lambda a: kernels.TopKShards([index(a)]).search_float64(a(VECTORS), 2)[:2],
    "beam_search": lambda a: kernels.beam_search(a(VECTORS), path_model(a), 2),
    "bloom_contains": contains,
    "bloom_contains_lists": contains_lists,
    "bloom_insert": inserted,
    "closeness": lambda a: kernels.closeness(a(VECTORS), a(CODES), a(OFFSETS), a(ITEMS)),
    "dpp": lambda a: kernels.dpp(*lists(a)),
    "dpp_picks": lambda a: kernels.dpp_picks(*lists(a)[:3], 1, rules=rules(a), pinned=a(torch.tensor([[0], [1]]))),
    "embedding_bag": lambda a: kernels.embedding_bag(
        kernels.EmbeddingTables([a(VECTORS)]), a(ITEMS), a(OFFSETS), weights=a(REWARDS)
    ),
    "lookup_pairs": lambda a: kernels.lookup_pairs([pair_table(a)], a(torch.tensor([[1, 0]])), a(OFFSETS), a(ITEMS)),
    "mmr": lambda a: kernels.mmr(*lists(a)),
    "mmr_picks": lambda a: kernels.mmr_picks(*lists(a), rules=rules(a)),
    "network": run_network,
    "pool_items": lambda a: kernels.pool_items(a(OFFSETS[None]), a(ITEMS), 2, score=a(REWARDS.double())),
    "save_shards": saved,
    "segment_topk": lambda a: kernels.segment_topk(a(OFFSETS), a(REWARDS), a(ITEMS), 2),
    "similarity.blend": lambda a: similarity.blend([(0.25, a(VECTORS)), (0.75, a(VECTORS))]),
    "similarity.cosine": lambda a: similarity.cosine(a(VECTORS)),
    "similarity.factor": lambda a: similarity.factor(a(VECTORS @ VECTORS.T)),
    "similarity.gaussian": lambda a: similarity.gaussian(a(VECTORS), 1.0),
    "similarity.one_hot": lambda a: similarity.one_hot(a(ITEMS)),
    "topk": lambda a: kernels.topk(a(VECTORS), a(VECTORS), 2, mask=a(WORDS)),
    "two_hop": lambda a: kernels.two_hop(a(torch.tensor([1, 0])), edges(a), edges(a), 2),
}
#: Whose answers hold what the object keeps: tensors.
KEPT = {"Edges", "EmbeddingTables", "PairTable", "PathIndex", "PathIndex.build", "PathModel", "Rules", "TopKIndex"}
#: Collective calls, for which one rank is enough: tests/kernels/test_sharded_ranks.py.
ELSEWHERE = {"TopKRanks.search", "TopKRanks.search_float64", "TopKProcesses"}


class Foreign:
    """An array of another library, known by the protocols alone."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def __dlpack__(self, **how: Any) -> Any:
        return self.tensor.__dlpack__(**how)

    def __dlpack_device__(self) -> Any:
        return self.tensor.__dlpack_device__()

    def __array_namespace__(self) -> Any:
        return Foreign

    @staticmethod
    def from_dlpack(tensor: Tensor) -> Foreign:
        return Foreign(tensor)


def typed(floating: torch.dtype, whole: torch.dtype) -> Make:
    """Tensors of these dtypes, whatever the width; bits stay."""

    def make(tensor: Tensor) -> Tensor:
        if tensor.dtype == torch.uint64:
            return tensor
        return tensor.to(floating if tensor.is_floating_point() else whole)

    return make


def numpy(floating: str, whole: str, change: Callable[[Any], Any] = lambda array: array) -> Make:
    def make(tensor: Tensor) -> Any:
        array = tensor.numpy()
        if tensor.dtype == torch.uint64:
            return array
        return change(array.astype(floating if tensor.is_floating_point() else whole))

    return make


def read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array


#: Name -> what makes the arrays, and the type of the answers.
KINDS: dict[str, tuple[Make, type]] = {
    "float64, int32": (typed(torch.float64, torch.int32), Tensor),
    "float16, int16": (typed(torch.float16, torch.int16), Tensor),
    "bfloat16, uint8": (typed(torch.bfloat16, torch.uint8), Tensor),
    "float32, uint32": (typed(torch.float32, torch.uint32), Tensor),
    "float64, uint64": (
        lambda t: t.double() if t.is_floating_point() else t if t.dtype == torch.uint64 else t.to(torch.uint16),
        Tensor,
    ),
    "gradients": (lambda t: t.clone().requires_grad_(t.is_floating_point()), Tensor),
    "parameters": (lambda t: nn.Parameter(t.clone(), requires_grad=t.is_floating_point()), Tensor),
    "numpy float32, int64": (numpy("f4", "i8"), np.ndarray),
    "numpy float64, int32": (numpy("f8", "i4"), np.ndarray),
    "numpy float16, uint64": (numpy("f2", "u8"), np.ndarray),
    "numpy longdouble, int8": (numpy("g", "i1"), np.ndarray),
    "numpy big-endian": (numpy(">f8", ">i4"), np.ndarray),
    "numpy turned round": (numpy("f4", "i8", lambda array: array[..., ::-1].copy()[..., ::-1]), np.ndarray),
    "numpy by column": (numpy("f4", "i4", np.asfortranarray), np.ndarray),
    "numpy read-only": (numpy("f4", "i8", read_only), np.ndarray),
    "dlpack": (Foreign, Foreign),
    "dlpack float64, int32": (lambda t: Foreign(typed(torch.float64, torch.int32)(t)), Foreign),
}


def flat(answer: Any) -> list[Any]:
    """The arrays of an answer, None left out."""
    if isinstance(answer, tuple):
        return [part for one in answer for part in flat(one)]
    return [] if answer is None else [answer]


def tensors(answer: Any) -> list[Tensor]:
    return [torch.as_tensor(part.tensor if isinstance(part, Foreign) else part) for part in flat(answer)]


def run(name: str, make: Make, folder: Path) -> Any:
    call = CALLS[name]
    return call(make, folder) if call is saved else call(make)


def same(tensor: Tensor) -> Tensor:
    return tensor.clone()


def check_same(got: list[Tensor], expected: list[Tensor]) -> None:
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


def given_to(name: str, folder: Path) -> list[Tensor]:
    """The arrays that a call is given, in order."""
    seen: list[Tensor] = []

    def make(tensor: Tensor) -> Tensor:
        seen.append(tensor.clone())
        return tensor.clone()

    run(name, make, folder)
    return seen


def public() -> Iterator[tuple[str, Callable[..., Any]]]:
    for room, prefix in ((kernels, ""), (similarity, "similarity.")):
        for name in room.__all__:
            value = getattr(room, name)
            if inspect.isclass(value):
                yield name, value.__init__
                parts = ((part, getattr(value, part)) for part in vars(value))
                yield from ((f"{name}.{part}", f) for part, f in parts if callable(f) and part[0] != "_")
            elif inspect.isfunction(value):
                yield prefix + name, value


def test_every_public_call_that_takes_arrays_has_the_edge() -> None:
    results = {"Picks"}
    found = {
        name
        for name, function in public()
        if name.split(".")[0] not in results
        and any("Tensor" in str(one.annotation) for one in inspect.signature(function).parameters.values())
    }
    assert found - ELSEWHERE == set(CALLS)
    for name, function in public():
        assert name not in found - ELSEWHERE or hasattr(function, "__wrapped__"), name


@pytest.mark.parametrize("name", sorted(CALLS))
def test_every_kind_gives_the_tensors_answer(name: str, tmp_path: Path) -> None:
    expected = tensors(run(name, same, tmp_path / "tensors"))
    for kind, (make, returned) in KINDS.items():
        answer = run(name, make, tmp_path / kind)
        check_same(tensors(answer), expected)
        if name not in KEPT | {"save_shards"}:
            assert all(isinstance(part, returned) for part in flat(answer)), kind


@pytest.mark.parametrize("name", sorted(CALLS))
def test_lists_are_read_and_answered_with_tensors(name: str, tmp_path: Path) -> None:
    # What is empty has no second dimension as a list, and bits are arrays.
    def make(tensor: Tensor) -> Any:
        return tensor.tolist() if tensor.numel() and tensor.dtype != torch.uint64 else tensor

    check_same(tensors(run(name, make, tmp_path / "lists")), tensors(run(name, same, tmp_path)))


@contextmanager
def default_dtype() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@contextmanager
def default_device() -> Iterator[None]:
    torch.set_default_device("meta")
    yield
    torch.set_default_device(None)


MODES = {
    "inference": torch.inference_mode,
    "no grad": torch.no_grad,
    "float64 by default": default_dtype,
    "another device by default": default_device,
}


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("name", sorted(CALLS))
def test_modes_of_the_process_change_nothing(
    name: str, backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_BACKEND", backend)
    expected = tensors(run(name, same, tmp_path / "outside"))
    for mode, entered in MODES.items():
        # The arrays are made before: what the mode makes of the test's own is not the matter.
        given = iter(given_to(name, tmp_path / f"{mode} before"))
        with entered():
            got = run(name, lambda _: next(given), tmp_path / mode)  # noqa: B023
        assert not any(part.is_inference() for part in flat(got)), mode
        check_same(tensors(got), expected)


@pytest.mark.parametrize("name", sorted(CALLS))
def test_tensors_made_in_inference_mode_serve_outside_it(name: str, tmp_path: Path) -> None:
    def make(tensor: Tensor) -> Tensor:
        with torch.inference_mode():
            return tensor.clone()

    check_same(tensors(run(name, make, tmp_path / "inside")), tensors(run(name, same, tmp_path)))


def bad_values(name: str, tensor: Tensor) -> Iterator[tuple[Any, type[Exception]]]:
    """What no call may take in place of an array, and how it is refused."""
    array = tensor.numpy()
    yield from ((bad, TypeError) for bad in (array.astype(complex), array.astype(bool), array.astype(str)))
    yield from (
        (bad, TypeError) for bad in (array.astype(object), "text", {1: 2}, torch.ones(tensor.shape).to_sparse())
    )
    if tensor.is_floating_point():
        yield array.astype(np.int64), TypeError
        if tensor.dtype == torch.float32 and tensor.numel() and name != "similarity.factor":
            yield np.full(array.shape, 1e300), ValueError
    elif tensor.dtype != torch.uint64:
        yield array.astype(np.float32), TypeError
        if tensor.numel():
            yield np.full(array.shape, 2**63, np.uint64), ValueError
    else:
        yield array.astype(np.int32), TypeError


@pytest.mark.parametrize("name", sorted(CALLS))
def test_what_does_not_fit_is_refused_by_name(name: str, tmp_path: Path) -> None:
    for place, tensor in enumerate(given_to(name, tmp_path / "good")):
        for number, (bad, error) in enumerate(bad_values(name, tensor)):
            left = iter(range(place + 1))
            with pytest.raises(error, match=r"^[a-z_.\[\]0-9]+: "):
                run(name, lambda tensor: bad if next(left, None) == place else tensor, tmp_path / f"{place} {number}")  # noqa: B023


def test_nothing_is_copied_that_the_kernels_can_read() -> None:
    vectors = np.arange(6, dtype=np.float32).reshape(3, 2)
    for array in (vectors, read_only(vectors.view()), Foreign(torch.from_numpy(vectors))):
        assert kernels.TopKIndex(array).truth.data_ptr() == vectors.ctypes.data
    assert kernels.Edges(np.array([0, 1]), np.array([0])).target.dtype == torch.int64


def test_an_array_that_cannot_be_changed_is_not() -> None:
    for array in (
        read_only(np.zeros((1, 4), np.uint64)),
        np.zeros((1, 4), ">u8"),
        np.zeros((1, 8), np.uint64)[:, ::-2],
    ):
        with pytest.raises(ValueError, match=r"^bits: expected an array that can be changed in place"):
            kernels.bloom_insert(array, [0], [1], 3)
    with pytest.raises(TypeError, match=r"^bits: expected an array of bits, got list$"):
        kernels.bloom_insert([[0, 0, 0, 0]], [0], [1], 3)


def test_the_first_array_says_what_the_answer_is() -> None:
    array, tensor = VECTORS.numpy(), VECTORS
    assert isinstance(kernels.topk(array, tensor, 1)[0], np.ndarray)
    assert isinstance(kernels.topk(tensor, array, 1)[0], Tensor)
    assert isinstance(kernels.topk(array.tolist(), array, 1)[0], np.ndarray)
    assert isinstance(kernels.topk(items=tensor, queries=array, k=1)[0], np.ndarray)


@pytest.mark.parametrize("k", [np.int64(2), np.uint8(2)])
def test_whole_numbers_of_numpy_count(k: Any) -> None:
    assert kernels.topk(VECTORS, VECTORS, k)[0].shape == (3, 2)
    assert kernels.dpp(*lists(same)[:3], k)[0].shape == (2, 2)
    assert kernels.pool_items(OFFSETS[None], ITEMS, k, limits=np.array([k]))[0].tolist() == [0, 1, 3]


@pytest.mark.parametrize(("k", "error"), [(2.0, TypeError), (True, TypeError), ("2", TypeError), (2**63, ValueError)])
def test_counts_are_integers_of_64_bits(k: Any, error: type[Exception]) -> None:
    for call in (
        lambda: kernels.topk(VECTORS, VECTORS, k),
        lambda: kernels.mmr(*lists(same)[:3], k),
        lambda: kernels.segment_topk(OFFSETS, REWARDS, ITEMS, k),
        lambda: kernels.two_hop(ITEMS[:1], edges(same), edges(same), k),
        lambda: kernels.pool_items(OFFSETS[None], ITEMS, k),
    ):
        with pytest.raises(error, match=r"^k: expected"):
            call()
