"""Geometry of the charts: ticks hold the data, points land where the axis says, odd data draws."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest

from headrace.report import Report, formats
from headrace.report.charts import FRAME, MAX_POINTS, Series, line_chart, linear_scale, log_scale, log_ticks, nice_ticks
from headrace.report.model import Curve, Exposure, FalsePositives, Funnel, Machine, Stage, Training
from headrace.report.plots import charts, stage_colour


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0, 0), (0.2471, 0.2473), (-3, 7), (5, 5), (0, 1e-7), (1e6, 3e9), (-1e-3, -1e-4)]
)
def test_ticks_are_round_few_and_around_the_data(low, high):
    ticks = nice_ticks(low, high)
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert 2 <= len(ticks) <= 8
    steps = {round((b - a) / (ticks[1] - ticks[0]), 6) for a, b in pairwise(ticks)}
    assert steps == {1.0}
    texts = formats.ticks(ticks)
    assert len(set(texts)) == len(ticks)
    assert [float(t) for t in texts] == pytest.approx(ticks)


def test_ticks_of_an_axis_share_their_decimals():
    assert formats.ticks([1.0, 1.5, 2.0]) == ["1.0", "1.5", "2.0"]
    assert formats.percent_ticks([0.0, 0.0025, 0.005]) == ["0%", "0.25%", "0.50%"]
    assert formats.short_ticks([0, 500, 1000]) == ["0", "500", "1k"]


def test_scales_of_bars():
    scale, ticks = linear_scale(0.247, formats.percent_ticks)
    assert ticks[-1] == (100.0, "25%")
    assert scale(0.125) == pytest.approx(50.0)
    scale, ticks = log_scale(7583.0, formats.short_ticks)
    assert [text for _, text in ticks] == ["1", "10", "100", "1k", "10k"]
    assert [scale(v) for v in (0.0, 1.0, 100.0, 10_000.0)] == pytest.approx([0, 0, 50, 100])
    assert len(log_scale(1e12, formats.short_ticks)[1]) <= 7
    assert log_scale(0.0, formats.short_ticks)[0](0.5) == 0.0


def test_points_land_where_the_axis_says():
    series = [Series("a", [(0.0, 0.0), (1.0, 1.0)], "rank", dots=True)]
    chart = line_chart("t", "x", "y", series, formats.ticks, formats.ticks, (0.0, 1.0))
    assert chart.lines[0].dots == [(FRAME.left, FRAME.bottom), (FRAME.right, FRAME.top)]
    assert chart.x_ticks[0] == (FRAME.left, "0")
    assert chart.x_ticks[-1] == (FRAME.right, "1.00")


@pytest.mark.parametrize(
    ("low", "high"), [(1, 1), (10, 1000), (13.7, 2886), (20, 45), (0.003, 0.004), (99.9, 100), (5, 5), (1e-3, 1e9)]
)
def test_logarithmic_ticks_are_few_and_around_the_data(low, high):
    ticks = log_ticks(low, high)
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert 2 <= len(ticks) <= 9
    assert ticks == sorted(set(ticks))
    assert all(f"{t:e}"[0] in "125" for t in ticks)


def test_logarithmic_axes_hollow_dots_and_given_ticks():
    series = [
        Series("a", [(1.0, 10.0), (16.0, 100.0), (256.0, 1000.0)], "rank", dots=True, labels=["", "", "end"]),
        Series("b", [(16.0, 100.0)], "other", hollow=True),
    ]
    chart = line_chart("t", "x", "y", series, formats.ticks, formats.ticks, log="xy", x_at=[1.0, 16.0, 256.0])
    middle = ((FRAME.left + FRAME.right) / 2, (FRAME.top + FRAME.bottom) / 2)
    assert chart.lines[0].dots == [(FRAME.left, FRAME.bottom), middle, (FRAME.right, FRAME.top)]
    assert [text for *_, text in chart.lines[0].labels] == ["end"]
    assert chart.lines[1].dots == [middle]
    assert chart.lines[1].hollow
    assert [key.shape for key in chart.legend] == ["line", "ring"]
    alone = line_chart("t", "x", "y", [Series("", [(4.0, 1.0)], "rank")], formats.ticks, formats.ticks, x_at=[4.0])
    assert alone.x_ticks == [(middle[0], "4")]


@pytest.mark.parametrize("n", [1, 2, MAX_POINTS, MAX_POINTS + 1, 12_345])
def test_long_curves_are_thinned_but_keep_their_ends(n):
    series = [Series("a", [(float(i), 1.0 / (i + 1)) for i in range(n)], "rank")]
    chart = line_chart("t", "x", "y", series, formats.ticks, formats.ticks)
    drawn = [tuple(map(float, p.split(","))) for p in chart.lines[0].path.split()]
    assert len(drawn) <= MAX_POINTS + 1
    if n > 1:
        assert drawn[0][0] == FRAME.left
    for x, y in drawn:
        assert FRAME.left <= x <= FRAME.right
        assert FRAME.top <= y <= FRAME.bottom


def test_every_section_with_a_picture_has_one(full_report):
    drawn = charts(full_report)
    assert {key: len(found) for key, found in drawn.items()} == {
        "funnel": 2,
        "recall": 1,
        "quality": 1,
        "targets": 4,
        "diversity": 2,
        "exposure": 1,
        "training": 2,
    }
    for chart in (c for found in drawn.values() for c in found if c.kind == "bars"):
        assert all(0 <= bar.length <= 100 for bar in chart.bars)
        assert all(0 <= at <= 100 for at, _ in chart.references)


def test_popularity_and_random_are_lines(full_report):
    (recall,) = charts(full_report)["quality"]
    assert [style for _, style in recall.references] == ["dashed", "dotted"]
    by_name = {bar.label: bar for bar in recall.bars}
    assert recall.references[0][0] == by_name["popularity"].length
    assert by_name["fresh items"].colour != by_name["item CF"].colour


def test_one_stage_one_colour():
    names = ["recall", "merge", "exposure filter", "pre-ranking", "ranking", "re-ranking (DPP)", "something"]
    assert [stage_colour(n) for n in names] == ["recall", "merge", "filter", "prerank", "rank", "rerank", "other"]


def test_numbers_that_are_missing_or_zero_still_draw(full_report):
    machine = Machine("x", 1, 1)
    odd = Report(
        "odd",
        "",
        "",
        machine,
        funnel=Funnel([Stage("recall", 0.0, 0.0, None, None, None)], 0, 1, 0.0),
        exposure=Exposure([FalsePositives("f", 0.0, 0.0, 0)], 0, 0, 0, 0),
        training=[Training("m", 1, 1, 0.0, None, [Curve("c", [1.0, 2.0, 3.0], [math.nan, 0.5, None])])],
        targets=[replace(full_report.targets[0], reliability=[])],
    )
    drawn = charts(odd)
    assert drawn["targets"] == []
    assert len(drawn["training"]) == 1
    assert charts(replace(odd, training=[Training("m", 1, 1, 1.0, 0.1)]))["training"] == []
