"""The printed report: fits its width, holds every section, marks the best row, and formats numbers alike."""

import io
import math

import pytest
from rich.console import Console

from headrace.report import Report, formats, print_report
from headrace.report.model import Machine
from headrace.report.tables import sections


def printed(report, width=100):
    out = io.StringIO()
    print_report(report, Console(file=out, width=width))
    return out.getvalue()


def test_fits_a_hundred_columns_and_is_plain_when_piped(full_report, capsys):
    print_report(full_report)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 100
    assert "\x1b" not in text
    assert text.rstrip() == printed(full_report).rstrip()


def test_every_section_and_row_is_printed(full_report):
    text = printed(full_report, 160)
    made = sections(full_report)
    assert [s.key for s in made] == [
        *(
            "funnel",
            "quality",
            "recall",
            "targets",
            "diversity",
            "exposure",
            "training",
            "dataset",
            "machine",
            "settings",
        ),
    ]
    for cell in (cell for s in made for table in s.tables for row in table.rows for cell in row):
        assert cell in text
    for word in ("dpp.theta", "dropped: unknown item", "Every number here is made up.", "<b>tags</b>"):
        assert word in text


def test_rows_are_as_wide_as_their_columns(full_report):
    for table in (table for s in sections(full_report) for table in s.tables):
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_the_best_row_is_marked(full_report):
    text = printed(full_report)
    assert "* after ranking" in text
    assert "* best recall@50" in text
    quality = next(s for s in sections(full_report) if s.key == "quality").tables[0]
    assert [quality.rows[i][0] for i in quality.best] == ["after ranking"]


def test_what_was_not_measured_is_left_out():
    text = printed(Report("nothing [bold]measured", "2024-01-01", "0", Machine("x", 1, 1)))
    assert "nothing [bold]measured" in text
    assert "Findings" not in text
    assert "Retrieval" not in text


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (formats.significant, 0.012345, "0.0123"),
        (formats.significant, 12345.6, "12,346"),
        (formats.significant, 0, "0"),
        (formats.significant, -2.5, "-2.50"),
        (formats.count, 1234567, "1,234,567"),
        (formats.count, 12.34, "12.3"),
        (formats.count, 1234.5, "1,234"),
        (formats.percent, 0.2346, "23.5%"),
        (formats.rate, 0.00981, "0.981%"),
        (formats.rate, 0.0, "0%"),
        (formats.duration, 12.34, "12.3 s"),
        (formats.duration, 141.2, "2 min 21 s"),
        (formats.duration, 7300, "2 h 1 min"),
        (formats.day, 1_649_347_200_000, "2022-04-07"),
        (formats.short, 1500.0, "1.5k"),
    ],
)
def test_numbers(write, value, text):
    assert write(value) == text


@pytest.mark.parametrize("write", [formats.significant, formats.count, formats.fixed, formats.percent, formats.rate])
@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_is_not_there_is_a_dash(write, value):
    assert write(value) == "–"


def test_a_column_of_times_has_equal_decimals():
    assert formats.milliseconds([0.081, 0.0093, None, 12.0]) == ["0.0810", "0.0093", "–", "12.0000"]
    assert formats.milliseconds([5.0, 0.0]) == ["5.00", "0.00"]
    assert formats.milliseconds([]) == []
