"""What a model is given: the features of B requests and of their candidates."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class RequestInputs:
    """The request side, computed once for each of B requests.

    codes: int32 [B, user fields]. behaviour: int32 [B, N], item rows + 1, newest first, 0 where there is none.
    statistics: float32 [B, request_width], standardised.
    """

    codes: Tensor
    behaviour: Tensor
    statistics: Tensor


@dataclass(frozen=True)
class ItemInputs:
    """The static side of n items. codes: int32 [n, item fields], the first the item row + 1. content: float32 [n, d] or
    None."""

    codes: Tensor
    content: Tensor | None


@dataclass(frozen=True)
class CrossInputs:
    """What depends on both request and item, or on the moment. codes: int32 [n, cross fields]. statistics: float32
    [n, cross_width], standardised."""

    codes: Tensor
    statistics: Tensor


@dataclass(frozen=True)
class Inputs:
    """B requests and n candidates, request b owning offsets[b]:offsets[b+1]; offsets None: one candidate each."""

    request: RequestInputs
    item: ItemInputs
    cross: CrossInputs
    offsets: Tensor | None = None
