"""Below the public calls: ops and compiled functions refuse by name what does not fit, and touch no other memory."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from public_calls import CALLS, OFFSETS, REWARDS, VECTORS, edges, pair_table, run, same
from torch import Tensor

from headrace import _C, kernels
from headrace.kernels import registry
from headrace.kernels.layout import Layout
from headrace.kernels.registry import OPS
from headrace.kernels.settings import extension

#: An error that names an argument: "queries: expected ...", "sequences[0] counts: ...", "tables: rows: ...".
NAMED = re.compile(r"^[a-zA-Z_][\w.\[\], ()]*: ")
#: How many arrays at the end of a compiled function's arguments it writes to.
WRITTEN = {
    **{"closeness": 1, "segment_topk": 2, "pool_items": 5, "two_hop": 3, "lookup_pairs": 1, "embedding_bag": 1},
    **{"co_occurrence": 3, "swing": 3},
    **{"bloom_contains": 1, "bloom_contains_lists": 1, "beam_search": 2, "dpp": 4, "mmr": 3, "network": 1},
    **{"topk": 2, "topk_packed": 2, "topk_merge": 2, "topk_unpack": 1, "topk_pack": 1},
}
#: Ops whose definition reads other inputs than the kernel: the weights instead of what was packed of them.
UNLIKE = {"beam_search", "topk_packed"}
#: What only the op's own classes make.
MADE = {
    "beam_search": {"weights", "packed"}, "embedding_bag": {"values", "scales", "layout"}, "network": {"tensors"},
    "topk_packed": {"packed"},
}  # fmt: skip
#: Those that may be longer than what they receive.
ROOMY = {"segment_topk", "pool_items"}
#: Those whose last one may be left out, as None.
SPARING = {"pool_items"}


class Recorder:
    """Stands for the extension: keeps the arguments of each function's last call."""

    def __init__(self) -> None:
        self.calls: dict[str, tuple[Any, ...]] = {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            self.calls[name] = given
            return getattr(_C, name)(*given)

        return call


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, tuple[Any, ...]], dict[str, tuple[Any, ...]]]:
    """Good inputs of every op, and good arguments of every compiled function."""
    recorder, inputs = Recorder(), {}
    native = [importlib.import_module(f"{op.package}.native") for op in OPS.values()]
    with pytest.MonkeyPatch.context() as patch:
        for module in native:
            if hasattr(module, "_C"):
                patch.setattr(module, "_C", recorder)
            else:
                patch.setattr(module, "extension", lambda: recorder)
        patch.setattr("headrace.kernels.settings.extension", lambda: recorder)

        def call(self: registry.Op, *given: Any, backend: str, threads: int) -> Any:
            inputs[self.name] = given
            return getattr(torch.ops.headrace, self.name)(*given, backend, 1)

        patch.setattr(registry.Op, "__call__", call)
        for name in CALLS:
            run(name, same, tmp_path_factory.mktemp("calls"))
        packed = kernels.TopKIndex(torch.arange(1.0, 2201.0).reshape(1100, 2), scan="int8", keep="none")
        packed.add(VECTORS, torch.tensor([1100, 1101, 1102]))
        packed.search(VECTORS, 2, packed.mask(torch.tensor([5, 800, 1101])))
        packed.truth.sum()
        kernels.TopKShards([packed]).search(VECTORS, 2)
    return inputs, recorder.calls


def bent(tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    """What does not fit in place of a tensor."""
    if tensor.numel():
        yield "shorter", tensor[:-1].contiguous()
        yield "narrower", tensor[..., :-1].contiguous()
        yield "empty", tensor[:0].contiguous()
    yield "longer", torch.cat([tensor, tensor[-1:] if len(tensor) else tensor.new_zeros(1, *tensor.shape[1:])])
    yield "of one axis more", tensor[None]
    yield "of another dtype", tensor.double() if tensor.dtype != torch.float64 else tensor.float()
    yield "turned round", torch.stack([tensor, tensor], -1)[..., 0]
    if tensor.numel() and tensor.dtype in (torch.int32, torch.int64):
        for value in (-2, torch.iinfo(tensor.dtype).max, torch.iinfo(tensor.dtype).min):
            for at in (0, -1):
                other = tensor.clone()
                other.view(-1)[at] = value
                yield f"{value} at {at}", other


def places(inputs: tuple[Any, ...]) -> Iterator[tuple[Tensor, Callable[[Any], tuple[Any, ...]]]]:
    """Each tensor of the inputs, alone or in a list, and the inputs with another in its place."""
    for at, value in enumerate(inputs):
        if isinstance(value, Tensor):
            yield value, lambda other, at=at: (*inputs[:at], other, *inputs[at + 1 :])
        elif isinstance(value, list):
            for inner, part in enumerate(value):
                if isinstance(part, Tensor):
                    yield (
                        part,
                        lambda other, at=at, inner=inner, value=value: (
                            *inputs[:at],
                            [*value[:inner], other, *value[inner + 1 :]],
                            *inputs[at + 1 :],
                        ),
                    )


def outcome(name: str, inputs: tuple[Any, ...], backend: str) -> list[Tensor] | Exception:
    """Of an op; what it writes to its inputs is its answer."""
    own = [value.clone() if isinstance(value, Tensor) else value for value in inputs]
    try:
        answer = getattr(torch.ops.headrace, name)(*own, backend, 1)
    except Exception as error:
        return error
    if answer is None:
        return [own[0]]
    return list(answer) if isinstance(answer, (tuple, list)) else [answer]


@pytest.mark.parametrize("name", sorted(OPS))
def test_an_op_refuses_what_does_not_fit(
    name: str, recorded: tuple[dict[str, tuple[Any, ...]], dict[str, tuple[Any, ...]]]
) -> None:
    inputs = recorded[0][name]
    for number, (tensor, replaced) in enumerate(places(inputs)):
        for how, other in bent(tensor):
            got = outcome(name, replaced(other), "native")
            where = f"tensor {number} {how}: {got}"
            if isinstance(got, Exception):
                assert isinstance(got, (ValueError, TypeError)), where
                assert NAMED.match(str(got)), where
                continue
            # Where it answers, the inputs fit after all: the definition says the same.
            if name in UNLIKE:
                continue
            expected = outcome(name, replaced(other.contiguous()), "reference")
            assert not isinstance(expected, Exception), f"{where}, reference: {expected}"
            assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True)), where


@pytest.mark.parametrize("name", sorted(OPS))
@pytest.mark.parametrize("backend", ["reference", "gpu"])
def test_every_backend_refuses_other_shapes_and_dtypes(
    backend: str, name: str, recorded: tuple[dict[str, tuple[Any, ...]], dict[str, tuple[Any, ...]]]
) -> None:
    """Before it is picked, so that none has to be there."""
    inputs = recorded[0][name]
    arguments = getattr(torch.ops.headrace, name).default._schema.arguments
    for at, (argument, value) in enumerate(zip(arguments, inputs, strict=False)):
        parts = value if isinstance(value, list) else [value]
        for part in parts if argument.name not in MADE.get(name, ()) else ():
            if not isinstance(part, Tensor):
                continue
            for other in (
                part[None],
                part.to(torch.float16),
                part.flatten() if part.ndim > 1 else torch.zeros((), dtype=part.dtype),
            ):
                if argument.name == "mask" and other.dtype == part.dtype:
                    continue
                replaced = [other] if isinstance(value, list) else other
                got = outcome(name, (*inputs[:at], replaced, *inputs[at + 1 :]), backend)
                where = f"{argument.name} {other.dtype} {list(other.shape)}: {got}"
                assert isinstance(got, (ValueError, TypeError)), where
                assert str(got).startswith(argument.name) or "expected shape" in str(got), where


def test_shapes_of_an_op_agree() -> None:
    three, four, ends = torch.arange(3.0), torch.arange(4), torch.tensor([0, 3])
    segment_topk = torch.ops.headrace.segment_topk
    for backend in ("reference", "gpu"):
        with pytest.raises(ValueError, match=re.escape("tie: expected shape [n] with B = 1, n = 3, got [4]")):
            segment_topk(ends, three, four, 2, backend, 1)
        with pytest.raises(ValueError, match=re.escape("offsets: expected shape [B+1]")):
            segment_topk(ends[:0], three, four[:3], 2, backend, 1)
        with pytest.raises(ValueError, match="bits: expected a contiguous tensor, since it changes in place"):
            torch.ops.headrace.bloom_insert(
                torch.zeros(4, 3, dtype=torch.int64).T, four[:1], four[:1], 2, "block", backend, 1
            )
    index, kept = segment_topk(ends, torch.arange(6.0)[::2], four[:3], 2, "reference", 1)
    assert (index.tolist(), kept.tolist()) == ([2, 1], [0, 2])


def test_a_layout_names_every_tensor() -> None:
    with pytest.raises(ValueError, match="layout: expected a, b, got a"):
        Layout("(Tensor a, int k, Tensor? b)", "a int64 n")


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_a_compiled_function_writes_only_where_there_is_room(
    name: str, recorded: tuple[dict[str, tuple[Any, ...]], dict[str, tuple[Any, ...]]]
) -> None:
    given = recorded[1][name]
    function = getattr(_C, name)
    written = [i for i, part in enumerate(given) if isinstance(part, np.ndarray)][-WRITTEN[name] :]
    for at in written:
        array = given[at]
        wrong = [
            array[:-1].copy(),
            np.zeros(array.shape, np.int16),
            np.stack([array, array], -1)[..., 0],
            array[None],
            None,
            array.tolist(),
        ]
        if name not in ROOMY:
            wrong.append(np.concatenate([array, array]))
        read_only = array.copy()
        read_only.flags.writeable = False
        for other in [*wrong, read_only]:
            if other is None and name in SPARING and at == written[-1]:
                continue
            if isinstance(other, np.ndarray) and other is not read_only and other.size == array.size == 0:
                continue
            with pytest.raises((ValueError, TypeError), match=NAMED):
                function(*given[:at], other, *given[at + 1 :])


def test_every_compiled_function_is_tried(
    recorded: tuple[dict[str, tuple[Any, ...]], dict[str, tuple[Any, ...]]],
) -> None:
    assert set(recorded[0]) == set(OPS)
    assert set(WRITTEN) <= set(recorded[1])
    plain = {"isa_usable", "get_isa", "set_isa", "get_threads", "set_threads", "memory_ceiling", "matrix_ceiling"}
    plain |= {"topk_packed_bytes", "network_pack", "bloom_insert"}
    assert {name for name in dir(extension()) if not name.startswith("_")} == plain | set(WRITTEN)


@pytest.mark.parametrize("value", [-5, 2, 2**62])
def test_edges_and_tables_that_change_later_are_refused(value: int) -> None:
    offsets = OFFSETS.clone()
    seeds, items = edges(same), kernels.Edges(offsets, torch.tensor([1, 0, 1]), REWARDS)
    tables = [pair_table(same), kernels.PairTable(offsets, torch.tensor([0, 0, 1]).int(), torch.zeros(4, 2), None)]
    offsets[1] = value if value != 2 else 4
    for backward in (False, True):
        walk = (items, seeds) if backward else (seeds, items)
        with pytest.raises(ValueError, match=r"(seeds|items)\.offsets: expected list [01] to rise within 0 to 3"):
            kernels.two_hop(torch.tensor([0, 1]), *walk, 2)
    with pytest.raises(ValueError, match=r"tables: offsets: expected list [01] to rise within 0 to 3"):
        kernels.lookup_pairs(tables, torch.zeros(2, 2, dtype=torch.int64), OFFSETS, torch.tensor([0, 1, 1]))


def test_seeds_that_change_later_are_refused() -> None:
    target = torch.tensor([1, 0, 1])
    seeds = kernels.Edges(OFFSETS, target, REWARDS)
    target[0] = 2**40
    with pytest.raises(ValueError, match=r"seeds\.target: expected 0 to 1, got"):
        kernels.two_hop(torch.tensor([0]), seeds, edges(same), 2)
