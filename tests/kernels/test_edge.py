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
from public_calls import CALLS, ITEMS, KEPT, OFFSETS, REWARDS, VECTORS, Make, edges, lists, run, same
from torch import Tensor, nn

from headrace import kernels
from headrace.kernels import similarity

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
    """Tensors of these dtypes, whatever the width; bits and flags stay."""

    def make(tensor: Tensor) -> Tensor:
        if tensor.dtype in (torch.uint64, torch.bool):
            return tensor
        return tensor.to(floating if tensor.is_floating_point() else whole)

    return make


def numpy(floating: str, whole: str, change: Callable[[Any], Any] = lambda array: array) -> Make:
    def make(tensor: Tensor) -> Any:
        array = tensor.numpy()
        if tensor.dtype == torch.uint64:
            return array
        if tensor.dtype == torch.bool:
            return change(array.copy())
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
    "float64, uint16": (typed(torch.float64, torch.uint16), Tensor),
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
    flags = array.astype(int if array.dtype == bool else bool)
    yield from ((bad, TypeError) for bad in (array.astype(complex), flags, array.astype(str)))
    yield from (
        (bad, TypeError) for bad in (array.astype(object), "text", {1: 2}, torch.ones(tensor.shape).to_sparse())
    )
    if tensor.is_floating_point():
        yield array.astype(np.int64), TypeError
        if tensor.dtype == torch.float32 and tensor.numel() and name != "similarity.factor":
            yield np.full(array.shape, 1e300), ValueError
    elif tensor.dtype == torch.bool:
        yield from ((bad, TypeError) for bad in (array.astype(np.float32), array.astype(int).tolist()))
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


def test_other_arguments_are_of_their_kind() -> None:
    for name, call in {
        "share": lambda bad: kernels.two_hop(ITEMS[:1], edges(same), edges(same), 2, share=bad),
        "theta": lambda bad: kernels.mmr(*lists(same), theta=bad),
        "eps": lambda bad: kernels.dpp(*lists(same), eps=bad),
        "constant": lambda bad: kernels.pool_items(OFFSETS[None], ITEMS, 2, constant=bad),
        "hashes": lambda bad: kernels.bloom_contains(torch.zeros(1, 4).long(), ITEMS[:1], ITEMS[:1], bad),
    }.items():
        for bad in ("1", None, [1.0]):
            with pytest.raises(TypeError, match=rf"^{name}: expected an? (bool|number|int), got"):
                call(bad)
    assert kernels.mmr(*lists(same), theta=np.float32(0.5))[0].shape == (2, 2)


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
