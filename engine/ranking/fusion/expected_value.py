"""prod p^a over the columns with exponents, e.g. p_click and what follows it; of p_click where none is given."""

from __future__ import annotations

from torch import Tensor

from headrace.ranking.fusion.formula import Weights, formula, terms, total


@formula("expected_value")
def expected_value(columns: dict[str, Tensor], offsets: Tensor, item: Tensor, settings: Weights) -> Tensor | None:
    used = terms(columns, settings.exponents or {"p_click": 1.0})
    logarithm = total([settings.exponents.get(name, 1.0) * p.log() for name, p in used])
    return None if logarithm is None else logarithm.exp()
