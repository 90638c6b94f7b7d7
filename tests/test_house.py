"""The rules of the house that a machine can check."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

import headrace.kernels
from headrace.doctor import print_report
from headrace.kernels.registry import OPS

ROOT = Path(__file__).parent.parent
#: The rooms of the engine, ground floor first: each imports of its own line and those above it alone.
ROOMS = """
    version section state registry types jagged arrays console
    data
    similarity
    features
    training
    search
    channels
    models
    ranking
    reranking
    exposure events
    recall funnel
    settings snapshot_v1
    snapshot overlay
    storage
    serving
    fingerprint rehearsal build
    report
    doctor
    evaluation experiments
    profiling loadtest
    demo
    cli
    headrace
"""
#: What climbs all the same, for now.
CLIMBS: set[tuple[str, str]] = set()


def test_no_module_is_imported_by_its_folder_name() -> None:
    code = (
        "import headrace, headrace.kernels, headrace.cli, headrace.demo, sys\n"
        "print('engine' in sys.modules, 'kernels' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.split() == ["False", "False"], run.stderr


def test_importing_the_kernels_leaves_the_engine_out() -> None:
    code = (
        "import headrace.kernels, sys\n"
        "print([m for m in sys.modules if m.startswith('headrace.') and m.split('.')[1] not in ('kernels', 'version')])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.strip() in ("[]", "['headrace._C']"), run.stderr + run.stdout


def test_the_kernels_import_nothing_of_the_engine() -> None:
    for path in (ROOT / "kernels").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("headrace"):
                names = {alias.name for alias in node.names}
                assert node.module.startswith("headrace.kernels") or names == {"_C"}, f"{path}: {node.module}"


def test_the_native_core_knows_no_python() -> None:
    for path in [*(ROOT / "cpp").rglob("*.h"), *(ROOT / "cpp").rglob("*.cpp")]:
        text = path.read_text()
        assert "Python.h" not in text, path
        assert "pybind11" not in text, path


@pytest.mark.parametrize("name", sorted(OPS))
def test_every_kernel_is_wired_in_every_place(name: str) -> None:
    folder = OPS[name].package.rsplit(".", 1)[1]
    for backend in ("reference", "native", "gpu"):
        there = (ROOT / "kernels" / folder / f"{backend}.py").exists()
        assert there == (backend != "gpu" or OPS[name].no_gpu is None), backend
    pages = [page.read_text() for page in (ROOT / "docs" / "kernels").glob("*.md")]
    assert any(f"{name}`" in page or f"{name}(" in page for page in pages)


def test_locks_are_those_that_survive_a_fork() -> None:
    own = {
        "kernels/forks.py",
        # Refused in a child before it is asked for.
        "kernels/sharded/processes.py",
        # Of one run, in one process.
        "engine/loadtest/loops.py",
    }
    made = {
        str(path.relative_to(ROOT))
        for room in ("engine", "kernels")
        for path in (ROOT / room).rglob("*.py")
        if re.search(r"threading\.(R?Lock|Condition|Semaphore)\(", path.read_text())
    }
    assert made == own


def test_doctor_lists_every_kernel() -> None:
    console = Console(record=True, width=160)
    print_report(console)
    text = console.export_text()
    for name in (*OPS, "cpu", "isas usable", "threads", "torch", "triton"):
        assert name in text
    assert headrace.kernels.__all__


def test_the_readme_names_what_exists() -> None:
    text = (ROOT / "README.md").read_text()
    for path in ("docs/architecture.md", "docs/settings.md", "CONTRIBUTING.md", "CHANGELOG.md", "cpp/headrace.h"):
        assert path in text
        assert (ROOT / path).exists()


def imports_of(path: Path, module: str, known: set[str]) -> set[str]:
    """The modules of `known` that a file imports anywhere in it, also only for types, but for its own package."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inside & known or {node.module}
    return (found & known) - {module}


def engine_imports() -> dict[str, set[str]]:
    """Module of the engine -> the modules of the engine that it imports."""
    paths = {}
    for path in (ROOT / "engine").rglob("*.py"):
        parts = path.relative_to(ROOT / "engine").with_suffix("").parts
        paths[".".join(("headrace", *(part for part in parts if part != "__init__")))] = path
    return {module: imports_of(path, module, set(paths)) for module, path in paths.items()}


def test_the_rooms_import_downwards_only() -> None:
    floor = {room: number for number, line in enumerate(ROOMS.strip().splitlines()) for room in line.split()}
    climbs = set()
    for module, imported in engine_imports().items():
        own = module.removeprefix("headrace.")
        for room in {name.removeprefix("headrace.").split(".")[0] for name in imported}:
            assert room in floor, f"{room}: a room without a place in ROOMS"
            if floor[room] > floor[own.split(".")[0]]:
                climbs.add((own, room))
    assert climbs == CLIMBS


def test_no_modules_import_each_other_in_a_circle() -> None:
    graphlib.TopologicalSorter(engine_imports()).prepare()
