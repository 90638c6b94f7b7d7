"""Logarithmic axes of line charts."""

from __future__ import annotations

import pytest

from headrace.report import formats as f
from headrace.report.charts import FRAME, Series, line_chart, log_ticks


@pytest.mark.parametrize(("low", "high"), [(0.3, 4), (1, 1000), (64, 64), (1.2e-4, 2.5e3), (3, 7), (950, 1050)])
def test_log_ticks_hold_the_range_and_rise(low: float, high: float) -> None:
    ticks = log_ticks(low, high)
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert ticks == sorted(set(ticks))
    assert 2 <= len(ticks) <= 9


def test_log_ticks_need_values_above_zero() -> None:
    with pytest.raises(ValueError, match="low: expected above 0"):
        log_ticks(0.0, 1.0)


def test_equal_ratios_are_equal_distances() -> None:
    series = [Series("a", [(1.0, 1.0), (10.0, 10.0), (100.0, 100.0)], "rank", dots=True)]
    chart = line_chart("t", "x", "y", series, f.short_ticks, f.short_ticks, log_x=True, log_y=True)
    (x0, y0), (x1, y1), (x2, y2) = chart.lines[0].dots
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y1 - y0 == pytest.approx(y2 - y1, abs=0.2)
    assert (x0, x2) == (FRAME.left, FRAME.right)
