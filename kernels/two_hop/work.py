"""The least that a call does."""

from __future__ import annotations

from headrace.kernels.work import Work


def work(seeds: int, entries: int, kept: int, weighted: bool = True) -> Work:
    """Of each seed its node, weight and list's bounds, of each entry its item and weight; item and score written."""
    read = 28.0 * seeds + (12.0 if weighted else 8.0) * entries
    return Work(2.0 * entries, read + 12.0 * kept, "float64", random=True)
