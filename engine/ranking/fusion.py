"""Fusion: from the predictions of all targets to one score for each candidate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from headrace.jagged import segment_of, top_per_segment
from headrace.section import Section

Formula = Literal["weighted_sum", "click_times_sum", "power_product", "rank", "expected_value"]

#: Rough worth of each target beside a click; the names are the columns of the ranker.
DEFAULT_WEIGHTS = {
    "p_like": 1.0,
    "p_collect": 1.0,
    "p_share": 2.0,
    "p_follow": 2.0,
    "p_comment": 1.0,
    "p_finish": 0.3,
}


class FusionSettings(Section):
    """Which formula fuses the predictions, and its weights by column.

    weighted_sum: p_click + sum w p.   click_times_sum: p_click (1 + sum w p).   power_product: prod (1 + w p)^a.
    rank: sum w / (r^a + b), r the rank of the candidate by that column within its request, from 1, ties to the lower
        item row.
    expected_value: prod p^a, e.g. of p_click, p_cart, p_pay and price.
    A column the log cannot teach is left out.
    """

    formula: Formula = Field(default="click_times_sum", description="how the predictions become one score")
    weights: dict[str, float] = Field(
        default=DEFAULT_WEIGHTS,
        description="column -> w; in all formulas but expected_value only the columns named here count (p_click "
        "besides)",
    )
    exponents: dict[str, float] = Field(
        default={}, description="column -> a, 1 where absent; in expected_value they name the columns"
    )
    offsets: dict[str, float] = Field(default={}, description="column -> b of the formula rank, 1 where absent")
    exposure_power: float = Field(
        default=0.75,
        ge=0,
        description="e: the score is multiplied by (p_impression / (1 - p_impression))^e, the odds that the item is "
        "shown rather than one drawn from the catalogue; 0 ranks by worth once shown, 1 by what the log would replay",
    )


def fuse(columns: dict[str, Tensor], offsets: Tensor, item: Tensor, settings: FusionSettings) -> Tensor:
    """float32 [n]: the fused score of each candidate.

    columns: name -> float [n] predictions. offsets: int64 [B+1] and item: int64 [n], used by `rank`. Raises ValueError
    when no column that the formula uses is there.
    """
    score = _FORMULAS[settings.formula](columns, offsets, item, settings)
    if "p_impression" in columns and settings.exposure_power:
        shown = columns["p_impression"].double()
        odds = shown / (1 - shown).clamp_min_(1e-7)
        score = score * odds.pow_(settings.exposure_power)
    return score.float()


def _terms(columns: dict[str, Tensor], names: dict[str, float]) -> list[tuple[str, Tensor]]:
    return [(name, columns[name].double()) for name in names if name in columns]


def _sum(columns: dict[str, Tensor], settings: FusionSettings) -> Tensor | None:
    total: Tensor | None = None
    for name in settings.weights:
        if name in columns and name != "p_click":
            column = columns[name]
            total = column.new_zeros(len(column), dtype=torch.float64) if total is None else total
            total.add_(column, alpha=settings.weights[name])
    return total


def _weighted_sum(columns: dict[str, Tensor], offsets: Tensor, item: Tensor, settings: FusionSettings) -> Tensor:
    total, click = _sum(columns, settings), columns.get("p_click")
    if click is None:
        return _needed(total, columns, settings)
    return click.double() if total is None else click.double() + total


def _click_times_sum(columns: dict[str, Tensor], offsets: Tensor, item: Tensor, settings: FusionSettings) -> Tensor:
    total, click = _sum(columns, settings), columns.get("p_click")
    if click is None:
        return _needed(total, columns, settings)
    return click.double() if total is None else click.double() * (1 + total)


def _power_product(columns: dict[str, Tensor], offsets: Tensor, item: Tensor, settings: FusionSettings) -> Tensor:
    parts = [
        settings.exponents.get(name, 1.0) * (settings.weights[name] * p).log1p()
        for name, p in _terms(columns, settings.weights)
    ]
    return _needed(torch.stack(parts).sum(0) if parts else None, columns, settings).exp()


def _rank(columns: dict[str, Tensor], offsets: Tensor, item: Tensor, settings: FusionSettings) -> Tensor:
    parts = []
    for name, p in _terms(columns, settings.weights):
        rank = ranks(offsets, p, item).double()
        power = settings.exponents.get(name, 1.0)
        parts.append(settings.weights[name] / (rank**power + settings.offsets.get(name, 1.0)))
    return _needed(torch.stack(parts).sum(0) if parts else None, columns, settings)


def _expected_value(columns: dict[str, Tensor], offsets: Tensor, item: Tensor, settings: FusionSettings) -> Tensor:
    terms = _terms(columns, settings.exponents or {"p_click": 1.0})
    parts = [settings.exponents.get(name, 1.0) * p.log() for name, p in terms]
    return _needed(torch.stack(parts).sum(0) if parts else None, columns, settings).exp()


def _needed(score: Tensor | None, columns: dict[str, Tensor], settings: FusionSettings) -> Tensor:
    if score is None:
        raise ValueError(f"columns: expected one that {settings.formula} uses, got {sorted(columns)}")
    return score


def ranks(offsets: Tensor, score: Tensor, item: Tensor) -> Tensor:
    """int64 [n]: the rank of each candidate in its request by descending score, from 1, ties to the lower item."""
    order, _ = top_per_segment(offsets, score.float(), item, max(len(item), 1))
    out = torch.empty_like(order)
    out[order] = torch.arange(1, len(order) + 1) - offsets[segment_of(offsets)]
    return out


_FORMULAS: dict[str, Callable[[dict[str, Tensor], Tensor, Tensor, FusionSettings], Tensor]] = {
    "weighted_sum": _weighted_sum,
    "click_times_sum": _click_times_sum,
    "power_product": _power_product,
    "rank": _rank,
    "expected_value": _expected_value,
}
