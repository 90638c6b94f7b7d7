"""Fusion: from the predictions of all targets to one score for each candidate; one formula a file."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.ranking.fusion.formula import FORMULAS, Formula, formula
from headrace.ranking.fusion.settings import FusionSettings

__all__ = ["FORMULAS", "Formula", "FusionSettings", "formula", "fuse"]


def fuse(columns: dict[str, Tensor], offsets: Tensor, item: Tensor, settings: FusionSettings) -> Tensor:
    """float32 [n]: the fused score of each candidate.

    columns: name -> float [n] predictions. offsets: int64 [B+1] and item: int64 [n], for formulas of a whole request.
    Where no column that the formula uses is there, as from a log of clicks alone, the score is the odds that the item
    is shown. Raises ValueError when p_impression is not there either.
    """
    score = FORMULAS[settings.formula](columns, offsets, item, settings)
    if score is None and "p_impression" not in columns:
        raise ValueError(f"columns: expected one that {settings.formula} uses, got {sorted(columns)}")
    power = settings.exposure_power or 0.0
    if score is None:
        score, power = torch.ones_like(columns["p_impression"], dtype=torch.float64), power or 1.0
    if "p_impression" in columns and power:
        shown = columns["p_impression"].double()
        odds = shown / (1 - shown).clamp_min_(1e-7)
        score = score * odds.pow_(power)
    return score.float()
