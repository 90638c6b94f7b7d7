"""Instructions of each op's C function at a fixed size, counted by callgrind: the same number on every run."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from headrace.benchmarks.guard.revisions import OBJECTS, Revision

DRIVER = Path("benchmarks") / "count" / "count.cpp"

Counts = dict[str, tuple[int | None, int | None]]


def count(a: Revision, b: Revision) -> tuple[Counts, str]:
    """(case -> instructions in both, None where one lacks the case; why there are none). One thread; AVX2, the widest
    that valgrind runs, where the machine is an x86."""
    missing = [tool for tool in ("valgrind", "c++") if not shutil.which(tool)]
    if missing:
        return {}, f"{' and '.join(missing)} not installed"
    try:
        counted = [_of(revision, revision.tree if (revision.tree / DRIVER).exists() else b.tree) for revision in (a, b)]
    except (OSError, ValueError) as error:
        return {}, str(error)
    return {name: (counted[0].get(name), counted[1].get(name)) for name in {**counted[0], **counted[1]}}, ""


def _of(revision: Revision, source: Path) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as folder:
        driver = Path(folder) / "count"
        objects = [
            str(revision.tree / OBJECTS / path.relative_to(revision.tree).with_suffix(".o"))
            for path in sorted((revision.tree / "cpp").rglob("*.cpp"))
        ]
        objects = [path for path in objects if os.path.exists(path)]  # other machines' instruction sets have none
        include = f"-I{revision.tree / 'cpp'}"
        _run(revision, ["c++", "-std=c++20", "-O1", "-pthread", include, source / DRIVER, *objects, "-o", driver])
        listed = [line.split("|") for line in _run(revision, [driver]).splitlines()]
        return {name: _callgrind(revision, driver, function, name) for function, name in listed}


def _callgrind(revision: Revision, driver: Path, function: str, name: str) -> int:
    out = driver.with_suffix(".out")
    collect = (f"--toggle-collect={function}", f"--callgrind-out-file={out}")
    _run(revision, ["valgrind", "--tool=callgrind", *collect, driver, name])
    found = re.search(r"^(?:totals|summary): (\d+)", out.read_text(), re.MULTILINE)
    if not found:
        raise ValueError(f"{revision.name}: callgrind counted nothing for {name}")
    return int(found.group(1))


def _run(revision: Revision, command: list[str | Path]) -> str:
    environment = {**os.environ, "HEADRACE_THREADS": "1"}
    if platform.machine() in ("x86_64", "AMD64"):
        environment["HEADRACE_ISA"] = "avx2"
    run = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, env=environment, timeout=300
    )
    if run.returncode:
        last = (run.stderr.strip().splitlines() or [f"exit status {run.returncode}"])[-1]
        raise ValueError(f"{revision.name}: {Path(command[0]).name}: {last}")
    return run.stdout
