"""p_click (1 + sum w p)."""

from __future__ import annotations

from torch import Tensor

from headrace.ranking.fusion.formula import Weights, formula, weighted


@formula("click_times_sum")
def click_times_sum(columns: dict[str, Tensor], offsets: Tensor, item: Tensor, settings: Weights) -> Tensor | None:
    rest, click = weighted(columns, settings), columns.get("p_click")
    if click is None:
        return rest
    return click.double() if rest is None else click.double() * (1 + rest)
