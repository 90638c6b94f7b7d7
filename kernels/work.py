"""How much a call must do at least: what a measurement is held against."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """The least that a call must do.

    flops: arithmetic operations; a multiply-add is two. bytes: read and written, each input and output once, each
    gathered row once a gather. dtype: of the arithmetic (float32, float64, bfloat16, int8). random: whether most bytes
    are gathered rather than streamed.
    """

    flops: float
    bytes: float
    dtype: str = "float32"
    random: bool = False

    def __add__(self, other: Work) -> Work:
        """Both, one after the other, in the terms of the one with more bytes."""
        main = self if self.bytes >= other.bytes else other
        return Work(self.flops + other.flops, self.bytes + other.bytes, main.dtype, main.random)


@dataclass(frozen=True)
class Counted:
    """One call as a profile shows it: items in and out in the op's own unit, and its least work (None: not known)."""

    items_in: int
    items_out: int
    work: Work | None = None
