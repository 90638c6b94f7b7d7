"""Makes the package `headrace` in a folder out of links to the source, for `make gpu-check`; needs no installer.

The native kernels are built into it where there is a GPU to check, a compiler and pybind11. Without them the rest
works: the checks compare GPU kernels with their references. Run in the source tree, by file name.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

#: A build that takes longer is left, so that the checks have their time.
SECONDS = 150


def main(folder: Path) -> int:
    source = Path.cwd()
    package = folder / "headrace"
    package.mkdir(parents=True, exist_ok=True)
    for old in package.iterdir():
        if old.is_symlink():
            old.unlink()
    for path in (source / "engine").iterdir():
        if path.suffix != ".so" and path.name != "__pycache__":
            (package / path.name).symlink_to(path)
    for name in ("kernels", "benchmarks"):
        (package / name).symlink_to(source / name)
    if importlib.util.find_spec("torch") is None:
        print("gpu-check: torch is not installed for this Python; give one that has it as PYTHON=")
        return 1
    if _sees_gpu():
        trouble = _build(source, folder)
        print("native kernels: " + (f"not built, going on without ({trouble})" if trouble else "built"), flush=True)
    return 0


def _sees_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _build(source: Path, folder: Path) -> str:
    """Why the extension could not be built, or ""."""
    tree = folder / "source"
    tree.mkdir(exist_ok=True)
    # Without pyproject.toml, which an older setuptools cannot read and compiling does not need.
    for name in ("setup.py", "cpp", "bindings", "engine", "kernels", "benchmarks"):
        if not (tree / name).exists():
            (tree / name).symlink_to(source / name)
    into = ["--build-lib", str(folder.resolve()), "--build-temp", str((folder / "objects").resolve())]
    command = [sys.executable, "setup.py", "-q", "build_ext", *into]
    environment = {**os.environ, "HEADRACE_BUILD_JOBS": str(os.cpu_count() or 1)}
    log = folder / "build.log"
    try:
        with log.open("w") as output:
            subprocess.run(
                command, cwd=tree, env=environment, stdout=output, stderr=subprocess.STDOUT, timeout=SECONDS, check=True
            )
    except (OSError, subprocess.SubprocessError) as error:
        lines = log.read_text().strip().splitlines()
        return f"{lines[-1] if lines else type(error).__name__}; more in {log}"
    return ""


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
