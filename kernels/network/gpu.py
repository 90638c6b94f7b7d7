"""The Triton backend: one launch a stage. Each program walks the instructions for a block of rows after another, whose
columns stay in its own part of a scratch memory, small enough for the caches."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from headrace.kernels.network import instructions as ins
from headrace.kernels.network.attention_gpu import attend, mean, self_attend
from headrace.kernels.network.products_gpu import affine, answer, rows
from headrace.kernels.network.steps_gpu import (
    binary,
    constant,
    field,
    fm,
    fold,
    mix,
    normalise,
    pairs,
    reduce,
    softmax,
    unary,
)

ROWS, TILE, BLOCK_O, BLOCK_K, WARPS = 32, 16, 64, 16, 4
#: Programs that share a multiprocessor, and the registers that this leaves to a thread.
RESIDENT, REGISTERS = 3, 168

#: The arguments of `stage_kernel` that are numbers.
SIZES = (
    *("n", "steps", "columns", "result", "width", "items", "item_width", "code_count", "code_width"),
    *("request_width", "input_width", "fields", "row_stride", "target_stride"),
)

ENCODED = tl.constexpr(ins.ENCODED)
AFFINE = tl.constexpr(ins.INSTRUCTIONS.index(ins.Affine))
FOLD = tl.constexpr(ins.INSTRUCTIONS.index(ins.Fold))
CONSTANT = tl.constexpr(ins.INSTRUCTIONS.index(ins.Constant))
UNARY = tl.constexpr(ins.INSTRUCTIONS.index(ins.Unary))
BINARY = tl.constexpr(ins.INSTRUCTIONS.index(ins.Binary))
SOFTMAX = tl.constexpr(ins.INSTRUCTIONS.index(ins.Softmax))
MIX = tl.constexpr(ins.INSTRUCTIONS.index(ins.Mix))
ATTEND = tl.constexpr(ins.INSTRUCTIONS.index(ins.Attend))
MEAN = tl.constexpr(ins.INSTRUCTIONS.index(ins.Mean))
FM = tl.constexpr(ins.INSTRUCTIONS.index(ins.FM))
PAIRS = tl.constexpr(ins.INSTRUCTIONS.index(ins.Pairs))
SELF_ATTEND = tl.constexpr(ins.INSTRUCTIONS.index(ins.SelfAttend))
REDUCE = tl.constexpr(ins.INSTRUCTIONS.index(ins.Reduce))
NORMALISE = tl.constexpr(ins.INSTRUCTIONS.index(ins.Normalise))


# One build serves every size: it takes seconds.
@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def stage_kernel(
    code: tl.tensor,
    weights: tl.tensor,
    item_rows: tl.tensor,
    code_rows: tl.tensor,
    request_rows: tl.tensor,
    inputs: tl.tensor,
    owner: tl.tensor,
    item: tl.tensor,
    codes: tl.tensor,
    scratch: tl.tensor,
    out: tl.tensor,
    entries: tl.tensor,
    counts: tl.tensor,
    longest: tl.tensor,
    n: tl.tensor,
    steps: tl.tensor,
    columns: tl.tensor,
    result: tl.tensor,
    width: tl.tensor,
    items: tl.tensor,
    item_width: tl.tensor,
    code_count: tl.tensor,
    code_width: tl.tensor,
    request_width: tl.tensor,
    input_width: tl.tensor,
    fields: tl.tensor,
    row_stride: tl.tensor,
    target_stride: tl.tensor,
    ROWS: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK_O: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BFLOAT16: tl.constexpr,
) -> None:
    """out[row, t]: the stage's result; NaN where the item or a code does not exist. Grid: any number of programs.

    owner: int32 [n], whose request, sequences and request's row each row has, not falling. entries, counts, longest:
    tuples over the sequences. The other arguments are as the launcher passes them.
    """
    held = scratch + tl.program_id(0).to(tl.int64) * columns * ROWS
    for block in range(tl.program_id(0), tl.cdiv(n, ROWS), tl.num_programs(0)):
        for i in range(steps):
            step = code + i * ENCODED
            kind = tl.load(step).to(tl.int32)
            if kind == AFFINE:
                if field(step, 1) <= TILE:
                    affine(
                        step, held, weights, request_rows, request_width, owner, block, n, ROWS, TILE, BLOCK_K,
                        BFLOAT16,
                    )  # fmt: skip
                else:
                    affine(
                        step, held, weights, request_rows, request_width, owner, block, n, ROWS, BLOCK_O, BLOCK_K,
                        BFLOAT16,
                    )  # fmt: skip
            elif kind == FOLD:
                fold(step, held, weights, ROWS, TILE)
            elif kind == CONSTANT:
                constant(step, held, weights, ROWS, TILE)
            elif kind == UNARY:
                unary(step, held, weights, ROWS, TILE)
            elif kind == BINARY:
                binary(step, held, ROWS, TILE)
            elif kind == SOFTMAX:
                softmax(step, held, ROWS, TILE)
            elif kind == MIX:
                mix(step, held, ROWS, TILE)
            elif kind == ATTEND:
                for s in tl.static_range(len(entries)):
                    if field(step, 3) == s:
                        attend(step, held, weights, entries[s], counts[s], longest[s], owner, block, n, ROWS, BLOCK_D)
            elif kind == MEAN:
                for s in tl.static_range(len(entries)):
                    if field(step, 2) == s:
                        mean(step, held, entries[s], counts[s], longest[s], owner, block, n, ROWS, BLOCK_D)
            elif kind == FM:
                fm(step, held, ROWS, TILE)
            elif kind == PAIRS:
                pairs(step, held, ROWS, TILE)
            elif kind == SELF_ATTEND:
                self_attend(step, held, weights, ROWS, TILE)
            elif kind == REDUCE:
                reduce(step, held, ROWS, TILE)
            elif kind == NORMALISE:
                normalise(step, held, weights, ROWS, TILE)
            else:
                rows(
                    step, held, item_rows, code_rows, request_rows, inputs, owner, item, codes, block, n, items,
                    item_width, code_count, code_width, request_width, input_width, fields, ROWS, TILE,
                )  # fmt: skip
            tl.debug_barrier()  # the next step reads what others wrote
        answer(
            out, held, item, codes, block, n, result, width, items, code_count, fields, row_stride, target_stride, ROWS,
            TILE,
        )  # fmt: skip
        tl.debug_barrier()  # the next block writes what this one read


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
) -> Tensor:
    weights, item_rows, code_rows, request_code, pair_code = tensors[:5]
    batch, n, request_width, targets = len(request), len(item), numbers[2], numbers[5]
    rows, out = request.new_empty(batch, request_width), request.new_empty(targets, n)
    if n == 0 or batch == 0:
        return out.fill_(torch.nan)
    everyone = torch.arange(batch, device=request.device)
    places = torch.arange(n, device=request.device)
    owner = torch.searchsorted(offsets[1:], places, right=True, out_int32=True).clamp_(max=batch - 1)
    shared = (weights, item_rows, code_rows, rows)
    lists = (tuple(sequences), tuple(counts), tuple(values.shape[1] for values in sequences))
    sizes = (item_rows.shape[1], len(code_rows), code_rows.shape[1], request_width)
    blocks = {
        **{"ROWS": ROWS, "TILE": TILE, "BLOCK_O": BLOCK_O, "BLOCK_K": BLOCK_K},
        "BLOCK_D": max((block(values.shape[2]) for values in sequences), default=0),
        **{"num_warps": WARPS, "num_stages": 1, "maxnreg": REGISTERS},
    }
    if request_width:
        programs, scratch = room(batch, numbers[0], request)
        # A request stands for its own item, so that every row is good.
        stage_kernel[(programs,)](
            *(request_code, *shared, request, everyone.int(), everyone, codes, scratch, rows, *lists),
            *(batch, len(request_code), *numbers[:3], batch, *sizes, request.shape[1], 0, request_width, 1),
            **blocks,
            BFLOAT16=False,
        )
    programs, scratch = room(n, numbers[3], request)
    stage_kernel[(programs,)](
        *(pair_code, *shared, pair, owner, item, codes, scratch, out, *lists),
        *(n, len(pair_code), *numbers[3:6], len(item_rows), *sizes, pair.shape[1], codes.shape[1], 1, n),
        **blocks,
        BFLOAT16=bool(numbers[9]),
    )
    return out


def room(count: int, columns: int, like: Tensor) -> tuple[int, Tensor]:
    """How many programs run over `count` rows, and memory for the columns of their blocks."""
    device = like.device
    units = torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1
    programs = min(int(triton.cdiv(count, ROWS)), units * RESIDENT)
    return programs, like.new_empty(programs, columns, ROWS)


def block(size: int) -> int:
    """The block that holds `size` columns."""
    return max(16, int(triton.next_power_of_2(size)))
