"""The report's section on recall channels."""

from headrace.report import render_html
from headrace.report.plots import charts
from headrace.report.tables import sections


def section_of(report):
    return next(section for section in sections(report) if section.key == "recall")


def test_each_channel_has_its_row(full_report):
    (quotas,) = section_of(full_report).tables
    assert quotas.rows[1] == ["fresh <items>", "100", "100", "4.0%", "0.00%"]
    assert quotas.best == [0]
    assert "42.3%" in quotas.note


def test_the_page_draws_overlaps_and_curves(full_report):
    page = render_html(full_report)
    assert '<section id="recall">' in page
    assert "12.5% of fresh &lt;items&gt; is in item CF too" in page
    assert "<items>" not in page
    # Nothing is said of a channel that brought nothing.
    assert "of silent is in" not in page
    [chart] = charts(full_report)["recall"]
    assert [len(line.dots) for line in chart.lines] == [0, 0, 0]
    assert [key.label for key in chart.legend] == ["item CF", "fresh <items>", "silent"]


def test_one_channel_has_no_overlaps(full_report):
    from dataclasses import replace

    recall = full_report.recall
    alone = replace(recall, rows=recall.rows[:1], overlap=[[1.0]], curves=recall.curves[:1])
    assert section_of(replace(full_report, recall=alone)).drawings == []
    assert all(section.key != "recall" for section in sections(replace(full_report, recall=None)))
