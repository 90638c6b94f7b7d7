"""The Triton backend: the request tower in torch, then one program for each block of candidates."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from headrace.kernels.first_layer_gpu import block, first_layer, inside

ROWS = 32


@triton.jit  # type: ignore[untyped-decorator]
def towers_kernel(
    base: tl.tensor,
    start: tl.tensor,
    user: tl.tensor,
    item_rows: tl.tensor,
    code_rows: tl.tensor,
    dynamic: tl.tensor,
    dynamic_weight: tl.tensor,
    upper_weight: tl.tensor,
    last_weight: tl.tensor,
    owner: tl.tensor,
    item: tl.tensor,
    codes: tl.tensor,
    out: tl.tensor,
    n: tl.tensor,
    items: tl.tensor,
    code_count: tl.tensor,
    width: tl.tensor,
    targets: tl.tensor,
    dim: tl.tensor,
    upper: tl.tensor,
    depth: tl.tensor,
    FIELDS: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_K: tl.constexpr,
) -> None:
    """out[t, c] of ROWS candidates; NaN where the item or a code does not exist. Grid: blocks of candidates."""
    place = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    good = inside(item, codes, items, code_count, place, place < n, FIELDS)
    d, h, t = tl.arange(0, BLOCK_D), tl.arange(0, BLOCK_H), tl.arange(0, BLOCK_T)
    request = tl.load(owner + place, mask=good, other=0)
    row = tl.load(item + place, mask=good, other=0)
    d_mask = good[:, None] & (d < dim)[None, :]
    vector = tl.load(item_rows + row[:, None] * width + d[None, :], mask=d_mask, other=0.0)
    product = vector * tl.load(user + request[:, None] * dim + d[None, :], mask=d_mask, other=0.0)
    cross = first_layer(
        base, item_rows, code_rows, dynamic, dynamic_weight, owner, item, codes, place, good, width, dim, dim, depth,
        FIELDS, BLOCK_K, BLOCK_D,
    )  # fmt: skip
    wide = first_layer(
        base, item_rows, code_rows, dynamic, dynamic_weight, owner, item, codes, place, good, width, 2 * dim, targets,
        depth, FIELDS, BLOCK_K, BLOCK_T,
    )  # fmt: skip
    w_place = upper_weight + d[:, None] * upper + h[None, :]
    w_mask = (d < dim)[:, None] & (h < upper)[None, :]
    h_mask = good[:, None] & (h < upper)[None, :]
    hidden = tl.load(start + request[:, None] * upper + h[None, :], mask=h_mask, other=0.0)
    hidden = tl.dot(vector, tl.load(w_place, mask=w_mask, other=0.0), hidden, input_precision="tf32x3")
    w = tl.load(w_place + dim * upper, mask=w_mask, other=0.0)
    hidden = tl.dot(tl.maximum(cross, 0.0), w, hidden, input_precision="tf32x3")
    w = tl.load(w_place + 2 * dim * upper, mask=w_mask, other=0.0)
    hidden = tl.maximum(tl.dot(product, w, hidden, input_precision="tf32x3"), 0.0)
    last_mask = (h < upper)[:, None] & (t < targets)[None, :]
    last = tl.load(last_weight + h[:, None] * targets + t[None, :], mask=last_mask, other=0.0)
    logits = tl.dot(hidden, last, wide, input_precision="tf32x3")
    logits = tl.where(good[:, None], logits, float("nan"))
    tl.store(out + t[None, :] * n + place[:, None], logits, mask=(place < n)[:, None] & (t < targets)[None, :])


def three_towers(
    weights: list[Tensor],
    sizes: list[int],
    request: Tensor,
    offsets: Tensor,
    item: Tensor,
    codes: Tensor,
    dynamic: Tensor,
    threads: int,
) -> Tensor:
    *tower, user_weight, upper_bias, request_weight, item_rows, code_rows, dynamic_weight, upper, last = weights
    targets, dim, _, units = sizes
    n, depth = len(item), dynamic.shape[1]
    out = request.new_empty(targets, n)
    if n == 0:
        return out
    tower_weight, tower_bias, vector_weight, vector_bias = tower
    user = torch.addmm(vector_bias, torch.addmm(tower_bias, request, tower_weight).relu_(), vector_weight)
    towers_kernel[(triton.cdiv(n, ROWS),)](
        *(request @ request_weight, torch.addmm(upper_bias, user, user_weight), user),
        *(item_rows, code_rows, dynamic, dynamic_weight, upper, last),
        *(torch.repeat_interleave(offsets.diff(), output_size=n), item, codes, out),
        *(n, len(item_rows), len(code_rows), request_weight.shape[1], targets, dim, units, depth),
        FIELDS=codes.shape[1],
        ROWS=ROWS,
        BLOCK_T=block(targets),
        BLOCK_D=block(dim),
        BLOCK_H=block(units),
        BLOCK_K=block(depth),
    )
    return out
