"""What inserts into and questions to Bloom filters must do: memory at random places; hashing counts as nothing."""

from __future__ import annotations

from torch import Tensor

from headrace.kernels.work import Counted, Work


def insert_work(pairs: int, hashes: int, layout: str = "block") -> Work:
    """Row and key read; the key's block, or one word for each hash, read and written."""
    return Work(0.0, pairs * (16.0 + 2 * _touched(hashes, layout)), random=True)


def contains_work(keys: int, hashes: int, layout: str = "block", filters: int = 1) -> Work:
    """Rows and key read, one byte written; in each of the key's `filters`, its block or one word for each hash read.

    A classic filter may know after fewer words that a key is absent; this counts keys that are there.
    """
    return Work(0.0, keys * (9.0 + filters * (8 + _touched(hashes, layout))), random=True)


def bloom_insert(bits: Tensor, rows: Tensor, keys: Tensor, hashes: int, *, layout: str, threads: int = 0) -> Counted:
    """A call, counted: pairs in, pairs inserted out (rows of -1 are skipped)."""
    asked = int((rows >= 0).sum())
    return Counted(keys.shape[0], asked, insert_work(asked, hashes, layout))


def bloom_contains(bits: Tensor, rows: Tensor, keys: Tensor, hashes: int, *, layout: str, threads: int = 0) -> Counted:
    """A call, counted: filter-key pairs in, keys answered out."""
    return Counted(rows.numel(), keys.shape[0], contains_work(keys.shape[0], hashes, layout, rows.shape[1]))


def _touched(hashes: int, layout: str) -> int:
    """Bytes of a filter that belong to one key."""
    return 32 if layout == "block" else 8 * hashes
