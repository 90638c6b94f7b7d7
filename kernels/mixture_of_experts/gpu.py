"""The Triton backend: attention, then the experts, then the heads, each a program for a block of candidates."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from headrace.kernels.first_layer_gpu import block, first_layer, inside
from headrace.kernels.rows import filled

ROWS = 32


@triton.jit  # type: ignore[untyped-decorator]
def attend_kernel(
    query: tl.tensor,
    behaviours: tl.tensor,
    counts: tl.tensor,
    owner: tl.tensor,
    out: tl.tensor,
    n: tl.tensor,
    longest: tl.tensor,
    dim: tl.tensor,
    scale: tl.tensor,
    ROWS: tl.constexpr,
    BLOCK_D: tl.constexpr,
) -> None:
    """out[c] = the behaviours' mean under softmax(query[c] . behaviour * scale). Grid: blocks of candidates."""
    place = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    d = tl.arange(0, BLOCK_D)
    mask = (place < n)[:, None] & (d < dim)[None, :]
    x = tl.load(query + place[:, None] * dim + d[None, :], mask=mask, other=0.0)
    request = tl.load(owner + place, mask=place < n, other=0)
    count = tl.load(counts + request, mask=place < n, other=0)
    peak = tl.full([ROWS], -3.0e38, tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    mean = tl.zeros([ROWS, BLOCK_D], tl.float32)
    for b in range(longest):
        y = tl.load(behaviours + (request * longest + b)[:, None] * dim + d[None, :], mask=mask, other=0.0)
        logit = tl.where(b < count, tl.sum(x * y, 1) * scale, -3.0e38)
        higher = tl.maximum(peak, logit)
        keep, term = tl.exp(peak - higher), tl.where(b < count, tl.exp(logit - higher), 0.0)
        total = total * keep + term
        mean = mean * keep[:, None] + term[:, None] * y
        peak = higher
    mean = mean / tl.where(total > 0, total, 1.0)[:, None]
    tl.store(out + place[:, None] * dim + d[None, :], mean, mask=mask)


@triton.jit  # type: ignore[untyped-decorator]
def experts_kernel(
    base: tl.tensor,
    item_rows: tl.tensor,
    code_rows: tl.tensor,
    inputs: tl.tensor,
    weight: tl.tensor,
    owner: tl.tensor,
    item: tl.tensor,
    codes: tl.tensor,
    expert_weight: tl.tensor,
    expert_bias: tl.tensor,
    vectors: tl.tensor,
    n: tl.tensor,
    items: tl.tensor,
    code_count: tl.tensor,
    width: tl.tensor,
    start: tl.tensor,
    hidden: tl.tensor,
    units: tl.tensor,
    depth: tl.tensor,
    FIELDS: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_U: tl.constexpr,
    BLOCK_K: tl.constexpr,
) -> None:
    """vectors[e, c], one expert's second layer of ROWS candidates. Grid: blocks of candidates, experts."""
    place = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    expert = tl.program_id(1).to(tl.int64)
    good = inside(item, codes, items, code_count, place, place < n, FIELDS)
    x = first_layer(
        base, item_rows, code_rows, inputs, weight, owner, item, codes, place, good, width, start + expert * hidden,
        hidden, depth, FIELDS, BLOCK_K, BLOCK_H,
    )  # fmt: skip
    h, u = tl.arange(0, BLOCK_H), tl.arange(0, BLOCK_U)
    w_mask = (h < hidden)[:, None] & (u < units)[None, :]
    w_place = expert * hidden * units + h[:, None] * units + u[None, :]
    w = tl.load(expert_weight + w_place, mask=w_mask, other=0.0)
    bias = tl.load(expert_bias + expert * units + u, mask=u < units, other=0.0)
    y = tl.dot(tl.maximum(x, 0.0), w, input_precision="tf32x3") + bias[None, :]
    mask = (place < n)[:, None] & (u < units)[None, :]
    tl.store(vectors + (expert * n + place)[:, None] * units + u[None, :], tl.maximum(y, 0.0), mask=mask)


@triton.jit  # type: ignore[untyped-decorator]
def heads_kernel(
    base: tl.tensor,
    item_rows: tl.tensor,
    code_rows: tl.tensor,
    inputs: tl.tensor,
    weight: tl.tensor,
    owner: tl.tensor,
    item: tl.tensor,
    codes: tl.tensor,
    vectors: tl.tensor,
    head_weight: tl.tensor,
    head_bias: tl.tensor,
    out_weight: tl.tensor,
    out_bias: tl.tensor,
    out: tl.tensor,
    n: tl.tensor,
    items: tl.tensor,
    code_count: tl.tensor,
    width: tl.tensor,
    targets: tl.tensor,
    experts: tl.tensor,
    units: tl.tensor,
    head_units: tl.tensor,
    depth: tl.tensor,
    FIELDS: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_U: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_K: tl.constexpr,
) -> None:
    """out[t, c], one target of ROWS candidates; NaN where the item or a code does not exist. Grid: blocks, targets."""
    place = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    target = tl.program_id(1).to(tl.int64)
    good = inside(item, codes, items, code_count, place, place < n, FIELDS)
    gates = first_layer(
        base, item_rows, code_rows, inputs, weight, owner, item, codes, place, good, width, target * experts, experts,
        depth, FIELDS, BLOCK_K, BLOCK_E,
    )  # fmt: skip
    wide = first_layer(
        base, item_rows, code_rows, inputs, weight, owner, item, codes, place, good, width, targets * experts + target,
        1, depth, FIELDS, BLOCK_K, 16,
    )  # fmt: skip
    e, u, h = tl.arange(0, BLOCK_E), tl.arange(0, BLOCK_U), tl.arange(0, BLOCK_H)
    gates = tl.where((e < experts)[None, :], gates, -3.0e38)
    gates = tl.exp(gates - tl.max(gates, 1)[:, None])
    gates = gates / tl.sum(gates, 1)[:, None]
    mixed = tl.zeros([ROWS, BLOCK_U], tl.float32)
    mask = good[:, None] & (u < units)[None, :]
    for expert in range(experts):
        gate = tl.sum(tl.where((e == expert)[None, :], gates, 0.0), 1)
        row = (expert * n + place)[:, None] * units
        mixed += gate[:, None] * tl.load(vectors + row + u[None, :], mask=mask, other=0.0)
    w_mask = (u < units)[:, None] & (h < head_units)[None, :]
    w_place = target * units * head_units + u[:, None] * head_units + h[None, :]
    w = tl.load(head_weight + w_place, mask=w_mask, other=0.0)
    bias = tl.load(head_bias + target * head_units + h, mask=h < head_units, other=0.0)
    y = tl.maximum(tl.dot(mixed, w, input_precision="tf32x3") + bias[None, :], 0.0)
    v = tl.load(out_weight + target * head_units + h, mask=h < head_units, other=0.0)
    logit = tl.sum(y * v[None, :], 1) + tl.load(out_bias + target) + tl.sum(wide, 1)
    tl.store(out + target * n + place, tl.where(good, logit, float("nan")), mask=place < n)


def mixture_of_experts(
    weights: list[Tensor],
    sizes: list[int],
    request: Tensor,
    taste: Tensor,
    behaviours: Tensor,
    counts: Tensor,
    offsets: Tensor,
    item: Tensor,
    codes: Tensor,
    dynamic: Tensor,
    threads: int,
) -> Tensor:
    request_weight, item_rows, code_rows, weight, expert_weight, expert_bias, *heads = weights
    targets, experts, hidden, units, head_units, dim, attention = sizes
    n, width = len(item), weight.shape[1]
    out = request.new_empty(targets, n)
    if n == 0:
        return out
    owner = torch.repeat_interleave(offsets.diff(), output_size=n)
    embedding = targets * experts + targets
    # An item out of range gets NaN in the end; until then it borrows another's embedding.
    query = item_rows[:, embedding : embedding + dim].index_select(0, item.clamp(0, len(item_rows) - 1))
    inputs = [taste.index_select(0, owner) * query]
    blocks = triton.cdiv(n, ROWS)
    if attention:
        attended = torch.empty_like(query, memory_format=torch.contiguous_format)
        attend_kernel[(blocks,)](
            *(query.contiguous(), behaviours, counts, owner, attended, n, behaviours.shape[1], dim, dim**-0.5),
            ROWS=ROWS,
            BLOCK_D=block(dim),
        )
        inputs.append(attended)
    joined = torch.cat([*inputs, dynamic], 1)
    depth = joined.shape[1]
    first = (request @ request_weight, item_rows, code_rows, joined, weight, owner, item, codes)
    vectors = request.new_empty(experts, n, units)
    shared = {"FIELDS": codes.shape[1], "ROWS": ROWS, "BLOCK_K": block(depth), "BLOCK_U": block(units)}
    experts_kernel[(blocks, experts)](
        *(*first, expert_weight, expert_bias, vectors, n, len(item_rows), len(code_rows), width),
        *(width - filled(experts * hidden), hidden, units, depth),
        BLOCK_H=block(hidden),
        **shared,
    )
    heads_kernel[(blocks, targets)](
        *(*first, vectors, *heads, out, n, len(item_rows), len(code_rows), width),
        *(targets, experts, units, head_units, depth),
        BLOCK_E=block(experts),
        BLOCK_H=block(head_units),
        **shared,
    )
    return out
