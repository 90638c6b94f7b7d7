"""A network as a program: straight-line instructions over requests and over candidates, and the tables they read."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Literal, get_args

import torch
from torch import Tensor

from headrace.kernels.checks import check_at_least, check_between, check_weight
from headrace.kernels.edge import FLOATS, takes
from headrace.kernels.network.instructions import (
    ENCODED,
    HELD,
    INSTRUCTIONS,
    MAX_FIELD,
    NONE,
    Affine,
    Attend,
    Fold,
    Instruction,
    Mean,
    Rows,
    SelfAttend,
)
from headrace.kernels.network.native import pack

#: What `Affine` multiplies in the pair stage.
Precision = Literal["float32", "bfloat16"]

#: Codes of a candidate.
MAX_FIELDS = 64
#: Columns and instructions of a stage, sequences, and numbers of a row, an input or an entry.
MAX_SIZE = 1 << 16


@dataclass(frozen=True)
class Stage:
    """Instructions over the rows of one kind. columns: how many each row has. out, width: the run that is the result.

    Raises ValueError, naming the instruction, for one that leaves the columns, has a field out of range, reads what no
    earlier one wrote, or writes over what it still reads; and for a result that is not written.
    """

    code: tuple[Instruction, ...]
    columns: int
    out: int
    width: int

    def __post_init__(self) -> None:
        check_between("columns", self.columns, 0, MAX_SIZE)
        check_between("instructions", len(self.code), 0, MAX_SIZE)
        written = bytearray(self.columns)
        for step in self.code:
            _check_fields(step)
            for span in step.reads():
                _check_written(str(step), span, written)
            for out, count in step.writes():
                _inside(f"{step}: columns", (out, count), self.columns)
                for first, size in step.apart():
                    if max(first, out) < min(first + size, out + count):
                        raise ValueError(
                            f"{step}: expected to write elsewhere than it reads, got {out} to {out + count}"
                        )
                written[out : out + count] = b"\1" * count
        _check_written("result", (self.out, self.width), written)

    @cached_property
    def encoded(self) -> Tensor:
        """int64 [instructions, ENCODED], as the backends read it."""
        return torch.tensor([step.encoded() for step in self.code], dtype=torch.int64, device="cpu").reshape(
            -1, ENCODED
        )


@takes(weights=FLOATS, item_rows=FLOATS, code_rows=FLOATS)
@dataclass(frozen=True)
class Program:
    """A ranking network, lowered.

    request: runs over B requests, whose inputs are float32 [B, request_inputs]; its result is the request's row.
    pair: runs over n candidates, whose inputs are float32 [n, pair_inputs]; its result is the logits [n, T].
    weights: float32 [W]. item_rows: float32 [items, I], what depends on an item alone. code_rows: float32 [codes, C],
    what depends on a candidate's codes, of which it has `fields`. sequences: width of the entries of each sequence.
    All tensors are finite and on one device.
    precision: with "bfloat16", every `Affine` of the pair stage, unless `own`, has its x and W rounded to bfloat16 (to
    the nearest, ties to even) before it multiplies them; such a product is exact in float32. Everything else stays as
    it is: its start and its sums, the other instructions, the request stage.
    Raises TypeError or ValueError, naming the instruction or the tensor, for one that does not fit.
    """

    request: Stage
    pair: Stage
    weights: Tensor
    item_rows: Tensor
    code_rows: Tensor
    request_inputs: int
    pair_inputs: int
    fields: int
    sequences: tuple[int, ...] = ()
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        if self.precision not in get_args(Precision):
            raise ValueError(f"precision: expected one of {', '.join(get_args(Precision))}, got {self.precision!r}")
        for name in ("item_rows", "code_rows"):
            check_weight(name, getattr(self, name), (None, None), self.weights.device)
        check_weight("weights", self.weights, (None,), self.weights.device)
        for name in ("weights", "item_rows", "code_rows"):
            object.__setattr__(self, name, getattr(self, name).contiguous())
        check_between("fields", self.fields, 0, MAX_FIELDS)
        sizes = {
            **{"item_rows: columns": self.item_rows.shape[1], "code_rows: columns": self.code_rows.shape[1]},
            **{"request_inputs": self.request_inputs, "pair_inputs": self.pair_inputs},
            "sequences": len(self.sequences),
            **{f"sequences[{i}]": width for i, width in enumerate(self.sequences)},
        }
        for name, size in sizes.items():
            check_between(name, size, 0, MAX_SIZE)
        check_at_least("pair.width", self.pair.width, 1)
        for stage in (self.request, self.pair):
            for step in stage.code:
                for span in step.weights():
                    _inside(f"{step}: weights", span, len(self.weights))
                self._check(step, stage is self.pair)

    def _check(self, step: Instruction, pair: bool) -> None:
        if isinstance(step, Rows):
            rooms = {"request": self.request.width, "item": self.item_rows.shape[1], "codes": self.code_rows.shape[1]}
            rooms = {name: room if pair else 0 for name, room in rooms.items()}
            rooms["pair"] = self.pair_inputs if pair else self.request_inputs
            for name, room in rooms.items():
                if getattr(step, name) != NONE:
                    _inside(f"{step}: {name}", (getattr(step, name), step.width), room)
        if isinstance(step, Affine) and step.own:
            reach = (max(step.inputs, 1) - 1) * step.stride + step.width
            _inside(f"{step}: the request's row", (step.weight, reach), self.request.width if pair else 0)
        if isinstance(step, Fold) and pair:
            raise ValueError(f"{step}: expected in the request stage only")
        if isinstance(step, (Attend, Mean)):
            if not 0 <= step.sequence < len(self.sequences):
                raise ValueError(f"{step}: expected a sequence from 0 to {len(self.sequences) - 1}")
            if step.width != self.sequences[step.sequence]:
                raise ValueError(f"{step}: expected the sequence's width, {self.sequences[step.sequence]}")
        if isinstance(step, SelfAttend) and step.width % step.heads:
            raise ValueError(f"{step}: expected heads that divide the width")

    # Made once: copied at every call, the instructions would make a GPU wait, and no graph could hold the call.
    @cached_property
    def tensors(self) -> list[Tensor]:
        """What the backends are given: weights, rows of items and codes, both stages' instructions, and with
        bfloat16 on a CPU the weights as the native backend multiplies by them."""
        codes = [stage.encoded.to(self.weights.device) for stage in (self.request, self.pair)]
        tensors = [self.weights, self.item_rows, self.code_rows, *codes]
        if self.precision == "bfloat16" and self.weights.device.type == "cpu":
            tensors.append(pack(self.weights, codes[1]))
        return tensors

    @property
    def numbers(self) -> list[int]:
        """The other numbers: columns, out and width of both stages, inputs, fields, whether in bfloat16."""
        stages = [number for s in (self.request, self.pair) for number in (s.columns, s.out, s.width)]
        rounded = int(self.precision == "bfloat16")
        return [*stages, self.request_inputs, self.pair_inputs, self.fields, rounded]


def decoded(code: Tensor) -> list[Instruction]:
    """The instructions of an encoded stage."""
    steps = []
    for number, *rest in code.tolist():
        kind = INSTRUCTIONS[number]
        steps.append(kind(*rest[: len(fields(kind))]))
    return steps


def _check_fields(step: Instruction) -> None:
    for field in fields(step):
        check_between(f"{step}: {field.name}", getattr(step, field.name), HELD, MAX_FIELD)
    for name in step.sizes:
        check_at_least(f"{step}: {name}", getattr(step, name), 1)
    for name, count in step.kinds.items():
        check_between(f"{step}: {name}", getattr(step, name), 0, count - 1)


def _check_written(name: str, span: tuple[int, int], written: bytearray) -> None:
    first, count = span
    _inside(f"{name}: columns", span, len(written))
    column = written.find(0, first, first + count)
    if column >= 0:
        raise ValueError(f"{name}: expected columns that an earlier instruction wrote, got {column}")


def _inside(name: str, span: tuple[int, int], room: int) -> None:
    first, count = span
    if first < 0 or count < 0 or first + count > room:
        raise ValueError(f"{name}: expected {first} to {first + count} within 0 to {room}")
