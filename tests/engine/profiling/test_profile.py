"""`headrace profile`: what it measures, what it writes, and what bad input gets."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headrace.cli import app
from headrace.kernels import settings, spans
from headrace.kernels.spans import Span
from headrace.kernels.work import Counted, Work
from headrace.profiling import Load, Profile, profile, write
from headrace.profiling.flame import draw, frames
from headrace.profiling.load import user_batches
from headrace.profiling.overhead import overhead, span_cost
from headrace.profiling.table import OUTSIDE, REST, rows, stage_table
from headrace.profiling.trace import trace_events
from headrace.profiling.tree import nest
from headrace.serving import Engine


def made_up_batches():
    """Two batches, in milliseconds: a stage with a kernel called twice and once, a stage without, and the rest."""
    spans = []
    for start, kernels in ((0, ((10, 30), (40, 50))), (200, ((210, 230),))):
        for first, last in kernels:
            counted = Counted(8, 4, Work(2e9, 1e9))
            spans.append(Span("kernel", "topk", 1, first, last, 8, 4, "native", counted))
        spans.append(Span("channel", "two_tower", 1, start, start + 60, 100, 20))
        spans.append(Span("stage", "merge", 1, start + 60, start + 90, 20, 10))
        spans.append(Span("batch", "recommend", 1, start, start + 100, 100, 10))
    for span in spans:
        span.start, span.end = span.start * 10**6, span.end * 10**6
    return nest(spans)


def test_the_table_adds_up():
    found = rows(made_up_batches(), requests=4)
    assert [row.name for row in found] == ["recommend", "two_tower", "topk", REST, "merge", REST, OUTSIDE]
    batch, tower, topk, rest, merge, _, outside = found
    assert (batch.calls, batch.total_ms, batch.share) == (2, 200, 1)
    assert (tower.total_ms, tower.self_ms, tower.share, tower.items_in, tower.items_out) == (120, 70, 0.6, 50, 10)
    assert (topk.calls, topk.total_ms, topk.share, topk.items_out) == (3, 50, 0.25, 3)
    assert (topk.bytes, topk.gb_s, topk.gflop_s) == (3e9, pytest.approx(60), pytest.approx(120))
    assert (tower.bytes, tower.gb_s) == (3e9, None)
    assert (rest.self_ms, rest.calls) == (70, None)
    assert (merge.mean_ms, merge.p99_ms, merge.bytes) == (30, 30, None)
    assert (outside.self_ms, outside.share) == (20, pytest.approx(0.1))
    assert sum(row.share for row in found if row.level == 1) == pytest.approx(1)
    # The rest of a stage without kernels would repeat the stage.
    assert [row[0].strip() for row in stage_table(found, 2, 2).rows].count(REST.replace(" ", "\u00a0")) == 1


def test_a_channel_and_a_stage_of_one_name_are_two_rows():
    spans = [Span("channel", "merge", 1, 0, 4), Span("stage", "merge", 1, 5, 6), Span("batch", "recommend", 1, 0, 9)]
    found = rows(nest(spans), requests=1)
    assert [(row.kind, row.total_ms) for row in found if row.name == "merge"] == [("channel", 4e-6), ("stage", 1e-6)]


def test_the_flame_graph_is_as_wide_as_the_time():
    root = frames(made_up_batches())
    graph = draw(root)
    widths = dict(re.findall(r'width:([\d.]+)%[^>]*title="([^:]+):', graph))
    assert {name: float(width) for width, name in widths.items()} == {
        "recommend (batch)": 100,
        "two tower (stage)": 60,
        "topk (native kernel)": 25,
        "merge (stage)": 30,
    }
    assert 'class="frame recall kernel"' in graph
    assert "&lt;b&gt;" in draw(frames(nest([Span("batch", "<b>", 1, 0, 10)])))
    assert draw(frames([]))


def test_a_span_that_is_off_costs_a_known_share():
    assert span_cost() >= 0
    cost = overhead([1.1, 1.2, 1.3], [1.0, 1.0, 1.0], per_batch=20, batch_seconds=0.01)
    assert not spans.active()
    assert cost.change == pytest.approx(0.2)
    assert (cost.low, cost.high) == (pytest.approx(0.15), pytest.approx(0.25))
    assert cost.off_share == pytest.approx(20 * cost.off_ns * 1e-9 / 0.01)


def test_batches_are_the_same_for_the_same_seed():
    first, again = (user_batches(50, 8, 3, seed=4) for _ in range(2))
    assert [b.tolist() for b in first] == [b.tolist() for b in again]
    assert all(len(b) == 8 and b.min() >= 0 and b.max() < 50 for b in first)


@pytest.fixture(scope="module")
def measured(snapshot: Path) -> Profile:
    return profile(Engine.load(snapshot), Load(batch=4, batches=5, concurrency=2))


def test_a_profile_holds_every_stage_and_kernel(measured: Profile, engine: Engine):
    names = [row.name for row in measured.rows if row.kind in ("channel", "stage")]
    channels = [channel.name for channel in engine.funnel.channels]
    assert names == [*channels, "exposure filter", "merge", "fill", "pre-ranking", "ranking", "re-ranking"]
    kernels = {row.name: row for row in measured.rows if row.kind == "kernel"}
    assert all(kernels[name].bytes for name in ("topk", "bloom_contains_lists", "dpp"))
    assert measured.rows[0].calls == 5
    assert measured.overhead.pairs >= 2
    assert measured.overhead.spans == sum(1 for root in measured.batches for _ in root.walk()) / 5
    assert measured.requests_per_second > 0
    assert {call.span.kind for root in measured.traced for call in root.walk()} == {
        "batch",
        "channel",
        "stage",
        "kernel",
        "torch",
    }
    assert any(row.name.startswith("aten::") for row in measured.operators)
    assert not spans.active()


def test_callers_have_threads_of_their_own(measured: Profile):
    assert len({root.span.thread for root in measured.traced}) == 2
    events = [event for event in trace_events(measured.spans) if event["ph"] == "X"]
    nest([Span("stage", e["name"], e["tid"], round(e["ts"] * 1e3), round((e["ts"] + e["dur"]) * 1e3)) for e in events])
    inside = {(e["cat"], e["name"], e["tid"]) for e in events}
    assert len([key for key in inside if key[:2] == ("kernel", "topk")]) == 2


def test_three_files_are_written(measured: Profile, tmp_path: Path):
    pytest.importorskip("jinja2")
    result, trace, graph = write(measured, tmp_path)
    assert json.loads(result.read_text())["rows"][0]["name"] == "recommend"
    events = json.loads(trace.read_text())["traceEvents"]
    assert {event["ph"] for event in events} == {"M", "X"}
    page = graph.read_text()
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page
    assert 'class="frame rank stage"' in page


def test_without_torch_there_are_no_operators_and_threads_are_put_back(engine: Engine):
    before = settings.get_threads()
    found = profile(engine, Load(batch=1, batches=1, threads=1, torch=False))
    assert (found.operators, found.traced_share) == ([], None)
    assert found.traced is found.batches
    assert settings.get_threads() == before


def test_one_profile_at_a_time(engine: Engine):
    with spans.recording(), pytest.raises(RuntimeError, match="a recording is on already"):
        profile(engine, Load(batch=1, batches=1, torch=False))


@pytest.mark.parametrize("name", ["batch", "batches", "concurrency"])
def test_loads_are_checked(name: str):
    with pytest.raises(ValueError, match=f"{name}: expected at least 1, got 0"):
        Load(**{name: 0})


def test_the_command_prints_the_table_and_writes_the_files(snapshot: Path, tmp_path: Path):
    words = ["profile", "--snapshot", str(snapshot), "--batch", "2", "--batches", "2", "--no-torch"]
    run = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "p")])
    assert run.exit_code == 0, run.output
    assert "topk (native)" in run.stdout.replace("\u00a0", " ")
    assert "Recording off:" in run.stdout
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == ["flame.html", "profile.json", "trace.json"]


def test_errors_are_one_line(tmp_path: Path):
    def ask(*words: str) -> tuple[int, str]:
        run = CliRunner().invoke(app, ["profile", *words])
        return run.exit_code, run.output

    code, text = ask("--snapshot", str(tmp_path / "none"), "--out", str(tmp_path / "p"))
    assert code == 2
    assert "CURRENT: missing" in text
    (tmp_path / "file").write_text("")
    code, text = ask("--snapshot", str(tmp_path), "--out", str(tmp_path / "file"))
    assert code == 2
    assert "out: expected a folder that can be written" in text
    code, text = ask("--snapshot", str(tmp_path), "--users", "5", "--out", str(tmp_path / "p"))
    assert code == 2
    assert "--snapshot: expected alone" in text
    assert ask("--batches", "0")[0] == 2
