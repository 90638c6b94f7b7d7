"""The Triton kernel: each entry counts those of its segment that come before it, which is where it goes."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from headrace.kernels.segment_topk.reference import check_input

_BLOCK = 32


@triton.jit(do_not_specialize=["k", "blocks"])  # type: ignore[untyped-decorator]
def _rank_kernel(
    offsets: tl.tensor,
    kept: tl.tensor,
    score: tl.tensor,
    tie: tl.tensor,
    index: tl.tensor,
    k: tl.tensor,
    blocks: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    segment = tl.program_id(0) // blocks
    begin = tl.program_id(0) % blocks * BLOCK
    first, last = tl.load(offsets + segment), tl.load(offsets + segment + 1)
    out = tl.load(kept + segment)
    mine = first + begin + tl.arange(0, BLOCK)
    if first + begin < last:
        my_score = tl.load(score + mine, mask=mine < last, other=0.0)[:, None]
        my_tie = tl.load(tie + mine, mask=mine < last, other=0)[:, None]
        rank = tl.zeros([BLOCK], tl.int64)
        for start in range(first, last, BLOCK):
            other = start + tl.arange(0, BLOCK)
            its_score = tl.load(score + other, mask=other < last, other=float("-inf"))[None, :]
            its_tie = tl.load(tie + other, mask=other < last, other=0)[None, :]
            earlier = (its_tie < my_tie) | ((its_tie == my_tie) & (other[None, :] < mine[:, None]))
            ahead = (its_score > my_score) | ((its_score == my_score) & earlier)
            rank += tl.sum((ahead & (other < last)[None, :]).to(tl.int64), 1)
        tl.store(index + out + rank, mine, mask=(mine < last) & (rank < k))


def segment_topk(offsets: Tensor, score: Tensor, tie: Tensor, k: int, threads: int = 0) -> tuple[Tensor, Tensor]:
    check_input(offsets, score)
    counts = offsets.diff()
    kept = torch.zeros_like(offsets)
    torch.cumsum(counts.clamp_max(k), 0, out=kept[1:])
    index = torch.empty(int(kept[-1]), dtype=torch.int64, device=score.device)
    if len(index):
        blocks = triton.cdiv(int(counts.max()), _BLOCK)
        # One axis, as the others end at 65535 programs.
        _rank_kernel[(len(counts) * blocks,)](offsets, kept, score, tie, index, k, blocks, BLOCK=_BLOCK, num_warps=4)
    return index, kept
