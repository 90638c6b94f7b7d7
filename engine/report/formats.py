"""Numbers as text, the same in the terminal and on the page. What isn't there or isn't finite is a dash."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from decimal import Decimal
from typing import TypeGuard

DASH = "–"


def finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def significant(value: float | None, digits: int = 3) -> str:
    """0.01234 -> 0.0123, 12.345 -> 12.3, 12345.6 -> 12,346: no exponent, no digits beyond the point once enough."""
    if not finite(value):
        return DASH
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(decimals, 8)}f}"


def count(value: float | None) -> str:
    """A number of things; means below 100 keep one decimal."""
    if not finite(value):
        return DASH
    whole = isinstance(value, int) or value == round(value) or abs(value) >= 100
    return f"{value:,.0f}" if whole else f"{value:,.1f}"


def fixed(value: float | None, decimals: int = 3) -> str:
    return DASH if not finite(value) else f"{value:,.{decimals}f}"


def percent(value: float | None, decimals: int = 1) -> str:
    return DASH if not finite(value) else f"{100 * value:,.{decimals}f}%"


def between(bounds: tuple[float | None, float | None] | None) -> str:
    """The bounds of an interval of shares: 21.1-22.3."""
    low, high = bounds or (None, None)
    return f"{100 * low:.1f}-{100 * high:.1f}" if finite(low) and finite(high) else DASH


def rate(value: float | None) -> str:
    """A small share with three significant digits: 0.00981 -> 0.981%."""
    return DASH if not finite(value) else f"{significant(100 * value)}%"


def duration(seconds: float | None) -> str:
    if not finite(seconds):
        return DASH
    if seconds < 60:
        return f"{significant(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def day(milliseconds: int | None) -> str:
    if milliseconds is None:
        return DASH
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc).strftime("%Y-%m-%d")


def minute(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc).strftime("%Y-%m-%d %H:%M")


def milliseconds(values: list[float | None]) -> list[str]:
    """A column of times with as many decimals as the shortest needs for two significant digits."""
    known = [abs(v) for v in values if finite(v) and v]
    decimals = min(6, max(2, 1 - math.floor(math.log10(min(known))))) if known else 2
    return [fixed(v, decimals) for v in values]


def ticks(values: list[float], unit: str = "") -> list[str]:
    """The numbers of an axis, all with the decimals that the finest needs."""
    decimals = max(-int(Decimal(f"{v:.8g}").normalize().as_tuple().exponent) if v else 0 for v in [0.0, *values])
    return [f"{v:.{decimals}f}{unit}" if v else f"0{unit}" for v in values]


def percent_ticks(values: list[float]) -> list[str]:
    return ticks([float(f"{100 * v:.8g}") for v in values], "%")


def short_ticks(values: list[float]) -> list[str]:
    return [short(v) for v in values]


def short(value: float) -> str:
    """1500 -> 1.5k, 2000000 -> 2M, 0.25 -> 0.25."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
