"""The page in a real browser: no complaint, no sideways scroll on a phone, wide tables scroll inside themselves."""

import html
import json
import re
import shutil
import subprocess

import pytest

from headrace.report import render_html

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
QUIET = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr"),
]
# Widths are measured in a frame as wide as the screen, by a script of the test; the page itself has none.
MEASURE = """
<!doctype html><body style="margin:0"><iframe srcdoc="PAGE" style="width:WIDTHpx;height:900px;border:0"></iframe>
<script>onload = () => {
  const page = document.querySelector("iframe").contentDocument, root = page.documentElement;
  const wide = [...page.querySelectorAll("body *")].filter(e => !e.closest(".table") && !e.closest("svg")
    && e.getBoundingClientRect().right > root.clientWidth + 1).map(e => e.tagName + "." + e.className);
  const tables = [...page.querySelectorAll(".table")].filter(e => e.scrollWidth > e.clientWidth + 1).length;
  const asked = page.defaultView.performance.getEntriesByType("resource").map(e => e.name);
  const bar = page.querySelector(".fill").getBoundingClientRect();
  const found = {scroll: root.scrollWidth, client: root.clientWidth, wide, tables, asked, bar: bar.width,
    tall: bar.height};
  document.body.textContent = "RESULT" + JSON.stringify(found) + "END";
}</script>
"""


def look(report, width, folder, *options):
    page = folder / "look.html"
    frame = MEASURE.replace("WIDTH", str(width)).replace("PAGE", html.escape(render_html(report)))
    page.write_text(frame, encoding="utf-8")
    run = subprocess.run(
        [CHROMIUM, *QUIET, *options, f"--user-data-dir={folder / 'profile'}", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    return json.loads(html.unescape(re.search(r"RESULT(.*)END</body>", run.stdout, re.S)[1])), run.stderr


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path")
@pytest.mark.parametrize("width", [390, 1280])
def test_page_in_a_browser(full_report, tmp_path, width):
    seen, log = look(full_report, width, tmp_path)
    assert "CONSOLE" not in log
    assert seen["asked"] == []
    assert width - 20 <= seen["client"] <= width  # there may be a scroll bar
    assert seen["scroll"] == seen["client"]
    assert seen["wide"] == []
    assert (seen["tables"] > 0) == (width == 390)
    assert seen["bar"] > 50
    assert seen["tall"] > 10
