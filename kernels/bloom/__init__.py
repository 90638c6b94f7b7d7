"""Banks of Bloom filters: insert and test (filter row, key) pairs, or lists of keys that share their filters."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from headrace.kernels.bloom.sizing import bloom_fpr, bloom_size, check_shape
from headrace.kernels.checks import check_tensor
from headrace.kernels.edge import CHANGED_WORDS, CODES, IDS, WORDS, takes
from headrace.kernels.registry import Op

__all__ = ["bloom_contains", "bloom_contains_lists", "bloom_fpr", "bloom_insert", "bloom_size"]

_ISAS = ("scalar", "avx2", "avx512")
INSERT = Op("bloom_insert", __name__, "add keys to a bank of Bloom filters", _ISAS)
CONTAINS = Op("bloom_contains", __name__, "test keys against a bank of Bloom filters", _ISAS)
LISTS = Op("bloom_contains_lists", __name__, "test lists of keys against banks of Bloom filters", _ISAS)


@takes(bits=CHANGED_WORDS, rows=IDS, keys=IDS)
def bloom_insert(
    bits: Tensor,
    rows: Tensor,
    keys: Tensor,
    hashes: int,
    *,
    layout: str = "block",
    backend: str = "auto",
    threads: int = 0,
) -> None:
    """Adds keys[i] to the filter in row rows[i] of `bits`, in place.

    bits: uint64 (or int64, the same bits) [U, words], contiguous. rows: int64 [n], -1 is skipped. keys: int64 [n], any
    value. hashes: bits set for each key. layout: "block" (1 to 8 hashes in one 256-bit block, words a multiple of 4)
    or "classic" (1 to 64 hashes over the whole row; Bloom, CACM 1970). Many threads may insert into one bank and read
    it meanwhile. The bits are the same on every backend, and portable between machines as uint64 values.
    Raises ValueError (nothing changed) for a row outside -1..U-1, a wrong shape or device; TypeError for a wrong dtype.
    """
    _check(bits, rows, keys, hashes, layout, fan=False)
    if not bits.is_contiguous():
        raise ValueError("bits: expected a contiguous tensor, since it changes in place")
    inputs = bits.view(torch.int64), rows.contiguous(), keys.contiguous()
    INSERT(*inputs, hashes, layout, backend=backend, threads=threads)


@takes(bits=WORDS, rows=IDS, keys=IDS)
def bloom_contains(
    bits: Tensor,
    rows: Tensor,
    keys: Tensor,
    hashes: int,
    *,
    layout: str = "block",
    backend: str = "auto",
    threads: int = 0,
) -> Tensor:
    """bool [n]: whether keys[i] may be in the filter in row rows[i]. False is certain, True is probable.

    Arguments as `bloom_insert`; `hashes` and `layout` must be those of the inserts. rows may also be int64 [n, F]: then
    whether any of the F filters may hold the key. A row of -1 holds nothing.
    Raises ValueError for a row outside -1..U-1, a wrong shape or device; TypeError for a wrong dtype.
    """
    _check(bits, rows, keys, hashes, layout, fan=True)
    rows = rows if rows.ndim == 2 else rows.unsqueeze(1)
    inputs = bits.contiguous().view(torch.int64), rows.contiguous(), keys.contiguous()
    return CONTAINS(*inputs, hashes, layout, backend=backend, threads=threads)  # type: ignore[no-any-return]


@takes(bits=[WORDS], rows=[CODES], offsets=IDS, keys=IDS)
def bloom_contains_lists(
    bits: Sequence[Tensor],
    rows: Sequence[Tensor],
    hashes: Sequence[int],
    offsets: Tensor,
    keys: Tensor,
    *,
    layout: str = "block",
    backend: str = "auto",
    threads: int = 0,
) -> Tensor:
    """bool [n]: whether any filter that the key's list asks, in any bank, may hold the key.

    bits, hashes: those of each bank, as `bloom_insert`'s. rows: for each bank int32 [B, F], the filters that each list
    asks, -1 for none; F may differ. offsets: int64 [B+1]; list b owns keys[offsets[b]:offsets[b+1]]. keys: int64 [n].
    Raises ValueError for a row outside -1..U-1, offsets that do not rise from 0 to n, wrong shapes or devices, and
    TypeError for wrong dtypes.
    """
    check_tensor("keys", keys, dtype=torch.int64, ndim=1)
    check_tensor("offsets", offsets, dtype=torch.int64, ndim=1, device=keys.device)
    if not len(bits) == len(rows) == len(hashes):
        raise ValueError(f"rows: expected one for each bank, got {len(bits)}, {len(rows)} and {len(hashes)} hashes")
    if offsets.shape[0] < 1:
        raise ValueError("offsets: expected at least 1 entry, got 0")
    for bank, asked, count in zip(bits, rows, hashes, strict=True):
        check_tensor("bits", bank, dtype=(torch.uint64, torch.int64), ndim=2, device=keys.device)
        check_tensor("rows", asked, dtype=torch.int32, ndim=2, device=keys.device)
        if asked.shape[0] != offsets.shape[0] - 1:
            raise ValueError(f"rows: expected {offsets.shape[0] - 1} lists, got {asked.shape[0]}")
        check_shape(bank.shape[1], count, layout)
    return LISTS(  # type: ignore[no-any-return]
        [bank.contiguous() if bank.dtype == torch.int64 else bank.contiguous().view(torch.int64) for bank in bits],
        [asked.contiguous() for asked in rows],
        *(hashes, offsets.contiguous(), keys.contiguous(), layout),
        backend=backend,
        threads=threads,
    )


def _check(bits: Tensor, rows: Tensor, keys: Tensor, hashes: int, layout: str, fan: bool) -> None:
    check_tensor("bits", bits, dtype=(torch.uint64, torch.int64), ndim=2)
    check_tensor("keys", keys, dtype=torch.int64, ndim=1, device=bits.device)
    check_tensor("rows", rows, dtype=torch.int64, ndim=rows.ndim if fan and rows.ndim == 2 else 1, device=bits.device)
    if rows.shape[0] != keys.shape[0]:
        raise ValueError(f"rows: expected {keys.shape[0]} entries, one for each key, got {rows.shape[0]}")
    check_shape(bits.shape[1], hashes, layout)


def check_rows(rows: Tensor, filters: int) -> None:
    """Raises ValueError when a row lies outside -1..filters-1."""
    if rows.numel() == 0:
        return
    low, high = torch.stack(rows.aminmax()).tolist()
    if low < -1 or high >= filters:
        raise ValueError(f"rows: expected -1 to {filters - 1}, got {low if low < -1 else high}")


def _fake_insert(*_: object) -> None:
    return None


def _fake_contains(bits: Tensor, rows: Tensor, keys: Tensor, *_: object) -> Tensor:
    return torch.empty_like(keys, dtype=torch.bool)


def _fake_lists(
    bits: list[Tensor], rows: list[Tensor], hashes: list[int], offsets: Tensor, keys: Tensor, layout: str
) -> Tensor:
    return torch.empty_like(keys, dtype=torch.bool)


INSERT.register(
    "(Tensor(a!) bits, Tensor rows, Tensor keys, int hashes, str layout) -> ()",
    "bits int64 U words, rows int64 n, keys int64 n",
    _fake_insert,
)
CONTAINS.register(
    "(Tensor bits, Tensor rows, Tensor keys, int hashes, str layout) -> Tensor",
    "bits int64 U words, rows int64 n F, keys int64 n",
    _fake_contains,
)
LISTS.register(
    "(Tensor[] bits, Tensor[] rows, int[] hashes, Tensor offsets, Tensor keys, str layout) -> Tensor",
    "bits int64 * *, rows int32 B *, offsets int64 B+1, keys int64 n",
    _fake_lists,
)
