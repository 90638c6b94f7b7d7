"""`headrace load` as a user calls it, and its page in a browser."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess

import pytest
from typer.testing import CliRunner

from headrace.cli import app
from headrace.cli.load import _powers
from headrace.cli.shared import user_words

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
# The page is measured in a frame as wide as the screen, by a script of the test; the page itself has none.
MEASURE = """
<!doctype html><body style="margin:0"><iframe srcdoc="PAGE" style="width:WIDTHpx;height:900px;border:0"></iframe>
<script>onload = () => {
  const page = document.querySelector("iframe").contentDocument, root = page.documentElement;
  const wide = [...page.querySelectorAll("body *")].filter(e => !e.closest(".table") && !e.closest("svg")
    && e.getBoundingClientRect().right > root.clientWidth + 1).map(e => e.tagName + "." + e.className);
  const asked = page.defaultView.performance.getEntriesByType("resource").map(e => e.name);
  document.body.textContent = "RESULT" + JSON.stringify({wide, asked, sideways: root.scrollWidth - root.clientWidth,
    drawn: [...page.querySelectorAll("svg")].every(e => e.getBoundingClientRect().width > 200)}) + "END";
}</script>
"""


@pytest.fixture(scope="module")
def folder(snapshot, tmp_path_factory):
    out = tmp_path_factory.mktemp("load")
    options = ["--quick", "--seconds", "0.1", "--loads", "40,130", "--threads", "1", "--batch", "4", "--out", str(out)]
    run = CliRunner().invoke(app, ["load", "--snapshot", str(snapshot), *options])
    assert run.exit_code == 0, run.output
    assert "400 items, 20 shown: " in run.stdout
    assert "steps, about" in run.stderr
    (made,) = out.iterdir()
    return made


def test_a_run_is_printed_and_written(folder) -> None:
    assert {path.name for path in folder.iterdir()} == {"load.html", "load.json"}
    found = json.loads((folder / "load.json").read_text())
    assert [step["load"] for step in found["offered"]] == [0.4, 1.3]
    assert [step["batch"] for step in found["batches"]] == [1, 4, 16, 64, 256]
    assert found["plan"]["threads"] == 1


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path")
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_in_a_browser(folder, tmp_path, width) -> None:
    look = tmp_path / "look.html"
    page = html.escape((folder / "load.html").read_text(encoding="utf-8"))
    look.write_text(MEASURE.replace("WIDTH", str(width)).replace("PAGE", page), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    run = subprocess.run(
        [CHROMIUM, *options, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", look.as_uri()],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    seen = json.loads(html.unescape(re.search(r"RESULT(.*)END</body>", run.stdout, re.S)[1]))
    assert seen == {"wide": [], "asked": [], "sideways": 0, "drawn": True}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--url", "http://8.8.8.8/"], "url: expected localhost or a loopback address, got '8.8.8.8'"),
        (["--url", "http://127.0.0.1:1/"], "nothing listens at 127.0.0.1:1"),
        (["--url", "http://127.0.0.1:1/", "--batch", "2"], "batch: expected 1"),
        (["--url", "http://127.0.0.1:1/", "--loads", "a"], "loads: expected percent"),
        (["--url", "http://127.0.0.1:1/", "--seconds", "0"], "seconds: expected more than 0"),
        (["--url", "http://127.0.0.1:1/", "--users", ","], "users: expected at least 1"),
        (["--url", "http://127.0.0.1:1/", "--user", "a,b"], "nothing listens at 127.0.0.1:1"),
        (["--url", "http://127.0.0.1:1/", "--snapshot", "x"], "expected either --snapshot or --url"),
        (["--body", "{}"], "body: expected --url"),
        (["--snapshot", "no such folder"], "not a snapshot"),
    ],
)
def test_what_cannot_be_done_is_one_line(options, words) -> None:
    run = CliRunner().invoke(app, ["load", *options])
    assert run.exit_code == 2
    assert words in run.stderr
    assert "Traceback" not in run.stderr


def test_sizes_and_users_of_the_command_line(tmp_path) -> None:
    assert [_powers(most) for most in (1, 2, 3, 8)] == [(1,), (1, 2), (1, 2, 3), (1, 2, 4, 8)]
    assert _powers(256, 4) == (1, 4, 16, 64, 256)
    (tmp_path / "users.txt").write_text("a b\nc,d\n\n")
    assert user_words(f"@{tmp_path / 'users.txt'}", None) == ["a b", "c,d"]
    assert user_words("1, 2,,3", ["a, b", ""]) == ["a, b", "", "1", "2", "3"]
    assert (user_words(None, ["-"]), user_words(None, []), user_words(",", None)) == (["-"], None, [])
