"""Fusion: from the predictions of all targets to one score for each candidate; one formula a file."""

from __future__ import annotations

from torch import Tensor

from headrace.ranking.fusion.formula import FORMULAS, Formula, formula
from headrace.ranking.fusion.settings import FusionSettings

__all__ = ["FORMULAS", "Formula", "FusionSettings", "formula", "fuse"]


def fuse(columns: dict[str, Tensor], offsets: Tensor, item: Tensor, settings: FusionSettings) -> Tensor:
    """float32 [n]: the fused score of each candidate.

    columns: name -> float [n] predictions. offsets: int64 [B+1] and item: int64 [n], for formulas of a whole request.
    Raises ValueError when no column that the formula uses is there.
    """
    score = FORMULAS[settings.formula](columns, offsets, item, settings)
    if score is None:
        raise ValueError(f"columns: expected one that {settings.formula} uses, got {sorted(columns)}")
    if "p_impression" in columns and settings.exposure_power:
        shown = columns["p_impression"].double()
        odds = shown / (1 - shown).clamp_min_(1e-7)
        score = score * odds.pow_(settings.exposure_power)
    return score.float()
