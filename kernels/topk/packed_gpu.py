"""A catalogue's low-precision copy on a GPU: rows of bfloat16 or int8, and what bounds their rounding.

One uint8 tensor holds, each from a 256-byte boundary: the rows [N, width], zeros beyond d; scale float32 [N] (int8
only); -|x|^2 / 2 as float32 [N] (l2 only); and for each 128 items two float32: how far rounding moved any of them at
most, and how long the longest is. docs/kernels/topk.md has the bounds that these give.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from headrace.kernels.topk.queries_gpu import LEAST_SCALE
from headrace.kernels.topk.scan_gpu import ITEMS, SAFE

ALIGN = 256
CHUNK = 512 * ITEMS  # rows packed at a time, so that float64 copies stay small
RAISED = 1 + 2.0**-20


class Parts(NamedTuple):
    """Views of a packed catalogue; the ones its kind lacks are empty."""

    rows: Tensor
    scale: Tensor
    shift: Tensor
    spread: Tensor
    longest: Tensor


def width_of(dim: int) -> int:
    """Numbers in a packed row: whole memory sectors, and what a step of the matrix units takes."""
    return dim + -dim % 32


def packed_bytes(n_items: int, dim: int, metric: str, scan: str) -> int:
    """How many bytes the packed catalogue takes."""
    return sum(size + -size % ALIGN for size in _sizes(n_items, dim, metric, scan))


def pack(items: Tensor, metric: str, scan: str) -> Tensor:
    """Packs float32 [N, d], finite, for scan "bfloat16" or "int8"; uint8 on the items' device."""
    n_items, dim = items.shape
    data = torch.zeros(packed_bytes(n_items, dim, metric, scan), dtype=torch.uint8, device=items.device)
    parts = views(data, n_items, dim, metric, scan)
    for first in range(0, n_items, CHUNK):
        _pack_rows(items[first : first + CHUNK], first, metric, scan, parts)
    return data


def views(data: Tensor, n_items: int, dim: int, metric: str, scan: str) -> Parts:
    """The parts of what `pack` gave. ValueError where the length is not that of such a catalogue."""
    expected = packed_bytes(n_items, dim, metric, scan)
    if data.dtype != torch.uint8 or tuple(data.shape) != (expected,):
        raise ValueError(f"packed: expected uint8 [{expected}], got {data.dtype} {list(data.shape)}")
    kinds = (_row_dtype(scan), *(torch.float32,) * 4)
    parts, at = [], 0
    for size, dtype in zip(_sizes(n_items, dim, metric, scan), kinds, strict=True):
        parts.append(data[at : at + size].view(dtype))
        at += size + -size % ALIGN
    return Parts(parts[0].view(n_items, width_of(dim)), *parts[1:])


def _sizes(n_items: int, dim: int, metric: str, scan: str) -> tuple[int, ...]:
    tiles = -(-n_items // ITEMS)
    rows = n_items * width_of(dim) * _row_dtype(scan).itemsize
    return rows, 4 * n_items * (scan == "int8"), 4 * n_items * (metric == "l2"), 4 * tiles, 4 * tiles


def _row_dtype(scan: str) -> torch.dtype:
    return torch.int8 if scan == "int8" else torch.bfloat16


def _pack_rows(items: Tensor, first: int, metric: str, scan: str, parts: Parts) -> None:
    x = items.double()
    rows = slice(first, first + len(x))
    length = x.norm(dim=1)
    unsafe = length > SAFE
    if metric == "l2":
        parts.shift[rows] = (length.square() / -2).masked_fill(unsafe, 0.0).float()
    if metric == "cosine":
        x = x / length.where(length > 0, 1.0).unsqueeze(1)
        unsafe = torch.zeros_like(unsafe)
    # A vector beyond the range has no bound: nothing stands for it.
    x = x.masked_fill(unsafe.unsqueeze(1), 0.0)
    if scan == "int8":
        scale = (x.abs().amax(1) / 127).float()
        scale = scale.masked_fill(scale < LEAST_SCALE, 0.0)
        steps = scale.double().unsqueeze(1)
        packed = (x / steps.where(steps > 0, torch.inf)).round().clamp(-127, 127)
        parts.scale[rows] = scale
        near = packed * steps
        parts.rows[rows, : x.shape[1]] = packed.to(torch.int8)
    else:
        short = x.float().bfloat16()
        near = short.double()
        parts.rows[rows, : x.shape[1]] = short
    # Dividing by the length in float64 moves a vector by less than 2^-40.
    moved = (near - x).norm(dim=1) * RAISED + (2.0**-40 if metric == "cosine" else 0.0)
    longest = torch.maximum(x.norm(dim=1), near.norm(dim=1)) * RAISED
    for bound, to in ((moved, parts.spread), (longest, parts.longest)):
        bound = torch.nn.functional.pad(bound.masked_fill(unsafe, torch.inf), (0, -len(x) % ITEMS))
        of_tiles = bound.view(-1, ITEMS).amax(1)
        to[first // ITEMS : first // ITEMS + len(of_tiles)] = of_tiles.float()
