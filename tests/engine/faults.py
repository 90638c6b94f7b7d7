"""Faults at random: killed writers, full disks, flipped bits, forged parts. `make faults` tries them for minutes.

Every trial has a seed of its own, which a failure names: `python tests/engine/faults.py --trial 123` repeats it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

# A forked child must not need threads that it does not have.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import forging
import numpy as np
import pyarrow as pa
import pytest
import torch
from forked import ended, forked

from headrace.build import build
from headrace.data import generate, read_parquet, write_parquet
from headrace.kernels import TopKIndex
from headrace.serving import Engine
from headrace.settings import Settings
from headrace.snapshot import Snapshot, SnapshotError, read_snapshot, write_snapshot
from headrace.state import State
from headrace.training.checkpoint import read_checkpoint, write_checkpoint

Draw = np.random.Generator
SETTINGS = Settings.model_validate(
    {"channels": {"popular": {"quota": 30}, "itemcf": {"quota": 30}, "two_tower": {"quota": 30}},
     "merge": {"total": 60}, "page": {"ranked": 30, "shown": 10}}
)  # fmt: skip


class Kind:
    """Something that is written to a folder, value by value, and read back: `get` returns the value, or raises one of
    `refusals` where the files are damaged. flips: whether every damage must be found."""

    refusals: tuple[type[Exception], ...] = (ValueError,)
    flips = True

    def put(self, folder: Path, value: int) -> None:
        raise NotImplementedError

    def get(self, folder: Path) -> int:
        raise NotImplementedError


class SnapshotFolder(Kind):
    """A snapshot; the version before is there for a roll-back."""

    refusals = (SnapshotError,)

    def put(self, folder: Path, value: int) -> None:
        part = State({"x": torch.full((2000,), value)}, {"value": value})
        write_snapshot(folder, Snapshot({"part": part}, {"items": pa.table({"id": [value]})}, {"value": value}))

    def get(self, folder: Path) -> int:
        back = read_snapshot(folder)
        value: int = back.info["value"]
        assert back.states["part"]["x"].eq(value).all()
        assert back.states["part"]["value"] == value
        assert back.tables["items"]["id"].to_pylist() == [value]
        assert value == 0 or len(list(folder.glob("*/manifest.json"))) >= 2
        return value


class Checkpoint(Kind):
    """A checkpoint of a training."""

    def put(self, folder: Path, value: int) -> None:
        write_checkpoint(folder / "net.pt", {"weights": torch.full((2000,), value), "steps": value})

    def get(self, folder: Path) -> int:
        back = read_checkpoint(folder / "net.pt")
        assert back["weights"].eq(back["steps"]).all()
        return int(back["steps"])


class LogFolder(Kind):
    """A log of several files, whose sizes say which one it is."""

    # Its files have no checksums.
    refusals, flips = (Exception,), False

    def put(self, folder: Path, value: int) -> None:
        write_parquet(generate(5, 20 + value % 50, 100 + value % 50, seed=value).dataset, folder)

    def get(self, folder: Path) -> int:
        back = read_parquet(folder)
        assert len(back.log) - 100 == len(back.catalogue) - 20
        return len(back.log) - 100


class IndexFile(Kind):
    """A file of a top-k index."""

    def put(self, folder: Path, value: int) -> None:
        TopKIndex(torch.full((300, 8), float(value + 1))).save(folder / "items.topk")

    def get(self, folder: Path) -> int:
        index = TopKIndex.load(folder / "items.topk", mmap=False)
        assert len(index) == 300
        assert index.items.eq(index.items[0, 0]).all()
        return int(index.items[0, 0]) - 1


KINDS: tuple[Kind, ...] = (SnapshotFolder(), Checkpoint(), LogFolder(), IndexFile())


def killed(draw: Draw, folder: Path, kind: Kind) -> None:
    """A writer that dies at any moment leaves the last value or the next, and nothing that stays for ever."""
    kind.put(folder, 0)
    kind.put(folder, 1)
    value = 1
    for _ in range(4):
        child = forked(lambda: [kind.put(folder, v) for v in range(value + 1, 40)])  # noqa: B023
        time.sleep(float(draw.uniform(0, 0.06)))
        os.kill(child, signal.SIGKILL)
        ended(child)
        found = kind.get(folder)
        assert value <= found < 40, f"{found} after {value}"
        value = found
    kind.put(folder, 45)
    assert kind.get(folder) == 45
    left = [path for path in folder.rglob("*") if "headrace-part" in path.name or "headrace-next" in path.name]
    assert not left, left


def full(draw: Draw, folder: Path, kind: Kind) -> None:
    """A full disk is an OSError, and the old value stays."""
    kind.put(folder, 0)
    kind.put(folder, 1)
    room = int(draw.integers(0, 1500))

    def filled() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        with pytest.raises(OSError):  # noqa: PT011
            kind.put(folder, 2)

    assert ended(forked(filled)) == 0, f"room for {room} bytes"
    assert kind.get(folder) == 1


def flipped(draw: Draw, folder: Path, kind: Kind) -> None:
    """A flipped bit, or a cut, is told, or changes nothing."""
    kind.put(folder, 0)
    kind.put(folder, 1)
    files = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size]
    path = files[draw.integers(len(files))]
    data = bytearray(path.read_bytes())
    place = int(draw.integers(len(data)))
    if draw.random() < 0.2:
        del data[place:]
    else:
        data[place] ^= 1 << int(draw.integers(8))
    path.write_bytes(data)
    with contextlib.suppress(*kind.refusals):
        assert kind.get(folder) == 1 or not kind.flips


def forged(draw: Draw, folder: Path) -> None:
    """A forged part is refused, or served."""
    with pytest.MonkeyPatch.context() as patch:
        forging.check_forged(folder, read_snapshot(folder), int(draw.integers(2**32)), patch)


def built(folder: Path) -> None:
    """Builds a small snapshot in `folder`."""
    build(generate(users=30, items=80, events=1_500, seed=1).dataset, SETTINGS, folder)


def build_killed(draw: Draw, folder: Path, whole: Path, seconds: float) -> None:
    """A build that dies at any moment and is started again makes the snapshot of an unbroken one."""
    for _ in range(int(draw.integers(1, 3))):
        process = subprocess.Popen([sys.executable, __file__, "--build", folder])
        time.sleep(float(draw.uniform(0, seconds)))
        process.kill()
        process.wait()
    subprocess.run([sys.executable, __file__, "--build", folder], check=True)
    users = list(range(0, 30, 3))
    assert Engine.load(folder).recommend(users) == Engine.load(whole).recommend(users)
    assert not list(folder.glob("work-*"))


FAULTS: tuple[Callable[[Draw, Path, Kind], None], ...] = (killed, full, flipped)


def trial(seed: int, whole: Path, seconds: float | None) -> str:
    """One fault, drawn by `seed`; returns what was tried. whole: a snapshot of `built`. seconds: that one takes; None:
    builds are not tried."""
    draw = np.random.default_rng(seed)
    chance = draw.random()
    with tempfile.TemporaryDirectory() as name:
        if seconds is not None and chance < 0.04:
            build_killed(draw, Path(name), whole, seconds)
            return "build: killed"
        if chance < 0.3:
            forged(draw, whole)
            return "snapshot: forged"
        kind, fault = KINDS[draw.integers(len(KINDS))], FAULTS[draw.integers(len(FAULTS))]
        fault(draw, Path(name), kind)
        return f"{type(kind).__name__}: {fault.__name__}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0, help="how long faults are tried")
    parser.add_argument("--trial", type=int, help="repeats the trial of this seed")
    parser.add_argument("--build", type=Path, help="builds a small snapshot there, and nothing else")
    asked = parser.parse_args()
    if asked.build is not None:
        built(asked.build)
        return
    tried: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        started = time.monotonic()
        subprocess.run([sys.executable, __file__, "--build", name], check=True)
        seconds = time.monotonic() - started
        first = int(np.random.default_rng().integers(2**40)) if asked.trial is None else asked.trial
        print(f"trials from seed {first} on", flush=True)
        ends = time.monotonic() + asked.minutes * 60
        while (asked.trial is None and time.monotonic() < ends) or not tried:
            seed = first + sum(tried.values())
            try:
                tried[trial(seed, Path(name), seconds)] += 1
            except BaseException:
                print(f"failed: trial {seed}", flush=True)
                raise
    for what, count in sorted(tried.items()):
        print(f"{count:6d}  {what}")


if __name__ == "__main__":
    main()
