"""The items that a mask allows, listed on the GPU before any of them is read."""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

WORDS = 4  # of a mask in one program


@triton.jit(do_not_specialize=["stride", "n_masks", "n_items", "n_blocks", "hop"])  # type: ignore[untyped-decorator]
def list_allowed(
    mask: tl.tensor, stride: tl.tensor, n_masks: tl.tensor, n_items: tl.tensor, n_blocks: tl.tensor, hop: tl.tensor,
    counts: tl.tensor, rows: tl.tensor, WORDS: tl.constexpr, WRITE: tl.constexpr,
) -> None:  # fmt: skip
    """Program i looks at block i * hop mod n_blocks of the items that any of the masks allows.

    WRITE: writes their rows, of which counts[i] belong to the blocks up to its own; else counts[i], how many it has.
    """
    place = (tl.program_id(0).to(tl.int64) * hop) % n_blocks
    word = place * WORDS + tl.arange(0, WORDS)
    words = tl.zeros((WORDS,), tl.int64)
    for i in range(0, n_masks):
        words = words | tl.load(mask + stride.to(tl.int64) * i + word, mask=word * 64 < n_items, other=0)
    bit = tl.arange(0, 64)
    row = (word[:, None] * 64 + bit[None, :]).to(tl.int32)
    allowed = (((words[:, None] >> bit[None, :].to(tl.int64)) & 1) != 0) & (row < n_items)
    row = tl.reshape(row, (WORDS * 64,))
    kept = tl.reshape(allowed.to(tl.int32), (WORDS * 64,))
    count = tl.sum(kept, 0)
    if WRITE:
        first = tl.load(counts + tl.program_id(0)) - count
        tl.store(rows + first + tl.cumsum(kept, 0) - 1, row, mask=kept != 0)
    else:
        tl.store(counts + tl.program_id(0), count)


def allowed_rows(words: Tensor, n_items: int) -> tuple[Tensor, Tensor]:
    """int32 [N] that begins with the rows that any mask of `words` (int64 [words] or [B, words]) allows, and how many.

    Any part of the list is spread over the whole catalogue.
    """
    blocks = triton.cdiv(n_items, WORDS * 64)
    counts = torch.empty(blocks, dtype=torch.int32, device=words.device)
    rows = torch.empty(n_items, dtype=torch.int32, device=words.device)
    masks, stride = (words.shape[0], words.shape[1]) if words.ndim == 2 else (1, 0)
    arguments = (words, stride, masks, n_items, blocks, spread(blocks))
    list_allowed[(blocks,)](*arguments, counts, rows, WORDS=WORDS, WRITE=False, num_warps=2)
    upto = counts.cumsum(0, dtype=torch.int32)
    list_allowed[(blocks,)](*arguments, upto, rows, WORDS=WORDS, WRITE=True, num_warps=2)
    return rows, upto[-1:]


def spread(count: int) -> int:
    """A step that visits `count` places once each and soon comes near all of them: about the golden section of it."""
    step = max(1, round(count * 0.6180339887498949))
    while math.gcd(step, count) > 1:
        step -= 1
    return step
