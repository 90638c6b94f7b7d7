"""The Triton backend: float64 matrix units score a layer, a stable sort on the device keeps its best."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from headrace.kernels.beam_search import empty_result

ROWS = 16
# Larger blocks spill registers: a float64 takes two.
BLOCK_K = 32
BLOCK_H = 32
BLOCK_U = 16


@triton.jit  # type: ignore[untyped-decorator]
def project_kernel(
    user: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    out: tl.tensor,
    batch: tl.tensor,
    user_dim: tl.tensor,
    hidden: tl.tensor,
    ROWS: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_U: tl.constexpr,
) -> None:
    """out[d, b] = the user's columns of W1 of layer d, times user b, plus the bias. Grid: rows, hidden, layers."""
    rows = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    h = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    layer = tl.program_id(2).to(tl.int64)
    weight += layer * hidden * user_dim
    inside = h < hidden
    total = tl.zeros([ROWS, BLOCK_H], tl.float64)
    for first in range(0, user_dim, BLOCK_U):
        u = first + tl.arange(0, BLOCK_U)
        x_mask = (rows < batch)[:, None] & (u < user_dim)[None, :]
        x = tl.load(user + rows[:, None] * user_dim + u[None, :], mask=x_mask, other=0.0).to(tl.float64)
        place = (h // 8)[None, :] * user_dim * 8 + u[:, None] * 8 + (h % 8)[None, :]
        w = tl.load(weight + place, mask=(u < user_dim)[:, None] & inside[None, :], other=0.0)
        total = tl.dot(x, w, total, out_dtype=tl.float64)
    total += tl.load(bias + layer * hidden + h, mask=inside, other=0.0)[None, :]
    place = (layer * batch + rows)[:, None] * hidden + h[None, :]
    tl.store(out + place, total, mask=(rows < batch)[:, None] & inside[None, :])


@triton.jit  # type: ignore[untyped-decorator]
def score_kernel(
    base: tl.tensor,
    tables: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    codes: tl.tensor,
    logp: tl.tensor,
    scores: tl.tensor,
    n: tl.tensor,
    nodes: tl.tensor,
    hidden: tl.tensor,
    LAYER: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_H: tl.constexpr,
) -> None:
    """scores[b, i, c] = logp[b, i] + log p(c | user b, path i), for ROWS of a request's n paths. Grid: requests x rows.

    LAYER: how many nodes the paths have, c not counted.
    """
    parts = tl.cdiv(n, ROWS)
    request = (tl.program_id(0) // parts).to(tl.int64)
    rows = tl.program_id(0) % parts * ROWS + tl.arange(0, ROWS)
    live = rows < n
    code = tl.load(codes + request * n + rows, mask=live, other=0)
    parent = tl.load(logp + request * n + rows, mask=live, other=0.0)
    out = scores + (request * n + rows)[:, None] * nodes
    peak = tl.full([ROWS], -float("inf"), tl.float64)
    total = tl.zeros([ROWS], tl.float64)
    for first in range(0, nodes, BLOCK_K):
        c = first + tl.arange(0, BLOCK_K)
        valid = c < nodes
        logits = tl.zeros([ROWS, BLOCK_K], tl.float64)
        for start in range(0, hidden, BLOCK_H):
            h = start + tl.arange(0, BLOCK_H)
            inside = h < hidden
            x = tl.zeros([ROWS, BLOCK_H], tl.float64)
            x += tl.load(base + request * hidden + h, mask=inside, other=0.0)[None, :]
            rest = code
            for step in tl.static_range(LAYER):
                row = (LAYER - 1 - step) * nodes + rest % nodes
                x += tl.load(tables + row[:, None] * hidden + h[None, :], mask=inside[None, :], other=0.0)
                rest = rest // nodes
            place = (c // 8)[None, :] * hidden * 8 + h[:, None] * 8 + (c % 8)[None, :]
            w = tl.load(weight + place, mask=inside[:, None] & valid[None, :], other=0.0)
            logits = tl.dot(tl.maximum(x, 0.0), w, logits, out_dtype=tl.float64)
        logits += tl.load(bias + c, mask=valid, other=0.0)[None, :]
        logits = tl.where(valid[None, :], logits, -float("inf"))
        top = tl.maximum(peak, tl.max(logits, 1))
        total = total * tl.exp(peak - top) + tl.sum(tl.exp(logits - top[:, None]), 1)
        peak = top
        tl.store(out + c[None, :], logits, mask=live[:, None] & valid[None, :])
    norm = peak + tl.log(total)
    # Other threads of this program wrote what this one reads below.
    tl.debug_barrier()
    for first in range(0, nodes, BLOCK_K):
        c = first + tl.arange(0, BLOCK_K)
        mask = live[:, None] & (c < nodes)[None, :]
        logits = tl.load(out + c[None, :], mask=mask, other=0.0)
        tl.store(out + c[None, :], parent[:, None] + (logits - norm[:, None]), mask=mask)


def beam_search(
    user: Tensor, weights: list[Tensor], packed: list[Tensor], beam: int, threads: int
) -> tuple[Tensor, Tensor]:
    paths, logp = empty_result(user, weights, packed, beam)
    batch, nodes = user.shape[0], weights[0].shape[1]
    if batch == 0:
        return paths, logp
    codes, found = _search(user.contiguous(), packed, nodes, beam)
    order = found.argsort(dim=1, descending=True, stable=True)
    depth, count = paths.shape[2], codes.shape[1]
    powers = nodes ** torch.arange(depth - 1, -1, -1, device=user.device)
    finite = user.isfinite().all(1)[:, None]
    paths.fill_(-1)
    logp.fill_(-torch.inf)
    paths[:, :count] = codes.gather(1, order)[:, :, None] // powers % nodes
    logp[:, :count] = found.gather(1, order)
    return paths.where(finite[:, :, None], -1), logp.where(finite, torch.nan)


def _search(user: Tensor, packed: list[Tensor], nodes: int, beam: int) -> tuple[Tensor, Tensor]:
    """The best paths' codes, ascending, and their log-probabilities."""
    user_weight, hidden_bias, tables, output_weight, output_bias = packed
    depth, hidden = hidden_bias.shape
    batch, user_dim = user.shape
    base = tables.new_empty((depth, batch, hidden))
    grid = (triton.cdiv(batch, ROWS), triton.cdiv(hidden, BLOCK_H), depth)
    project_kernel[grid](
        user, user_weight, hidden_bias, base, batch, user_dim, hidden, ROWS=ROWS, BLOCK_H=BLOCK_H, BLOCK_U=BLOCK_U
    )
    codes = user.new_zeros((batch, 1), dtype=torch.int64)
    logp = tables.new_zeros((batch, 1))
    for d in range(depth):
        n = codes.shape[1]
        scores = tables.new_empty((batch, n * nodes))
        layer = (base[d], tables[d * (d - 1) // 2 :], output_weight[d], output_bias[d])
        # One axis, as the others end at 65535 programs.
        score_kernel[(triton.cdiv(n, ROWS) * batch,)](
            *layer, codes, logp, scores, n, nodes, hidden, LAYER=d, ROWS=ROWS, BLOCK_K=BLOCK_K, BLOCK_H=BLOCK_H
        )
        # Parents stand in order of their codes, so a stable sort leaves the lower path first among equals.
        best = scores.argsort(dim=1, descending=True, stable=True)[:, :beam].sort(dim=1).values
        codes = codes.gather(1, best // nodes) * nodes + best % nodes
        logp = scores.gather(1, best)
    return codes, logp
