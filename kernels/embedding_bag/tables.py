"""Many embedding tables in one buffer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from headrace.kernels.edge import ROWS, takes
from headrace.kernels.memory import zeros_on_huge_pages

#: A row takes its elements padded to a multiple of this, so that vectors never cross its end.
PAD = 16
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.int8}
_MOST = torch.finfo(torch.bfloat16).max


class EmbeddingTables:
    """T embedding tables, copied into one buffer; fixed once made, so safe from many threads.

    tables: float32 or bfloat16 [rows_t, dim_t], all of one dtype and device. dtype: None (rows as given), "float32",
    "bfloat16" (rounded to nearest even, or to its largest number, 3.39e38, where that would be infinity) or "int8":
    each row is round(x / s) with s = max|row| / 127, rounded to nearest even, so a value is off by at most s / 2 plus
    float32 rounding: 0.4 % of the row's largest. int4 is not offered. What is stored is finite.
    dims, rows: of each table. width: sum of dims. nbytes: of all buffers.
    Raises TypeError for a wrong dtype; ValueError for no tables, a wrong shape, or NaN or infinity in a table.
    """

    @takes(tables=[ROWS])
    def __init__(self, tables: Sequence[Tensor], dtype: str | None = None) -> None:
        _check(tables, dtype)
        stored = tables[0].dtype if dtype is None else _DTYPES[dtype]
        device = tables[0].device
        self.dims = tuple(table.shape[1] for table in tables)
        self.rows = tuple(table.shape[0] for table in tables)
        self.width = sum(self.dims)
        self.dtype = str(stored).removeprefix("torch.")
        strides = [-(-dim // PAD) * PAD for dim in self.dims]
        sizes = [rows * stride for rows, stride in zip(self.rows, strides, strict=True)]
        self.values = zeros_on_huge_pages(sum(sizes), stored, device)
        self.scales = zeros_on_huge_pages(sum(self.rows) if stored == torch.int8 else 0, torch.float32, device)
        parts = zip(tables, self.values.split(sizes), strides, strict=True)
        scales = self.scales.split(self.rows) if stored == torch.int8 else [None] * len(tables)
        for (table, part, stride), scale in zip(parts, scales, strict=True):
            rows = part.view(-1, stride)[:, : table.shape[1]]
            rows.copy_(table if scale is None else _quantise(table, scale))
            if stored == torch.bfloat16:
                rows.clamp_(-_MOST, _MOST)
        #: int64 [T, 5]: first element in values, first entry in scales, rows, dim, first column of the output.
        self.layout = torch.tensor(
            [_starts(sizes), _starts(self.rows), self.rows, self.dims, _starts(self.dims)], device=device
        ).T.contiguous()

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.scales.nbytes + self.layout.nbytes

    def table(self, number: int) -> Tensor:
        """float32 [rows, dim]: the values that look-ups in a table see."""
        start, first, rows, dim, _ = self.layout[number].tolist()
        stride = -(-dim // PAD) * PAD
        values = self.values[start : start + rows * stride].view(rows, stride)[:, :dim].float()
        return values * self.scales[first : first + rows, None] if self.dtype == "int8" else values


def _quantise(table: Tensor, scale: Tensor) -> Tensor:
    """int8 rows; their scales go into `scale` (float32 [rows])."""
    torch.div(table.float().abs().amax(1), 127, out=scale)
    # 127 times what was rounded up may be infinite.
    scale.copy_(torch.where((scale * 127).isinf(), scale.nextafter(torch.zeros(())), scale))
    step = torch.where(scale > 0, scale, 1.0).unsqueeze(1)
    return (table.float() / step).round().clamp(-127, 127).to(torch.int8)


def _starts(sizes: Sequence[int]) -> list[int]:
    return list(accumulate(sizes, initial=0))[:-1]


def _check(tables: Sequence[Tensor], dtype: str | None) -> None:
    if dtype is not None and dtype not in _DTYPES:
        raise ValueError(f"dtype: expected None, {', '.join(_DTYPES)}, got {dtype!r}")
    if len(tables) == 0:
        raise ValueError("tables: expected at least 1, got none")
    for number, table in enumerate(tables):
        name = f"tables[{number}]"
        if not isinstance(table, Tensor) or table.dtype not in (torch.float32, torch.bfloat16):
            kind = table.dtype if isinstance(table, Tensor) else type(table).__name__
            raise TypeError(f"{name}: expected a float32 or bfloat16 tensor, got {kind}")
        if table.dtype != tables[0].dtype or table.device != tables[0].device:
            first = f"{tables[0].dtype} on {tables[0].device}"
            raise ValueError(f"{name}: expected {first} as tables[0], got {table.dtype} on {table.device}")
        if table.ndim != 2 or table.shape[1] == 0:
            raise ValueError(f"{name}: expected shape [rows, dim], got {tuple(table.shape)}")
        if table.numel() and not all(math.isfinite(extreme) for extreme in table.aminmax()):
            raise ValueError(f"{name}: expected finite values, got NaN or infinity")
