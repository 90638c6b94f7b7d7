"""Boosts: what a page is picked by counts more, or less, for items of a kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from pydantic import Field
from torch import Tensor

from headrace.section import Section


class Boost(Section):
    """Multiplies the ranking score of items of a kind. A score below 0 is divided: a factor above 1 never harms."""

    kind: str = Field(
        default="marked", description="marked: items that operations promote; or another column of kinds, as of rules"
    )
    value: str | int | None = Field(
        default=None,
        description="which items of it, by text, or by code where the catalogue has no texts; none: all that have one",
    )
    factor: float = Field(gt=0.0, le=1000.0, description="above 1: shown sooner; below 1: later")


def factors_of(
    boosts: Sequence[Boost], kinds: Mapping[str, Tensor], texts: Mapping[str, Sequence[str]]
) -> Tensor | None:
    """float32 [N]: the product of the factors of each item; None without boosts.

    kinds: name -> int32 [N] codes, -1 none. texts: name -> text of each code. Raises ValueError, naming the boost, for
    a kind or a value that there is not.
    """
    if not boosts:
        return None
    factors = torch.ones(len(next(iter(kinds.values()), torch.zeros(0, dtype=torch.int32))), dtype=torch.float64)
    for b, boost in enumerate(boosts):
        if boost.kind not in kinds:
            raise ValueError(f"boosts[{b}]: kind: expected one of {', '.join(sorted(kinds))}, got {boost.kind!r}")
        codes = kinds[boost.kind]
        chosen = codes >= 0 if boost.value is None else codes == _code_of(b, boost, texts.get(boost.kind))
        factors = torch.where(chosen, factors * boost.factor, factors)
    return factors.float()


def boosted(score: Tensor, factor: Tensor) -> Tensor:
    """float32 [n]: scores (float32 [n], finite) under their factors, within float32."""
    most = torch.finfo(torch.float32).max
    wide, by = score.double(), factor.double()
    return torch.where(wide >= 0, wide * by, wide / by).clamp(-most, most).float()


def _code_of(b: int, boost: Boost, texts: Sequence[str] | None) -> int:
    if texts is None:
        if isinstance(boost.value, int):
            return boost.value
        raise ValueError(f"boosts[{b}]: value: expected a code, as {boost.kind} has no texts here, got {boost.value!r}")
    if str(boost.value) not in texts:
        few = ", ".join(texts[:10]) + (", ..." if len(texts) > 10 else "")
        raise ValueError(f"boosts[{b}]: value: expected one of {few or 'nothing'}, got {boost.value!r}")
    return texts.index(str(boost.value))
