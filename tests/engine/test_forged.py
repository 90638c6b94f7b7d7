"""Forged snapshots: whatever a file says, it is refused by name or the engine serves, and nothing outside is read."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forging
import numpy as np
import pyarrow as pa
import pytest
import torch
from forked import ended, forked
from safetensors.torch import save_file

from headrace.serving import Engine
from headrace.snapshot import Snapshot, SnapshotError, read_snapshot, write_snapshot
from headrace.state import State


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    part = State({"x": torch.arange(100)}, {"k": 1})
    write_snapshot(tmp_path / "s", Snapshot({"part": part}, {"items": pa.table({"id": ["ab", "cd"]})}, {"value": 1}))
    return tmp_path / "s"


def version_of(folder: Path) -> Path:
    return folder / (folder / "CURRENT").read_text().split()[0]


def sign(folder: Path) -> None:
    """Makes every checksum right again."""
    version = version_of(folder)
    path = version / "manifest.json"
    manifest = json.loads(path.read_text())
    for name in manifest["parts"]:
        data = (version / name).read_bytes()
        manifest["parts"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    say(folder, json.dumps(manifest))


def say(folder: Path, text: str | bytes) -> None:
    """Makes `text` the manifest, with the checksum right."""
    data = text if isinstance(text, bytes) else text.encode()
    (version_of(folder) / "manifest.json").write_bytes(data)
    (folder / "CURRENT").write_text(f"{version_of(folder).name} {hashlib.sha256(data).hexdigest()}\n")


def edited(folder: Path, change: Callable[[Any], Any]) -> None:
    manifest = json.loads((version_of(folder) / "manifest.json").read_text())
    changed = change(manifest)
    say(folder, json.dumps(manifest if changed is None else changed))


HEADS: list[Callable[[Any], Any]] = [
    *(lambda m, v=v: m.update(version=v) for v in (-5, 0, 0.5, 1.5, True, "2", None, [], {}, 2.0)),
    *(lambda m, v=v: m.update(format=v) for v in (None, 3, "headrace-ann", ["headrace-snapshot"])),
    *(lambda m, v=v: m.update(info=v) for v in (None, 3, "x", [1])),
    *(lambda m, v=v: m.update(facts=v) for v in (None, 3, [], {}, {"part": 3}, {"part": {}, "other": {}})),
    *(lambda m, v=v: m.update(parts=v) for v in (None, 3, [], "x", {}, {"part.safetensors": None})),
    *(lambda m, v=v: m["parts"]["part.safetensors"].update(bytes=v) for v in (-1, 0.5, True, None, "5", 2**80)),
    *(lambda m, v=v: m["parts"]["part.safetensors"].update(sha256=v) for v in (None, 5, "", "z" * 64, ["a"])),
    lambda m: m["parts"]["part.safetensors"].update(more=1),
    lambda m: m.update(more=1),
    lambda m: [m],
    lambda m: {name: one for name, one in m.items() if name != "version"},
    lambda m: {name: one for name, one in m.items() if name != "parts"},
]  # fmt: skip


@pytest.mark.parametrize("place", range(len(HEADS)))
def test_forged_heads_are_refused_by_name(folder: Path, place: int) -> None:
    edited(folder, HEADS[place])
    with pytest.raises(SnapshotError, match=r"manifest\.json|part\.safetensors"):
        read_snapshot(folder)


@pytest.mark.parametrize(
    "text",
    [b"", b"null", b"[]", b"3", b'"x"', b"{", b"\xff\xfe", b"[" * 100_000, b'{"format": NaN}', b'{"version": 1e999}',
     b'{"format": "headrace-snapshot", "version": ' + b"9" * 5000 + b"}",
     b'{"format": "headrace-snapshot", "version": NaN}',
     b'{"format": "headrace-snapshot", "version": Infinity}'],
)  # fmt: skip
def test_manifests_that_are_none(folder: Path, text: bytes) -> None:
    say(folder, text)
    with pytest.raises(SnapshotError, match=r"manifest\.json"):
        read_snapshot(folder)


@pytest.mark.parametrize(
    "text", ["", "x", "a b c", "../outside {}", "/{root} {}", ". {}", "20250101T000000-00000000 x"]
)
def test_current_stays_in_the_folder(folder: Path, text: str) -> None:
    outside = shutil.copytree(version_of(folder), folder.parent / "outside")
    digest = hashlib.sha256((outside / "manifest.json").read_bytes()).hexdigest()
    (folder / "CURRENT").write_text(text.format(digest, root=outside))
    with pytest.raises(SnapshotError, match="CURRENT: expected the name of a version folder"):
        read_snapshot(folder)


def test_a_version_that_is_a_link_is_refused(folder: Path) -> None:
    version = version_of(folder)
    version.rename(folder.parent / "outside")
    version.symlink_to(folder.parent / "outside", target_is_directory=True)
    with pytest.raises(SnapshotError, match="CURRENT: expected the name of a version folder"):
        read_snapshot(folder)


@pytest.mark.parametrize("name", ["../../x.safetensors", "/{}/x.safetensors", "..", "", "a/x.arrow", ".x.arrow", "x"])
def test_names_of_parts_stay_in_the_folder(folder: Path, name: str) -> None:
    save_file({"x": torch.ones(3)}, folder.parent / "x.safetensors")
    name = name.format(folder.parent)
    edited(folder, lambda m: m["parts"].update({name: m["parts"]["part.safetensors"]}))
    with pytest.raises(SnapshotError, match=r"manifest\.json: parts: expected names of files"):
        read_snapshot(folder)


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_parts_that_are_no_files_are_refused(folder: Path, kind: str) -> None:
    path = version_of(folder) / "part.safetensors"
    path.rename(folder.parent / "x")
    if kind == "link":
        path.symlink_to(folder.parent / "x")
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    with pytest.raises(SnapshotError, match=r"part\.safetensors: expected a file"):
        read_snapshot(folder)


@pytest.mark.parametrize("name", ["a/b", "../x", "", ".x", "a" * 300, "nul\0"])
def test_names_that_no_file_has_are_not_written(tmp_path: Path, name: str) -> None:
    for states, tables in (({name: State()}, {}), ({}, {name: pa.table({"x": [1]})})):
        with pytest.raises(ValueError, match="expected a part's name"):
            write_snapshot(tmp_path / "new", Snapshot(states, tables, {}))
    assert not (tmp_path / "new").exists()


def test_string_offsets_outside_the_file_are_refused(folder: Path) -> None:
    """Reading such an id would end the process."""
    path = version_of(folder) / "items.arrow"
    data = path.read_bytes()
    offsets = np.array([0, 2, 4], np.int32).tobytes()
    assert data.count(offsets) == 1
    path.write_bytes(data.replace(offsets, np.array([0, 2, 2**31 - 1], np.int32).tobytes()))
    sign(folder)

    def refused() -> None:
        with pytest.raises(SnapshotError, match=r"items\.arrow: not readable"):
            read_snapshot(folder)

    assert ended(forked(refused)) == 0


@pytest.mark.parametrize("seed", range(2))
def test_flipped_bytes_under_right_checksums(folder: Path, seed: int) -> None:
    """Arrow and safetensors files whose every byte may be anything: refused, or read as what they say now."""
    draw = np.random.default_rng(seed)
    originals = {path: path.read_bytes() for path in version_of(folder).iterdir() if path.suffix != ".json"}

    def tried() -> None:
        for _ in range(150):
            for path, data in originals.items():
                damaged = bytearray(data)
                for place in draw.integers(len(damaged), size=draw.integers(1, 4)):
                    damaged[place] = draw.integers(256)
                path.write_bytes(damaged[: draw.integers(1, len(damaged))] if draw.random() < 0.1 else damaged)
            sign(folder)
            try:
                back = read_snapshot(folder)
            except SnapshotError:
                continue
            for table in back.tables.values():
                table.to_pylist()
            for tensor in back.states["part"].tensors.values():
                tensor.clone()

    assert ended(forked(tried)) == 0


@pytest.mark.parametrize("seed", range(12))
def test_forged_parts_are_refused_or_serve(snapshot: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    forging.check_forged(snapshot, read_snapshot(snapshot, verify=False), seed, monkeypatch)


@pytest.mark.rare
def test_many_forged_parts_are_refused_or_serve(snapshot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read_snapshot(snapshot)
    first = int(np.random.default_rng().integers(2**32))
    refused = [forging.check_forged(snapshot, whole, first + turn, monkeypatch) for turn in range(150)]
    assert any(refused)


def changed(folder: Path, part: str, **parts: Any) -> str:
    """What the load of a snapshot says that has some tensors or facts of a part put in."""
    whole = read_snapshot(folder)
    state = whole.states[part]
    tensors = {name: one for name, one in parts.items() if isinstance(one, torch.Tensor)}
    facts = {name: one for name, one in parts.items() if name not in tensors}
    states = {**whole.states, part: State({**state.tensors, **tensors}, {**state.facts, **facts})}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("headrace.storage.read_snapshot", lambda *_: Snapshot(states, whole.tables, whole.info))
        with pytest.raises(SnapshotError) as caught:
            Engine.load(folder)
    return str(caught.value)


def test_errors_name_the_part_the_tensor_and_what_was_expected(snapshot: Path) -> None:
    said = changed(snapshot, "channel-popular", item=torch.tensor([1, 400]), score=torch.ones(2))
    assert said == f"{snapshot}: its channel-popular does not fit this release: " \
                   "item: expected numbers from 0 below 400, got 1 to 400"  # fmt: skip
    said = changed(snapshot, "channel-popular", item=torch.tensor([1, 3]), score=torch.ones(3))
    assert said.endswith("score: expected torch.float32 [2], got torch.float32 [3]")
    said = changed(snapshot, "ranker", **{"network/model.nothing": torch.ones(3)})
    assert "its ranker does not fit this release: model.nothing: expected the weights" in said
    said = changed(snapshot, "features", items=401)
    assert said.endswith("its features does not fit this release: items: expected 400, got 401")


def test_forged_settings_take_no_memory(snapshot: Path) -> None:
    settings = read_snapshot(snapshot).states["ranker"].facts["settings"]
    for name in ("embedding_dim", "experts"):
        for size in (2**40, 2**16):
            wide = {**settings, "network": {**settings["network"], name: size}}
            assert "its ranker does not fit this release" in changed(snapshot, "ranker", settings=wide)
