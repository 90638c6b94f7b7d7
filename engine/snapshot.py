"""Snapshots on disk: versioned, checksummed, memory-mapped, and replaced in one step.

    snapshot/
      CURRENT            the version in use and its manifest's checksum; replaced atomically, last of all
      <version>/
        manifest.json    format, what the snapshot is, each state's facts, and each file's size and SHA-256
        <state>.safetensors, <table>.arrow

A writer that dies, however it dies, leaves CURRENT as it was, so the old snapshot still loads.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from headrace.snapshot_v1 import migrate
from headrace.state import State

FORMAT = "headrace-snapshot"
VERSION = 2
_KEEP = 2  # the version in use and the one before it, for a roll-back


class SnapshotError(ValueError):
    """A snapshot that cannot be used; the message names the file and the reason."""


@dataclass(frozen=True)
class Snapshot:
    """What a snapshot holds: the state of each part, Arrow tables by name, and what is known of the whole.

    lost: parts that the snapshot has, but in a form that this release cannot read -> why.
    """

    states: dict[str, State]
    tables: dict[str, pa.Table]
    info: dict[str, Any]
    lost: dict[str, str] = field(default_factory=dict)


def write_snapshot(folder: str | Path, snapshot: Snapshot) -> Path:
    """Writes a new version into `folder` and makes it current; returns the version's folder.

    Raises OSError when the disk is full or not writable, and TypeError, naming it, for a fact that JSON would change;
    whatever was current stays current.
    """
    facts = {name: _checked(name, state.facts) for name, state in snapshot.states.items()}
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    version = root / f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:8]}"
    version.mkdir()
    try:
        for name, state in snapshot.states.items():
            _write_tensors(version / f"{name}.safetensors", state.tensors)
        for name, table in snapshot.tables.items():
            with pa.OSFile(str(version / f"{name}.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
                writer.write_table(table)
        known = {"format": FORMAT, "version": VERSION, "info": snapshot.info, "facts": facts}
        manifest = {**known, "parts": _parts(version)}
        text = json.dumps(manifest, indent=1)
        _write_synced(version / "manifest.json", text)
        _sync(version)
        _make_current(root, version.name, _digest(text.encode()))
    except BaseException:
        shutil.rmtree(version, ignore_errors=True)
        raise
    _prune(root)
    return version


def read_snapshot(folder: str | Path, verify: bool = True) -> Snapshot:
    """Loads the current version, tensors memory-mapped.

    verify: check every part's SHA-256, which reads it all once; sizes are always checked.
    A snapshot of format 1 is read as one of today's. Raises SnapshotError, naming the file and the reason, when
    anything is missing, truncated, altered, or of a later version of the format.
    """
    root = Path(folder)
    version, digest = _current(root)
    path = root / version / "manifest.json"
    text = _read(path)
    if _digest(text) != digest:
        raise SnapshotError(f"{path}: its checksum does not match CURRENT's; the file was altered or cut short")
    manifest = json.loads(text)
    if manifest.get("format") != FORMAT:
        raise SnapshotError(f"{path}: expected format {FORMAT!r}, got {manifest.get('format')!r}")
    if manifest["version"] > VERSION:
        raise SnapshotError(
            f"{path}: format version {manifest['version']} is newer than this release reads (up to {VERSION})"
        )
    for name, part in manifest["parts"].items():
        _check_part(root / version / name, part, verify)
    tensors, tables = {}, {}
    for name in manifest["parts"]:
        part_path = root / version / name
        try:
            if name.endswith(".safetensors"):
                tensors[part_path.stem] = load_file(part_path)
            else:
                tables[part_path.stem] = pa.ipc.open_file(pa.memory_map(str(part_path))).read_all()
        except (SafetensorError, pa.ArrowInvalid) as error:
            raise SnapshotError(f"{part_path}: not readable: {error}") from error
    if manifest["version"] == 1:
        states, info, lost = migrate(tensors, manifest["info"])
        return Snapshot(states, tables, info, lost)
    states = {name: State(tensors[name], facts) for name, facts in manifest["facts"].items()}
    return Snapshot(states, tables, manifest["info"])


def _checked(part: str, facts: dict[str, Any]) -> dict[str, Any]:
    for name, fact in facts.items():
        try:
            kept = json.loads(json.dumps(fact, allow_nan=False)) == fact
        except (TypeError, ValueError):
            kept = False
        if not kept:
            raise TypeError(f"{part}: {name}: expected a fact that JSON holds as it is, got {fact!r}")
    return facts


def _write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    own: dict[str, Tensor] = {}
    seen: set[int] = set()
    for key, tensor in tensors.items():
        memory = tensor.untyped_storage().data_ptr()
        # The format refuses tensors that share memory.
        own[key] = tensor.clone() if memory in seen else tensor.contiguous()
        seen.add(memory)
    try:
        save_file(own, path)
    except SafetensorError as error:
        raise OSError(f"{path}: could not be written: {error}") from error


def _parts(version: Path) -> dict[str, dict[str, Any]]:
    parts = {}
    for path in sorted(version.iterdir()):
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            parts[path.name] = {"bytes": path.stat().st_size, "sha256": _hash_stream(file)}
    return parts


def _hash_stream(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def _check_part(path: Path, part: Mapping[str, Any], verify: bool) -> None:
    if not path.exists():
        raise SnapshotError(f"{path}: missing")
    size = path.stat().st_size
    if size != part["bytes"]:
        raise SnapshotError(f"{path}: expected {part['bytes']} bytes, got {size}; the file is truncated or altered")
    if verify:
        with open(path, "rb") as file:
            if _hash_stream(file) != part["sha256"]:
                raise SnapshotError(f"{path}: its SHA-256 does not match the manifest's; the file is corrupt")


def _current(root: Path) -> tuple[str, str]:
    path = root / "CURRENT"
    words = _read(path).decode(errors="replace").split()
    if len(words) != 2 or not (root / words[0]).is_dir():
        raise SnapshotError(f"{path}: expected the name of a version folder and a checksum, got {words!r}")
    return words[0], words[1]


def _make_current(root: Path, version: str, digest: str) -> None:
    partial = root / f"CURRENT.{version}.partial"
    try:
        _write_synced(partial, f"{version} {digest}\n")
        os.replace(partial, root / "CURRENT")
    finally:
        partial.unlink(missing_ok=True)
    _sync(root)


def _prune(root: Path) -> None:
    """Removes all but the last versions, and what killed writers left."""
    current, _ = _current(root)
    versions = sorted((p for p in root.iterdir() if p.is_dir() and (p / "manifest.json").exists()), key=_age)
    kept = {current, *(p.name for p in versions[-_KEEP:])}
    hour_ago = time.time() - 3600
    for path in root.iterdir():
        unfinished = path.is_dir() and not (path / "manifest.json").exists() and path.stat().st_mtime < hour_ago
        if (path in versions and path.name not in kept) or unfinished:
            shutil.rmtree(path, ignore_errors=True)


def _age(version: Path) -> float:
    return (version / "manifest.json").stat().st_mtime


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise SnapshotError(f"{path}: missing; not a snapshot, or its writing never ended") from None


def _write_synced(path: Path, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
