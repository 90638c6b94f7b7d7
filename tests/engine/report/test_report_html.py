"""The page: self-contained, escaped, well formed, written whole or not at all."""

import builtins
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from headrace.report import Report, render_html, write_html
from headrace.report.model import Machine
from headrace.report.tables import sections

VOID = {"meta", "link", "line", "circle", "polyline"}


class Page(HTMLParser):
    """Checks that tags close in order, and collects ids and addresses."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.addresses, self.text = [], [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids += [found["id"]] if "id" in found else []
        self.addresses += [v for k, v in attrs if k in ("href", "src", "srcset", "action", "data", "xlink:href")]
        assert tag not in ("script", "iframe", "img", "object", "embed")
        assert not any(name.startswith("on") for name in found)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_needs_nothing_from_outside(full_report):
    text = render_html(full_report)
    page = Page(text)
    assert "://" not in text
    assert "@import" not in text
    assert "url(" not in text
    assert {a for a in page.addresses if not a.startswith("#")} == {"data:,"}


def test_contents_lead_to_sections(full_report):
    page = Page(render_html(full_report))
    assert len(page.ids) == len(set(page.ids))
    assert [a[1:] for a in page.addresses if a.startswith("#")] == page.ids


def test_shows_every_number_of_every_table(full_report):
    page = Page(render_html(full_report))
    for table in (table for s in sections(full_report) for table in s.tables):
        for cell in (cell for row in table.rows for cell in row):
            assert cell in page.text


def test_text_is_escaped(full_report):
    evil = "<script>alert(1)</script>\"'&"
    quality = full_report.quality
    rows = [replace(quality.rows[0], name=evil), *quality.rows[1:]]
    text = render_html(
        replace(
            full_report,
            title=evil,
            quality=replace(quality, rows=rows, held_out=evil),
            targets=[replace(full_report.targets[0], name=evil)],
            settings={evil: evil},
            notes=[evil],
        )
    )
    assert "<script" not in text
    assert evil in Page(text).text


def test_the_same_report_gives_the_same_page(full_report):
    assert render_html(full_report) == render_html(Report.from_json(full_report.to_json()))


def test_what_was_not_measured_is_left_out():
    page = Page(render_html(Report("nothing measured", "2024-01-01", "0", Machine("x", 1, 1))))
    assert page.ids == ["machine"]
    assert "nothing measured" in page.text


def test_drawings_follow_the_colours_of_the_reader(full_report):
    drawings = re.findall(r"<svg.*?</svg>", render_html(full_report), re.S)
    assert len(drawings) == 9
    assert not any(re.search(r"#[0-9a-f]{3,6}\b|fill=|stroke=", d) for d in drawings)
    assert "prefers-color-scheme: dark" in render_html(full_report)


def test_written_whole_or_not_at_all(full_report, tmp_path, monkeypatch):
    path = write_html(full_report, tmp_path / "run" / "report.html")
    before = path.read_text(encoding="utf-8")
    assert before == render_html(full_report)

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_html(replace(full_report, title="another"), path)
    assert path.read_text(encoding="utf-8") == before
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_without_the_extra_says_what_to_install(full_report, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name.startswith("jinja2"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'pip install "headrace\[report\]"'):
        render_html(full_report)
