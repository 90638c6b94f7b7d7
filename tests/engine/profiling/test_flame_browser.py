"""The flame graph in a real browser: it scrolls inside itself on a phone, and no complaint is logged."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from headrace.profiling import Load, profile, write
from headrace.serving import Engine

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
QUIET = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync", "--enable-logging=stderr"]
QUIET += ["--disable-background-networking", "--disable-component-update", "--disable-quic"]
# Widths are measured in a frame as wide as the screen, by a script of the test; the page itself has none.
MEASURE = """
<!doctype html><body style="margin:0"><iframe srcdoc="PAGE" style="width:WIDTHpx;height:900px;border:0"></iframe>
<script>onload = () => {
  const page = document.querySelector("iframe").contentDocument, root = page.documentElement;
  const box = page.querySelector(".flame-scroll"), frames = [...page.querySelectorAll(".frame")];
  const at = frames.map(e => e.getBoundingClientRect());
  const over = at.filter((a, i) => at.some((b, j) => i < j && a.left < b.right - 1 && b.left < a.right - 1
    && a.top < b.bottom - 1 && b.top < a.bottom - 1)).length;
  const found = {scroll: root.scrollWidth, client: root.clientWidth, inside: box.scrollWidth > box.clientWidth + 1,
    frames: frames.length, tall: at[0].height, wide: at[0].width, over};
  document.body.textContent = "RESULT" + JSON.stringify(found) + "END";
}</script>
"""


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path")
@pytest.mark.parametrize("width", [390, 1280])
def test_the_flame_graph_in_a_browser(engine: Engine, tmp_path: Path, width: int) -> None:
    graph = write(profile(engine, Load(batch=4, batches=2)), tmp_path)[2]
    page = tmp_path / "look.html"
    page.write_text(MEASURE.replace("WIDTH", str(width)).replace("PAGE", html.escape(graph.read_text())))
    run = subprocess.run(
        [str(CHROMIUM), *QUIET, f"--user-data-dir={tmp_path / 'browser'}", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    answer = re.search(r"RESULT(.*)END</body>", run.stdout, re.S)
    assert answer is not None
    seen = json.loads(html.unescape(answer[1]))
    assert "CONSOLE" not in run.stderr
    assert seen["scroll"] == seen["client"]
    assert seen["inside"] == (width == 390)
    assert seen["frames"] > 10
    assert seen["tall"] > 15
    assert seen["wide"] > 300
    assert seen["over"] == 0
