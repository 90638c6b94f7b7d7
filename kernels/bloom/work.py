"""What inserts into and questions to Bloom filters must do: memory at random places; hashing counts as nothing."""

from __future__ import annotations

from torch import Tensor

from headrace.kernels.work import Counted, Work


def insert_work(pairs: int, hashes: int, layout: str = "block") -> Work:
    """Row and key read; the key's block, or one word for each hash, read and written."""
    return Work(0.0, pairs * (16.0 + 2 * _touched(hashes, layout)), random=True)


def contains_work(keys: int, hashes: int, layout: str = "block", filters: float = 1) -> Work:
    """Row and key read, one byte written; in each filter asked, the key's block, or one word for each hash, read.

    filters: asked for each key, the mean. A classic filter may know after fewer words that a key is absent; this
    counts keys that are there.
    """
    return Work(0.0, keys * (9.0 + filters * (8 + _touched(hashes, layout))), random=True)


def bloom_insert(bits: Tensor, rows: Tensor, keys: Tensor, hashes: int, layout: str, threads: int = 0) -> Counted:
    """A call, counted: pairs in, pairs inserted out (rows of -1 are skipped)."""
    asked = int((rows >= 0).sum())
    return Counted(keys.shape[0], asked, insert_work(asked, hashes, layout))


def bloom_contains(bits: Tensor, rows: Tensor, keys: Tensor, hashes: int, layout: str, threads: int = 0) -> Counted:
    """A call, counted: filter-key pairs in (rows of -1 are not asked), keys answered out."""
    count, asked = keys.shape[0], int((rows >= 0).sum())
    return Counted(asked, count, contains_work(count, hashes, layout, asked / max(count, 1)))


def bloom_contains_lists(
    bits: list[Tensor],
    rows: list[Tensor],
    hashes: list[int],
    offsets: Tensor,
    keys: Tensor,
    layout: str,
    threads: int = 0,
) -> Counted:
    """A call, counted: filter-key pairs in, keys answered out. A list's rows are read once, not once a key."""
    lengths, count = offsets.diff(), keys.shape[0]
    asked = [int(((each >= 0).sum(1) * lengths).sum()) for each in rows]
    touched = sum(pairs * _touched(each, layout) for pairs, each in zip(asked, hashes, strict=True))
    return Counted(
        sum(asked), count, Work(0.0, 9.0 * count + 4.0 * sum(r.numel() for r in rows) + touched, random=True)
    )


def _touched(hashes: int, layout: str) -> int:
    """Bytes of a filter that belong to one key."""
    return 32 if layout == "block" else 8 * hashes
