"""The rules of the house that a machine can check."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

import headrace.kernels
from headrace.doctor import print_report
from headrace.kernels.registry import OPS

ROOT = Path(__file__).parent.parent


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
        "print([m for m in sys.modules if m.startswith('headrace.') and 'kernels' not in m])"
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
        assert (ROOT / "kernels" / folder / f"{backend}.py").exists(), backend
    pages = [page.read_text() for page in (ROOT / "docs" / "kernels").glob("*.md")]
    assert any(f"{name}`" in page or f"{name}(" in page for page in pages)


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
