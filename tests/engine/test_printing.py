"""What the command line prints is what was meant, whatever brackets, colons and control characters names hold."""

from __future__ import annotations

import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

import headrace.kernels.registry
from headrace.benchmarks.guard.command import print_counts
from headrace.benchmarks.harness.table import print_differences
from headrace.cli import app
from headrace.cli.shared import progress_bar
from headrace.console import say, tell, tell_error, terminal, visible
from headrace.doctor import print_report
from headrace.report.page import Section, Table
from headrace.report.terminal import print_sections

ROOT = Path(__file__).parents[2]
#: What would go round that place.
BYPASSES = r"typer\.(secho|echo|style)|rich import print|rich\.markup|from_markup|markup=True"
#: Once markup that closes what nobody opened, once markup that vanishes, once a picture.
AWKWARD = "a[/x] b[gpu] :smile: c"


def run(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, list(words))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def test_all_printing_goes_through_one_place() -> None:
    makers, raw = set(), set()
    for room in ("engine", "benchmarks"):
        for path in (ROOT / room).rglob("*.py"):
            text, name = path.read_text(), str(path.relative_to(ROOT))
            assert not re.search(
                r"typer\.(secho|echo|style)|rich import print|rich\.markup|from_markup|markup=True", text
            ), name
            if re.search(r"\bConsole\(", text):
                makers.add(name)
            if room == "engine" and re.search(r"(?<![\w.])print\(", text.replace("def print(", "")):
                raw.add(name)
    assert makers == {"engine/console.py"}
    # Markdown and JSON for standard output.
    assert raw == {"engine/cli/bench.py", "engine/cli/funnel.py"}


def test_an_error_shows_brackets_as_they_are() -> None:
    code, _, error = run("recommend", "--snapshot", f"/nowhere/{AWKWARD}", "--users", "1")
    assert code == 2
    assert error.startswith(f"error: /nowhere/{AWKWARD}/CURRENT: missing")
    assert error.count("\n") == 1


def test_an_error_of_a_file_begins_with_its_name() -> None:
    assert (
        run("bench", "report", "/nowhere/results.json")[2]
        == "error: /nowhere/results.json: No such file or directory\n"
    )


def test_doctor_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    reason = 'triton is not installed; pip install "headrace[gpu]"'
    monkeypatch.setattr(headrace.kernels.registry, "_gpu_reason", lambda device: reason)
    code, text, _ = run("doctor")
    assert code == 0
    assert f"gpu is off: {reason}\n" in text
    # Whatever console it is given.
    other = Console(record=True, width=200, file=StringIO())
    print_report(other)
    assert reason in other.export_text()
    assert "bloom_contains_lists" in text


def test_lines_and_tables_and_bars(capsys: pytest.CaptureFixture[str]) -> None:
    for way in (say, tell, tell_error):
        way(AWKWARD)
    got = capsys.readouterr()
    assert (got.out, got.err) == (f"{AWKWARD}\n", f"{AWKWARD}\nerror: {AWKWARD}\n")
    out = StringIO()
    console = terminal()
    console.file, console.width = out, 100
    print_sections(console, [Section("key", AWKWARD, [Table(AWKWARD, [AWKWARD, "n"], [[AWKWARD, "1"]], note=AWKWARD)])])
    with progress_bar() as progress:
        progress.add_task(AWKWARD)
        console.print(progress.get_renderable())
    print_differences([], console)
    assert out.getvalue().count(AWKWARD) == 6


def test_a_piped_table_is_as_wide_as_it_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    name = "a case of " + " ".join(f"axis{place}=1234567" for place in range(9))
    monkeypatch.delenv("COLUMNS", raising=False)
    print_counts({name: (123_456_789, 123_456_790)}, "one thread", terminal())
    print_counts({name: (123_456_789, None)}, "one thread", terminal(stderr=True))
    for text in capsys.readouterr():
        assert f" {name} " in text
    monkeypatch.setenv("COLUMNS", "60")
    print_counts({name: (1, 2)}, "one thread", terminal())
    assert max(map(len, capsys.readouterr().out.splitlines())) == 60


def test_control_characters_are_written_out() -> None:
    assert visible("a\x1b[2Jb\r\x00\ud800\tc\nd é 語") == "a\\x1b[2Jb\\r\\x00\\ud800\tc\nd é 語"
    code, _, error = run("recommend", "--snapshot", "/nowhere/\x1b[31m\udcff", "--users", "1")
    assert code == 2
    assert "\\x1b[31m\\udcff" in error
    assert "\x1b" not in error


def test_counts_are_told_where_they_are_asked_for(snapshot: Path) -> None:
    words = ["recommend", "--snapshot", str(snapshot), "--users", "1,2", "-k", "3"]
    assert run(*words)[2] == ""
    code, lines, told = run(*words, "-v")
    assert (code, lines.count("\n")) == (0, 2)
    assert told.startswith("requests: 2, unknown users: 0")


@pytest.mark.slow
def test_a_reader_may_leave_early(snapshot: Path) -> None:
    users = ",".join(map(str, range(600)))
    words = ["headrace", "recommend", "--snapshot", str(snapshot), "--users", users]
    code = f"import sys; from headrace.cli import app; sys.argv = {words!r}; app()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("{")
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1
