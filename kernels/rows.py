"""Rows of a first layer's outputs, side by side, as the network kernels read them."""

from __future__ import annotations

#: Rows are filled up with zeros to a multiple of this, so that vectors never cross their end.
PAD = 16


def filled(columns: int) -> int:
    """`columns` rounded up to a multiple of PAD."""
    return -(-columns // PAD) * PAD
