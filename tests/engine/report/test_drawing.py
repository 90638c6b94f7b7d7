"""Charts as a file of their own."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from headrace.report import formats as f
from headrace.report.charts import FRAME, LineChart, Series, line_chart
from headrace.report.drawing import drawing

SVG = "{http://www.w3.org/2000/svg}"


def chart(title: str, *names: str) -> LineChart:
    series = [Series(name, [(0.0, 0.0), (1.0, 1.0)], "rank", dots=True) for name in names]
    return line_chart(title, "x", "y", series, f.ticks, f.ticks)


def test_text_is_escaped_and_a_name_stands_once_in_the_legend() -> None:
    root = ElementTree.fromstring(drawing([chart("a < b & c", "one", "two"), chart("d", "one")], "from <here>"))
    words = [text.text for text in root.iter(SVG + "text")]
    assert {"a < b & c", "d", "from <here>"} <= set(words)
    assert [words.count(name) for name in ("one", "two")] == [1, 1]
    assert len(list(root.iter(SVG + "circle"))) == 6


def test_a_long_legend_takes_more_lines() -> None:
    names = [f"a rather long name {n}" for n in range(9)]
    boxes = [ElementTree.fromstring(drawing([chart("t", *names[:n])], "")).attrib["viewBox"] for n in (1, 9)]
    (width, low), (same, high) = ([float(part) for part in box.split()[2:]] for box in boxes)
    assert width == same == FRAME.width
    assert high > low
    root = ElementTree.fromstring(drawing([chart("t", *names)], ""))
    at = [float(text.attrib["x"]) for text in root.iter(SVG + "text") if (text.text or "").startswith("a rather")]
    assert max(at) + 6 * len(names[0]) < FRAME.width
