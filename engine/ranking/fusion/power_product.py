"""prod (1 + w p)^a."""

from __future__ import annotations

from torch import Tensor

from headrace.ranking.fusion.formula import Weights, formula, terms, total


@formula("power_product")
def power_product(columns: dict[str, Tensor], offsets: Tensor, item: Tensor, settings: Weights) -> Tensor | None:
    logarithm = total(
        [
            settings.exponents.get(name, 1.0) * (settings.weights[name] * p).log1p()
            for name, p in terms(columns, settings.weights)
        ]
    )
    return None if logarithm is None else logarithm.exp()
