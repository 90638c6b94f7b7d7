"""What several cases of one op share, kept while that op is measured: catalogues, tables, indexes."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

Maker = TypeVar("Maker", bound=Callable[..., Any])
_FORGET: list[Callable[[], None]] = []


def keep(most: int = 1) -> Callable[[Maker], Maker]:
    """Decorates a function of hashable arguments: its last `most` results are kept until `forget`."""

    def wrap(make: Maker) -> Maker:
        kept = lru_cache(most)(make)
        _FORGET.append(kept.cache_clear)
        return kept  # type: ignore[return-value]

    return wrap


def forget() -> None:
    """Lets go of everything kept; called between ops."""
    for clear in _FORGET:
        clear()
