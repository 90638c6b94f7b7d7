"""Recall against latency: what is checked before it is timed, and the picture."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from headrace.benchmarks import bench_ann
from headrace.benchmarks.harness import provenance
from headrace.benchmarks.harness.case import Near, Wrong
from headrace.benchmarks.harness.clock import Budget
from headrace.benchmarks.harness.keep import forget
from headrace.benchmarks.harness.results import Results
from headrace.benchmarks.harness.runner import Options, run_case
from headrace.benchmarks.report.recall import recall_drawing
from headrace.cli import app

CASE = bench_ann._case(8, 2000, 16, 10)


@pytest.fixture(scope="module", autouse=True)
def nothing_kept() -> Iterator[None]:
    yield
    forget()


@pytest.fixture(scope="module")
def results() -> Results:
    providers = [one for one in bench_ann.BENCH.providers if not one.missing()]
    rows = run_case(CASE, providers, Options(), budget=Budget(0.01, 2, 3))
    return Results(provenance.facts(), rows=rows)


def test_every_way_is_timed_with_the_share_it_finds(results: Results) -> None:
    assert not [row.error for row in results.rows if row.error]
    exact = [row for row in results.rows if row.kind == "headrace"]
    assert [row.checked for row in exact] == ["exact", "exact"]
    for row in results.rows:
        if row.kind == "peer":
            assert 0 <= row.metrics["share right"] <= 1
    found = {row.provider: row.metrics.get("share right") for row in results.rows}
    assert found["LSH, n_tables 32, n_bits 8"] > found["LSH, n_tables 8, n_bits 10"]  # type: ignore[operator]


def test_a_score_that_is_not_the_items_has_no_time() -> None:
    inputs = CASE.inputs()
    start, scores, ids = bench_ann.prepare_exact(inputs, CASE, "float32")()
    assert bench_ann.check(inputs, (start, scores, ids)) == "exact"
    fewer = ids.clone()
    fewer[:, 5:] = -1
    near = bench_ann.check(inputs, (start, scores.where(fewer >= 0, -torch.inf), fewer))
    assert isinstance(near, Near)
    assert near.share == 0.5
    with pytest.raises(Wrong, match="not the item's"):
        bench_ann.check(inputs, (start, scores + 0.1, ids))
    with pytest.raises(Wrong, match="shape"):
        bench_ann.check(inputs, (start, scores, ids[:, 1:]))


def test_each_call_answers_the_next_queries() -> None:
    inputs = CASE.inputs()
    call = bench_ann.prepare_exact(inputs, CASE, "float32")
    assert [call()[0] for _ in range(33)] == [*range(0, 256, 8), 0]


def test_descriptors_become_items_and_queries(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).integers(0, 255, (5000, 128)).astype(np.uint8)
    np.save(tmp_path / "sift.npy", vectors)
    search = bench_ann.make_sift(tmp_path / "sift.npy", 4, 10)
    assert search.queries.shape == (256, 128)
    assert search.items.shape == (4744, 128)
    everything = torch.cat([search.queries, search.items]).sort(0).values
    assert torch.equal(everything, torch.from_numpy(vectors).float().sort(0).values)


def test_the_command_draws_a_results_file(results: Results, tmp_path: Path) -> None:
    results.save(tmp_path / "results.json")
    done = CliRunner().invoke(
        app, ["bench", "recall", str(tmp_path / "results.json"), "--write", str(tmp_path / "a.svg")]
    )
    assert done.exit_code == 0, done.output
    assert (tmp_path / "a.svg").read_text() == recall_drawing(results)


def test_the_picture_shows_every_way(results: Results) -> None:
    drawn = recall_drawing(results)
    root = ElementTree.fromstring(drawn)
    words = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    ways = {row.provider.split(", ")[0] for row in results.rows if row.kind == "peer"}
    assert {*ways, "exact, int8", "exact, float32", "recall@10"} <= set(words)
    assert "2,000 items x 16 (clustered), 8 queries" in words
    dots = [dot for dot in root.iter("{http://www.w3.org/2000/svg}circle") if "hollow" not in dot.attrib["class"]]
    assert len(dots) == sum(row.kind == "peer" for row in results.rows)
    with pytest.raises(ValueError, match="expected timed cases of op ann"):
        recall_drawing(Results({}))
