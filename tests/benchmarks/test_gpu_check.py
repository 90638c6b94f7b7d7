"""`make gpu-check` without a GPU: its whole logic on tiny sizes, what it does with failures, and what it needs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from importlib import util
from pathlib import Path
from typing import Any

import pytest
import torch

import headrace.kernels  # noqa: F401  registers every op
from headrace.benchmarks import gpu_build, gpu_check
from headrace.benchmarks.gpu.limits import Deadline, OutOfTime, time_limit
from headrace.benchmarks.gpu.site import Check, Part, Site, equal, parts, refused
from headrace.benchmarks.harness.case import Bench, Case, Near, Provider, Wrong
from headrace.benchmarks.harness.results import Results
from headrace.kernels.registry import OPS

ROOT = Path(__file__).parents[2]
#: What a machine that has torch may lack.
OPTIONAL = ("pydantic", "typer", "rich", "pyarrow", "scipy", "jinja2", "threadpoolctl", "safetensors", "pytest")
SITE = Site(torch.device("cpu"), True, 1e6)


def _gpu_source(package: str) -> str:
    spec = util.find_spec(f"{package}.gpu")
    return Path(spec.origin).read_text() if spec and spec.origin else ""


def test_every_op_of_the_registry_with_a_gpu_backend_has_a_check() -> None:
    checked = {check.op for part in parts() for check in part.checks}
    covered = {op for part in parts() for op in part.ops}
    here = {name for name, op in OPS.items() if f"def {name}(" in _gpu_source(op.package)}
    assert here - covered == set(), "ops without a module in benchmarks/gpu"
    assert covered - set(OPS) == set(), "no such op"
    assert covered - checked == set(), "ops without a check"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu_check.main(["--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    assert told.count("\n") == 1
    assert "torch sees no GPU" in told
    assert "topk" in told
    assert not (tmp_path / "out").exists()


@pytest.mark.rare
@pytest.mark.skipif(util.find_spec("triton") is None, reason="needs triton")
def test_the_dry_run_needs_torch_and_numpy_alone_and_writes_a_results_file(tmp_path: Path) -> None:
    script = f"""
import sys
sys.modules.update(dict.fromkeys({OPTIONAL!r}))
from headrace.benchmarks.gpu_check import main
sys.exit(main(["--dry-run", "--out", {str(tmp_path)!r}]))
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GPU_CHECK_SECONDS": "3000"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = tmp_path.iterdir()
    results = Results.load(path)
    assert results.machine["commit"] is not None
    assert results.machine["versions"]["torch"] == torch.__version__
    checks = [(check.op, check.name) for part in parts() for check in part.checks]
    assert [(check["op"], check["name"]) for check in results.checks] == checks
    assert all(check["passed"] and check["message"] for check in results.checks)
    assert {ceiling.name for ceiling in results.ceilings} >= {"read", "copy", "random read", "matrix float32"}
    ours = {row.op for row in results.rows if row.kind == "headrace" and row.median}
    assert ours == {case.op for part in parts() for case in part.bench(SITE).cases}
    assert {row.provider for row in results.rows} >= {"headrace", "torch", "torch.compile"}
    assert not [row for row in results.rows if row.error]
    assert all(row.limit and row.fraction for row in results.rows)
    assert {(entry["op"], entry["provider"]) for entry in results.skipped} >= {("topk", "cupy")}


def _broken(site: Site) -> str:
    raise Wrong("two and two are five")


def _slow(site: Site) -> str:
    time.sleep(30)
    raise AssertionError("it was not interrupted")


def _part(name: str = "exact", answer: int = 4, *checks: Check) -> Part:
    def bench(site: Site) -> Bench:
        def check(given: Any, found: Any) -> str:
            if found > 9:
                raise Wrong("too large")
            return name

        case = Case("sum", "2 + 2", {"n": 2}, lambda: 2, check)
        return Bench("sum", "sums", (case,), (Provider("headrace", "headrace", lambda given, case: lambda: answer),))

    return Part(("sum",), (Check("sum", "first", lambda site: "fine"), *checks), bench)


def _run(part: Part, out: Path, seconds: float = 60.0, resume: Path | None = None) -> tuple[int, Results]:
    code = gpu_check.run([part], SITE, out, Deadline.after(seconds), resume)
    (path,) = out.iterdir()
    return code, Results.load(path)


def test_a_failing_check_stops_none_and_makes_the_exit_code_1(tmp_path: Path) -> None:
    code, results = _run(_part("exact", 4, Check("sum", "wrong", _broken), Check("sum", "last", str)), tmp_path)
    assert code == 1
    assert [(check["name"], check["passed"]) for check in results.checks] == [
        ("first", True),
        ("wrong", False),
        ("last", True),
    ]
    assert results.checks[1]["message"] == "Wrong: two and two are five"
    assert [row.median is not None for row in results.rows] == [True]


@pytest.mark.parametrize(("words", "answer"), [(Near(0.99, "of sums"), 4), ("exact", 10)])
def test_an_answer_of_ours_that_is_not_exact_has_no_time_and_makes_the_exit_code_1(
    tmp_path: Path, words: str, answer: int
) -> None:
    code, results = _run(_part(words, answer), tmp_path)
    assert code == 1
    assert results.rows[0].median is None
    assert "wrong answer" in str(results.rows[0].error)


def test_what_does_not_fit_the_time_is_listed_as_skipped(tmp_path: Path) -> None:
    code, results = _run(_part("exact", 4, Check("sum", "slow", _slow), Check("sum", "later", str)), tmp_path, 2.0)
    assert code == 0
    assert [check["name"] for check in results.checks] == ["first"]
    assert [entry["case"] for entry in results.skipped][:2] == ["slow", "later"]
    assert "took longer than" in results.skipped[0]["why"]

    code, results = _run(_part(), tmp_path, 0.0)
    assert code == 0
    assert not results.rows
    assert {entry["case"] for entry in results.skipped} >= {"first", "2 + 2"}


def test_a_peer_that_takes_all_the_time_does_not_take_our_row(tmp_path: Path) -> None:
    part = _part()
    bench = part.bench(SITE)
    slow = Provider("torch", "peer", lambda given, case: lambda: time.sleep(30))
    code, results = _run(
        replace(part, bench=lambda site: replace(bench, providers=(*bench.providers, slow))), tmp_path, 4.0
    )
    assert code == 0
    assert [row.provider for row in results.rows] == ["headrace"]
    assert [(entry["case"], entry["provider"]) for entry in results.skipped] == [("2 + 2", "peers")]


def test_a_run_that_goes_on_does_only_what_is_left(tmp_path: Path) -> None:
    _run(_part("exact", 4, Check("sum", "wrong", _broken)), tmp_path)
    (path,) = tmp_path.iterdir()
    before = Results.load(path)
    kept = replace(before, rows=[])
    kept.save(path)
    code, after = _run(_part("exact", 4, Check("sum", "wrong", _slow)), tmp_path, resume=path)
    assert code == 1  # what failed before still counts
    assert after.checks == before.checks
    assert len(after.rows) == 1


def test_limits_of_time_nest() -> None:
    ended = []

    def nested() -> None:
        with time_limit(2.0):
            try:
                with time_limit(0.05):
                    time.sleep(30)
            except OutOfTime:
                ended.append("inner")
            time.sleep(30)

    with pytest.raises(OutOfTime):
        nested()
    assert ended == ["inner"]


def test_helpers_tell_wrong_from_right() -> None:
    equal("x", torch.tensor([1.0, torch.nan, torch.inf]), torch.tensor([1.0, torch.nan, torch.inf]))
    with pytest.raises(Wrong, match="1 of 2 differ, the first at \\(1,\\): expected 3, got 2"):
        equal("x", torch.tensor([1, 2]), torch.tensor([1, 3]))
    with pytest.raises(Wrong, match="float32"):
        equal("x", torch.tensor([1.0]), torch.tensor([1]))
    with pytest.raises(Wrong, match="got an answer"):
        refused("no", lambda: None)


def test_the_package_of_links_is_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(gpu_build, "_sees_gpu", lambda: False)
    for _ in range(2):  # again over the links of before
        assert gpu_build.main(tmp_path / "build") == 0
    package = tmp_path / "build" / "headrace"
    assert (package / "kernels" / "registry.py").resolve() == ROOT / "kernels" / "registry.py"
    assert (package / "__init__.py").resolve() == ROOT / "engine" / "__init__.py"
    assert not list(package.glob("*.so"))
    script = "import headrace.benchmarks.gpu_check as g; print(g.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert Path(done.stdout.strip()).resolve() == Path(gpu_check.__file__).resolve(), done.stderr
