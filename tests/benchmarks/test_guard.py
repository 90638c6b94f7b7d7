"""Two revisions in two processes: what they answer, and what happens when they do not."""

from __future__ import annotations

import mmap
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from toy import package
from typer.testing import CliRunner

from headrace.benchmarks.guard import check, command, counter, revisions
from headrace.benchmarks.guard.check import Choice, Guard
from headrace.benchmarks.guard.client import Process, Trouble
from headrace.benchmarks.guard.revisions import Revision
from headrace.benchmarks.harness.compare import compare
from headrace.benchmarks.harness.results import Results
from headrace.cli import app

Start = Callable[[str], Process]


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[Start]:
    """A worker whose whole program is given."""
    with ExitStack() as stack:

        def start(program: str) -> Process:
            script = tmp_path / "worker.py"
            script.write_text(program)
            return stack.enter_context(Process("base 123", tmp_path, script=script))

        yield start


def test_a_worker_that_dies_is_told_with_its_last_words(scripted: Start) -> None:
    worker = scripted(
        "import os, sys\ninput()\nprint('no such bank', file=sys.stderr, flush=True)\nos.kill(os.getpid(), 11)"
    )
    with pytest.raises(Trouble, match=r"^base 123: the worker died in 'open': SIGSEGV - no such bank$"):
        worker.ask(30, "open")
    with pytest.raises(Trouble, match="died"):  # started again
        worker.ask(30, "open")
    with pytest.raises(Trouble, match="exit status 3"):
        scripted("raise SystemExit(3)").ask(30, "open")


def test_a_worker_that_hangs_is_ended(scripted: Start) -> None:
    worker = scripted("import time\ntime.sleep(1000)")
    with pytest.raises(Trouble, match=r"hung: no answer to 'round' in 0\.3 s"):
        worker.ask(0.3, "round")


def test_a_worker_that_answers_nonsense_is_ended(scripted: Start) -> None:
    with pytest.raises(Trouble, match="answered 'round' with no JSON"):
        scripted("input()\nprint('hello', flush=True)\ninput()").ask(30, "round")


def test_a_question_that_fails_keeps_the_worker(scripted: Start) -> None:
    worker = scripted('import sys\nfor line in sys.stdin: print(\'{"failed": "wrong answer: 3"}\', flush=True)')
    for _ in range(2):
        with pytest.raises(Trouble, match=r"^base 123: wrong answer: 3$"):
            worker.ask(30, "open")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two packages, told apart by how their toy behaves."""
    folder = tmp_path_factory.mktemp("revisions")
    a = package(folder / "a", old={}, same={"prints": True}, slow={}, wrong={}, dies={}, hangs={})
    mark = {"wrong": {"wrong": True}, "dies": {"dies": True}, "hangs": {"hangs": True}, "slow": {"slow": 8.0}}
    b = package(folder / "b", same={"prints": True}, **mark, new={})
    return a, b


@pytest.mark.rare
def test_each_case_gets_its_verdict_or_its_reason(
    measured: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(check, "ROUND_PATIENCE", 5.0)
    monkeypatch.setattr(check, "CONFIRMATIONS", 1)
    monkeypatch.setattr(command, "checkout", lambda: tmp_path)
    a, b = (Revision(name, name * 4, tmp_path, folder) for name, folder in zip(("base", "this"), measured, strict=True))
    monkeypatch.setattr(command, "prepare", lambda root, base: (a, b, f"asked for {base}"))
    monkeypatch.setattr(command, "count", lambda a, b: ({"toy": (1000, 1100), "gone": (7, None)}, ""))
    words = ["bench", "check", "--base", "v1", "--threads", "1", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, words, env={"COLUMNS": "240"})
    assert done.exit_code == 1, done.output
    said = {line.split("│")[2].strip(): line for line in done.output.splitlines() if line.startswith("│ toy")}
    assert "A: base (asked for v1)" in done.output
    assert "no difference" in said["same"]
    assert "slower" in said["slow"]
    assert "paired, 2 launches" in said["slow"]
    assert "B: this: wrong answer: ids differ" in said["wrong"]
    assert "B: this: the worker died in 'round': SIGSEGV - about to die" in said["dies"]
    assert "B: this: the worker hung: no answer to 'round'" in said["hangs"]
    assert "only in A" in said["old"]
    assert "only in B" in said["new"]
    assert "1.1000" in done.output
    files = sorted(tmp_path.glob("*.json"))
    saved = compare(*(Results.load(file) for file in files))
    verdicts = {one.case: one.verdict for one in saved}
    assert verdicts == {
        "same": "no difference",
        "slow": "slower",
        **dict.fromkeys(("wrong", "dies", "hangs"), "no time"),
    }
    rows = {row.case: row for row in Results.load(files[1]).rows}
    assert rows["same"].commit == "thisthisthisthis"
    assert rows["wrong"].rounds == rows["dies"].rounds == []


@pytest.mark.slow
def test_cases_that_neither_or_only_one_has(measured: tuple[Path, Path]) -> None:
    a, b = measured
    with Process("a", a, 1) as first, Process("b", b, 1) as second, Process("empty", a.parent, 1) as empty:
        with pytest.raises(ValueError, match="no such case in common"):
            Guard(first, second).measure(Choice(case="nothing"))
        with pytest.raises(Trouble, match="empty: ModuleNotFoundError: No module named 'headrace'"):
            Guard(empty, second).measure(Choice())


def git(folder: Path, *words: str) -> str:
    mine = ["-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false"]
    run = subprocess.run(["git", *mine, *words], cwd=folder, capture_output=True, text=True, check=True)
    return run.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits on main, one more on a branch."""
    git(tmp_path, "init", "-q", "-b", "main")
    for number in range(3):
        if number == 2:
            git(tmp_path, "checkout", "-q", "-b", "work")
        (tmp_path / "setup.py").write_text(f"raise SystemExit('no compiler {number}')\n")
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "-q", "-m", str(number))
    return tmp_path


def test_the_base_is_where_the_branch_left_main(repository: Path) -> None:
    main, first = git(repository, "rev-parse", "main"), git(repository, "rev-parse", "main~1")
    assert revisions.base_of(repository, None) == (main, "where this branch left main")
    assert revisions.base_of(repository, "main~1") == (first, "main~1")
    git(repository, "checkout", "-q", "main")
    assert revisions.base_of(repository, None) == (first, "HEAD~1")
    with pytest.raises(ValueError, match="base: unknown: 'nothing'"):
        revisions.base_of(repository, "nothing")
    git(repository, "checkout", "-q", first)
    git(repository, "branch", "-q", "-f", "main", first)
    with pytest.raises(ValueError, match="base: HEAD has no commit before it"):
        revisions.base_of(repository, None)


def test_the_second_worktree_is_used_again_and_a_build_that_fails_says_why(repository: Path) -> None:
    tree = repository / "build" / "tree"
    for revision in ("main", "work", "main"):
        commit = git(repository, "rev-parse", revision)
        assert revisions._worktree(repository, tree, commit) == tree
        assert git(tree, "rev-parse", "HEAD") == commit
    with pytest.raises(ValueError, match="base does not build:\nno compiler 1"):
        revisions.build(Revision("base", "", tree, repository / "a"))
    subprocess.run(["rm", "-rf", str(tree)], check=True)  # as `make clean` does
    assert revisions._worktree(repository, tree, commit) == tree


def test_the_guard_runs_in_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["bench", "check"])
    assert done.exit_code == 2
    assert "inside a git checkout of Headrace" in done.output


@pytest.mark.parametrize("event", [counter.INSTRUCTIONS, (1, 2)])
def test_the_counter_counts_or_says_why_not(event: tuple[int, int]) -> None:
    # (1, 2) are page faults, counted by the kernel itself: there on machines without hardware counters.
    try:
        # Fresh pages: memory that the process has already would not fault.
        counted = counter.instructions(lambda: mmap.mmap(-1, 1 << 24).write(bytes(1 << 24)), event)
    except OSError as error:
        reason = str(error)
        assert reason.startswith("perf_event_open: ")
    else:
        assert counted > 0
