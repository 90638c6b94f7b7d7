"""What a fusion formula is, and what several of them need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from headrace.registry import Registry


class Weights(Protocol):
    """What a formula is told of each column, see `FusionSettings`."""

    @property
    def weights(self) -> dict[str, float]: ...
    @property
    def exponents(self) -> dict[str, float]: ...
    @property
    def offsets(self) -> dict[str, float]: ...


class Formula(Protocol):
    """float64 [n], or None where no column that it uses is there. columns: name -> float [n] predictions; request b
    owns item[offsets[b]:offsets[b+1]]."""

    def __call__(
        self, columns: dict[str, Tensor], offsets: Tensor, item: Tensor, settings: Weights, /
    ) -> Tensor | None: ...


#: The formulas by name. Those outside the tree are entry points of the group "headrace.formulas".
FORMULAS: Registry[Formula] = Registry("formula", "headrace.ranking.fusion")


def formula(name: str) -> Callable[[Formula], Formula]:
    """Registers a formula."""
    return lambda function: FORMULAS.add(name, function)


def terms(columns: dict[str, Tensor], names: dict[str, float]) -> list[tuple[str, Tensor]]:
    """The columns of these names that are there, float64."""
    return [(name, columns[name].double()) for name in names if name in columns]


def total(parts: list[Tensor]) -> Tensor | None:
    """Their sum; None of nothing."""
    return sum(parts[1:], parts[0]) if parts else None


def weighted(columns: dict[str, Tensor], settings: Weights) -> Tensor | None:
    """The sum of w p over all weighted columns but the click's."""
    return total([settings.weights[name] * p for name, p in terms(columns, settings.weights) if name != "p_click"])
