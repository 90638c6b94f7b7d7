"""The least that a call does."""

from __future__ import annotations

from headrace.kernels.work import Work


def work(entries: int, kept: int, scored: bool = False) -> Work:
    """Of each entry its item, and score where given, read and added; item, score and lists of the kept written."""
    return Work(float(entries), (16.0 if scored else 8.0) * entries + 20.0 * kept, "float64")
