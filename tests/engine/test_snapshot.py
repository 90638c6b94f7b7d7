"""Snapshots survive what happens to files: cuts, flips, later versions, full disks and kill -9."""

from __future__ import annotations

import hashlib
import json
import resource
import signal
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from forked import ended, forked

from headrace.snapshot import Snapshot, SnapshotError, read_snapshot, write_snapshot
from headrace.state import State


def made(value: int = 1, size: int = 1000) -> Snapshot:
    return Snapshot(
        {"two_tower": State({"items": torch.full((size,), value, dtype=torch.float32), "empty": torch.zeros(0)})},
        {"items": pa.table({"id": pa.array([3, 5, 8], pa.int64())})},
        {"value": value},
    )


def version_of(folder: Path) -> Path:
    return folder / (folder / "CURRENT").read_text().split()[0]


def test_round_trip(tmp_path: Path) -> None:
    write_snapshot(tmp_path / "s", made(7))
    back = read_snapshot(tmp_path / "s")
    assert back.info == {"value": 7}
    assert torch.equal(back.states["two_tower"]["items"], torch.full((1000,), 7.0))
    assert back.tables["items"].column("id").to_pylist() == [3, 5, 8]


def test_tensors_that_share_memory(tmp_path: Path) -> None:
    whole = torch.arange(6)
    write_snapshot(tmp_path, Snapshot({"part": State({"whole": whole, "tail": whole[3:], "again": whole})}, {}, {}))
    back = read_snapshot(tmp_path).states["part"]
    assert back["tail"].tolist() == [3, 4, 5]
    assert torch.equal(back["again"], whole)


FACTS = {
    "whole": 2**62,
    "share": 0.1,
    "tiny": 5e-324,
    "words": "naïve",
    "on": True,
    "none": None,
    "list": [1, 2.5, "x"],
    "part/inner": {"a": {"b": []}},
}


def test_facts_come_back_as_they_were(tmp_path: Path) -> None:
    write_snapshot(tmp_path, Snapshot({"part": State({"x": torch.ones(2)}, FACTS), "bare": State({}, {})}, {}, {}))
    back = read_snapshot(tmp_path).states
    assert back["part"].facts == FACTS
    assert {name: type(fact) for name, fact in back["part"].facts.items()} == {n: type(f) for n, f in FACTS.items()}
    assert back["part"].under("part").facts == {"inner": {"a": {"b": []}}}
    assert back["bare"] == State({}, {})


@pytest.mark.parametrize("fact", [(1, 2), {3: "x"}, float("nan"), float("inf"), torch.ones(1), {"a": (1,)}, {1}])
def test_a_fact_that_would_change_is_refused(tmp_path: Path, fact: object) -> None:
    write_snapshot(tmp_path, made(1))
    with pytest.raises(TypeError, match="part: odd: expected a fact that JSON holds as it is, got"):
        write_snapshot(tmp_path, Snapshot({"part": State({}, {"odd": fact})}, {}, {}))
    assert read_snapshot(tmp_path).info["value"] == 1


def test_the_last_two_versions_are_kept(tmp_path: Path) -> None:
    for value in range(4):
        write_snapshot(tmp_path, made(value))
    assert read_snapshot(tmp_path).info["value"] == 3
    assert sum(p.is_dir() for p in tmp_path.iterdir()) == 2


@pytest.mark.parametrize("part", ["two_tower.safetensors", "items.arrow", "manifest.json"])
def test_truncated_is_refused(tmp_path: Path, part: str) -> None:
    write_snapshot(tmp_path, made())
    path = version_of(tmp_path) / part
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SnapshotError, match=rf"{part}.*(truncated|cut short)"):
        read_snapshot(tmp_path)


@pytest.mark.parametrize("part", ["two_tower.safetensors", "items.arrow", "manifest.json"])
def test_bit_flips_are_refused(tmp_path: Path, part: str) -> None:
    write_snapshot(tmp_path, made())
    path = version_of(tmp_path) / part
    bytes_ = bytearray(path.read_bytes())
    bytes_[len(bytes_) // 2] ^= 4
    path.write_bytes(bytes_)
    with pytest.raises(SnapshotError, match=rf"{part}.*(corrupt|altered)"):
        read_snapshot(tmp_path)


def test_future_version_is_refused(tmp_path: Path) -> None:
    write_snapshot(tmp_path, made())
    path = version_of(tmp_path) / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["version"] = 99
    path.write_text(json.dumps(manifest))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "CURRENT").write_text(f"{path.parent.name} {digest}\n")
    with pytest.raises(SnapshotError, match=r"manifest\.json: format version 99 is newer"):
        read_snapshot(tmp_path)


def test_missing_parts_are_named(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="CURRENT: missing"):
        read_snapshot(tmp_path)
    write_snapshot(tmp_path, made())
    (version_of(tmp_path) / "items.arrow").unlink()
    with pytest.raises(SnapshotError, match=r"items\.arrow: missing"):
        read_snapshot(tmp_path)
    (tmp_path / "CURRENT").write_text("nonsense")
    with pytest.raises(SnapshotError, match="CURRENT: expected the name"):
        read_snapshot(tmp_path)


def test_full_disk_leaves_the_old_snapshot(tmp_path: Path) -> None:
    write_snapshot(tmp_path, made(1))

    def filled() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        with pytest.raises(OSError, match=str(tmp_path)):
            write_snapshot(tmp_path, Snapshot({"big": State({"x": torch.ones(20_000)})}, {}, {"value": 2}))

    assert ended(forked(filled)) == 0
    assert read_snapshot(tmp_path).info["value"] == 1
    assert sum(p.is_dir() for p in tmp_path.iterdir()) == 1
