"""The least that a call of network must do, by its instructions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from headrace.kernels.network import instructions as ins
from headrace.kernels.network.program import Program, decoded
from headrace.kernels.work import Counted, Work


def work(program: Program, batch: int, candidates: int, longest: Sequence[int] = ()) -> Work:
    """batch: B. candidates: of all requests. longest: entries of each sequence that a request has."""
    p = program
    return _work(
        (p.request.code, p.pair.code),
        (p.item_rows.shape[1], p.code_rows.shape[1], p.request_inputs, p.pair_inputs, p.fields, p.pair.width),
        (batch, candidates),
        [(entries, width) for entries, width in zip(longest, p.sequences, strict=True)],
    )


def network(
    tensors: list[Tensor],
    numbers: list[int],
    request: Tensor,
    sequences: list[Tensor],
    counts: list[Tensor],
    offsets: Tensor,
    item: Tensor,
    codes: Tensor,
    pair: Tensor,
    threads: int,
) -> Counted:
    """A call, counted: candidates in, logits out. Every request counts as if its sequences were full."""
    _, item_rows, code_rows, request_code, pair_code = tensors[:5]
    n = len(item)
    least = _work(
        (decoded(request_code), decoded(pair_code)),
        (item_rows.shape[1], code_rows.shape[1], request.shape[1], pair.shape[1], codes.shape[1], numbers[5]),
        (len(request), n),
        [(entries.shape[1], entries.shape[2]) for entries in sequences],
    )
    return Counted(n, n * numbers[5], least)


def _work(
    stages: tuple[Sequence[ins.Instruction], Sequence[ins.Instruction]],
    widths: tuple[int, int, int, int, int, int],
    rows: tuple[int, int],
    sequences: list[tuple[int, int]],
) -> Work:
    item, code, request, pair, fields, targets = widths
    entries = [count for count, _ in sequences]
    flops = sum(
        count * sum(flops_of(step, entries, fields) for step in stage)
        for stage, count in zip(stages, rows, strict=True)
    )
    candidate = 4 * item + 8 + fields * (4 + 4 * code) + 4 * pair + 4 * targets
    side = 4 * request + 8 + sum(4 * count * width + 4 for count, width in sequences)
    return Work(float(flops), float(rows[1] * candidate + rows[0] * side), random=True)


def flops_of(step: ins.Instruction, entries: Sequence[int], fields: int) -> int:
    """Operations of a row: a multiply-add is two, a function of a number one."""
    return _FLOPS[type(step)](step, entries, fields)


def _rows(s: Any, entries: Sequence[int], fields: int) -> int:
    terms = sum(place >= 0 for place in (s.request, s.item, s.pair)) + fields * (s.codes >= 0)
    return int(s.width * max(terms - 1, 0))


def _normalise(s: Any, entries: Sequence[int], fields: int) -> int:
    return int(5 * s.groups * s.width)


_FLOPS: dict[type[ins.Instruction], Callable[[Any, Sequence[int], int], int]] = {
    ins.Rows: _rows,
    ins.Affine: lambda s, *_: 2 * s.inputs * s.width,
    ins.Fold: lambda s, *_: 2 * s.inputs * s.width,
    ins.Constant: lambda s, *_: 0,
    ins.Unary: lambda s, *_: s.width if s.kind else 0,
    ins.Binary: lambda s, *_: s.width,
    ins.Softmax: lambda s, *_: 4 * s.width * s.groups,
    ins.Mix: lambda s, *_: 2 * s.experts * s.width,
    ins.Attend: lambda s, entries, _: 4 * entries[s.sequence] * (s.width + 1),
    # A mean is the same for all candidates of a request, which is where it counts.
    ins.Mean: lambda s, *_: 0,
    ins.FM: lambda s, *_: 3 * s.fields * s.width,
    ins.Pairs: lambda s, *_: s.fields * (s.fields - 1) // 2 * s.width * (2 if ins.PAIRS[s.kind] == "inner" else 1),
    ins.SelfAttend: lambda s, *_: 4 * s.fields * s.fields * (s.width + s.heads),
    ins.Reduce: lambda s, *_: s.groups * s.width,
    ins.Normalise: _normalise,
}
