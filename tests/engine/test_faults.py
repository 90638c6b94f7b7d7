"""A few of the faults that `make faults` tries for minutes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import faults
import numpy as np
import pytest


@pytest.mark.parametrize("kind", faults.KINDS, ids=lambda kind: type(kind).__name__)
@pytest.mark.parametrize("fault", faults.FAULTS, ids=lambda fault: fault.__name__)
def test_nothing_is_lost(tmp_path: Path, fault: object, kind: faults.Kind) -> None:
    for seed in range(2):
        folder = tmp_path / str(seed)
        folder.mkdir()
        fault(np.random.default_rng(seed), folder, kind)  # type: ignore[operator]


@pytest.mark.rare
def test_a_build_killed_at_any_moment_goes_on(tmp_path: Path) -> None:
    # In a process of its own, as the other: with as many threads, sums are the same.
    subprocess.run([sys.executable, faults.__file__, "--build", tmp_path / "whole"], check=True)
    faults.build_killed(np.random.default_rng(), tmp_path / "killed", tmp_path / "whole", 12.0)
