"""Random forgeries of a snapshot: refused by a SnapshotError, or it serves."""

from __future__ import annotations

import atexit
import functools
import tempfile
from pathlib import Path

import forging
import pytest
import tiny

from headrace.build import build
from headrace.data import generate
from headrace.snapshot import Snapshot, read_snapshot


@functools.cache
def _snapshot() -> tuple[Path, Snapshot]:
    made = tempfile.TemporaryDirectory()
    atexit.register(made.cleanup)
    folder = Path(made.name) / "snapshot"
    build(generate(users=40, items=90, events=1_500, seed=1).dataset, tiny.TINY, folder)
    return folder, read_snapshot(folder)


def attempt(seed: int) -> str:
    folder, whole = _snapshot()
    with pytest.MonkeyPatch.context() as patch:
        return "refused" if forging.check_forged(folder, whole, seed, patch) else "served"
