"""The page of results and the README's table, from rows made up here."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.benchmarks.harness.ceilings import Ceiling
from headrace.benchmarks.harness.results import Results, Row, summary
from headrace.benchmarks.report import markdown, op_markdown, page_of, rewrite
from headrace.benchmarks.report.cases import answers, curves, exponent
from headrace.benchmarks.report.readme import BEGIN, END
from headrace.report.page import render

STAMP = {
    "suite": "full",
    "threads": 2,
    "isa": "avx512",
    "device": "a processor",
    "versions": {"headrace": "0.1.0"},
    "commit": "0123456789abcdef",
    "time": "2026-01-01T00:00:00+00:00",
}


def row(op: str, case: str, provider: str, ms: float | None, axis: str | None = None, **params: float) -> Row:
    kind = "headrace" if provider.startswith("headrace") else "peer"
    timed = summary([ms * factor for factor in (0.98, 1.0, 1.1)]) if ms else {"error": "wrong answer: <b>off</b>"}
    items = params.get("items", 1000.0)
    work = {"flops": 128.0 * items, "bytes": 256.0 * items, "limit": "read", "fraction": 0.5}
    return Row(op, case, dict(params), provider, kind, axis=axis, checked="exact", **STAMP, **work, **timed)


@pytest.fixture
def results() -> Results:
    rows = []
    for items in (1e4, 1e5, 1e6):
        name = f"N{items:g}"
        rows.append(row("topk", name, "headrace", items / 1e5, "items", items=items))
        rows.append(row("topk", name, "torch", 4 * items / 1e5, "items", items=items))
        rows.append(row("topk", name, "<i>faiss</i>", 2 * items / 1e5, "items", items=items))
    rows += [row("dpp", "B1", "headrace", 1.0), row("dpp", "B1", "broken", None)]
    ceilings = [
        Ceiling("read", "GB/s", 2, 30.0, "sum of a large buffer"),
        Ceiling("matrix float32", "GFLOP/s", 2, 200.0, "FMA in registers"),
    ]
    return Results({"cpu": "a processor", "cores": 2, "memory_gb": 8, "caches": {"L1": 32768}}, ceilings, rows)


def test_speedup_is_the_best_peer_by_the_best_of_ours(results: Results) -> None:
    first = answers(results)[0]
    assert first.speedup == pytest.approx(2.0)
    assert answers(results)[-1].speedup is None


def test_exponents_are_slopes_of_logarithms(results: Results) -> None:
    assert exponent([(1.0, 3.0), (10.0, 300.0), (100.0, 30000.0)]) == pytest.approx(2.0)
    found = {curve.provider: curve for curve in curves(results)}
    assert found["headrace"].exponent == pytest.approx(1.0)
    assert len(found) == 3


def test_the_page_shows_everything_and_escapes_it(results: Results) -> None:
    text = render(page_of(results))
    for word in ("Against the best peer", "Roofline", "time over items", "Ceilings", "Left out", "exponent"):
        assert word in text
    assert "<i>faiss</i>" not in text
    assert "<b>off</b>" not in text
    assert "http" not in text.replace("http://www.w3.org", "")


def test_a_file_without_times_has_no_page(results: Results) -> None:
    with pytest.raises(ValueError, match="at least one row with a time"):
        page_of(Results({}, [], [row("dpp", "B1", "broken", None)]))


def test_the_readme_table_replaces_what_was_between_the_markers(results: Results, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- results: begin -->\nold\n<!-- results: end -->\nafter\n")
    table = markdown(results, "benchmarks/results/x.json")
    rewrite(readme, table)
    rewrite(readme, table)
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert text.count("| topk |") == 3
    (tmp_path / "bare.md").write_text("nothing")
    with pytest.raises(ValueError, match=r"bare\.md: expected the lines"):
        rewrite(tmp_path / "bare.md", table)


ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(page for page in ROOT.glob("docs/kernels/*.md") if BEGIN in page.read_text())]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_shows_a_committed_file_as_it_is(page: Path) -> None:
    shown = page.read_text().split(f"{BEGIN}\n")[1].split(END)[0]
    name = shown.split("](")[1].split(")")[0]
    found = Results.load(page.parent / name)
    assert shown == (markdown(found, name) if page.stem == "README" else op_markdown(found, name, page.stem))


def test_the_table_of_one_op_has_a_column_for_each_provider(results: Results) -> None:
    results.rows += [row("topk", "B1", "headrace", 1.0), row("topk", "B1", "torch", 3.0)]
    lines = op_markdown(results, "x.json", "topk").splitlines()
    assert lines[2].startswith("| case | headrace | torch |")
    assert lines[4].startswith("| B1 | 1.00 | 3.00 | 3.0x | 50% of read |")
    assert len(lines) == 5
    with pytest.raises(ValueError, match=r"x\.json has no case of 'none'"):
        op_markdown(results, "x.json", "none")
