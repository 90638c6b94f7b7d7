"""A ranking network in one call: any model, lowered to a program, over all candidates of a batch of requests."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from headrace.kernels.checks import check_between, check_shape
from headrace.kernels.edge import CODES, FLOATS, IDS, takes
from headrace.kernels.network.program import MAX_SIZE, Precision, Program, Stage
from headrace.kernels.registry import Op

__all__ = ["Precision", "Program", "Stage", "network"]

OP = Op("network", __name__, "any ranking network, as a program", ("scalar", "avx2", "avx512", "amx"))


@takes(request=FLOATS, offsets=IDS, item=IDS, codes=CODES, pair=FLOATS, sequences=[(FLOATS, CODES)])
def network(
    program: Program,
    *,
    request: Tensor,
    offsets: Tensor,
    item: Tensor,
    codes: Tensor,
    pair: Tensor,
    sequences: Sequence[tuple[Tensor, Tensor]] = (),
    backend: str = "auto",
    threads: int = 0,
) -> Tensor:
    """float32 [n, T]: the logits of every target for the candidates of B requests; one target after another in memory.

    The request stage of `program` runs once for each request, its pair stage once for each candidate (see
    `headrace.kernels.network.instructions` for what each step means).

    request: float32 [B, R], the inputs of the requests. offsets: int64 [B + 1]: request b owns candidates offsets[b] to
    offsets[b + 1]. item: int64 [n], rows of `program.item_rows`. codes: int32 [n, F], rows of `program.code_rows`.
    pair: float32 [n, D], the candidates' own inputs. sequences: (entries float32 [B, N, d], counts int32 [B]) of each
    sequence; request b has the first counts[b].
    threads: at most this many on a CPU; 0 means the process setting.

    Float32 throughout: each sum runs over its terms in order, with fused multiply-adds. The native backend gives the
    same bits for every batch, thread count and instruction set.
    A program of precision "bfloat16" rounds both factors of each product of its pair stage's `Affine`s (not `own`) and
    sums these in float32 in any order: the same bits for every batch and thread count, but not from processors that
    multiply bfloat16 themselves. Against the reference, with r for the rounding and n inputs, an `Affine` adds at most
    (n + 2) 2^-24 (|start| + sum_i |r(x_i) r(W_io)|) + sum_i d_i |r(W_io)|. Where x_i may be off by e_i, d_i is the
    greatest of |r(y) - r(x_i)| for |y - x_i| <= e_i: zero unless a tie lies so near, and at most e_i + 2^-7 |x_i|. What
    lies below 2^-126 may count as zero.
    Raises TypeError or ValueError for a wrong type, shape or device; for an index out of range, offsets or counts out
    of order, or an input that is not finite. The gpu backend does not check the values, which would wait for the
    device: a candidate with an index out of range gets NaN.
    """
    if not isinstance(program, Program):
        raise TypeError(f"program: expected a Program, got {type(program).__name__}")
    device = program.weights.device
    batch, n = len(request), len(item)
    if len(sequences) != len(program.sequences):
        raise ValueError(f"sequences: expected {len(program.sequences)}, got {len(sequences)}")
    expected = {
        "request": (request, torch.float32, (batch, program.request_inputs)),
        "offsets": (offsets, torch.int64, (batch + 1,)),
        "item": (item, torch.int64, (n,)),
        "codes": (codes, torch.int32, (n, program.fields)),
        "pair": (pair, torch.float32, (n, program.pair_inputs)),
    }
    for name, (tensor, dtype, shape) in expected.items():
        check_shape(name, tensor, dtype, shape, device)
    for i, ((entries, counts), width) in enumerate(zip(sequences, program.sequences, strict=True)):
        check_shape(f"sequences[{i}]", entries, torch.float32, (batch, None, width), device)
        check_between(f"sequences[{i}]: entries", entries.shape[1], 0, MAX_SIZE)
        check_shape(f"sequences[{i}] counts", counts, torch.int32, (batch,), device)
    request, offsets, item, codes, pair = (tensor.contiguous() for tensor, *_ in expected.values())
    logits = OP(
        program.tensors,
        program.numbers,
        request,
        [entries.contiguous() for entries, _ in sequences],
        [counts.contiguous() for _, counts in sequences],
        offsets,
        item,
        codes,
        pair,
        backend=backend,
        threads=threads,
    )
    return logits.T  # type: ignore[no-any-return]


def _fake(
    tensors: list[Tensor],
    numbers: list[int],
    request: Tensor,
    sequences: list[Tensor],
    counts: list[Tensor],
    offsets: Tensor,
    item: Tensor,
    *_: object,
) -> Tensor:
    return tensors[0].new_empty(numbers[5], item.shape[0])


OP.register(
    "(Tensor[] tensors, int[] numbers, Tensor request, Tensor[] sequences, Tensor[] counts, Tensor offsets,"
    " Tensor item, Tensor codes, Tensor pair) -> Tensor",
    "tensors any, request float32 B *, sequences float32 B * *, counts int32 B, offsets int64 B+1, item int64 n,"
    " codes int32 n *, pair float32 n *",
    _fake,
)
