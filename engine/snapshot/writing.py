"""A new version of a snapshot: written beside the others, then put into use."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from headrace.kernels import atomic
from headrace.snapshot.folder import LOCK, MANIFEST, InUse, check_folder, make_current, new_version
from headrace.snapshot.manifest import FORMAT, TABLE, TENSORS, VERSION, check_part_name, digest_of
from headrace.state import State


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

    Writers in other threads and processes may write there at the same time: the last to end is current. Raises
    SnapshotError where `folder` holds something and is no snapshot's, OSError when the disk is full or not writable,
    TypeError, naming it, for a fact that JSON would change, ValueError for a part's name that cannot be a file's;
    whatever was current stays current.
    """
    facts = {name: _checked(name, state.facts) for name, state in snapshot.states.items()}
    for name in (*snapshot.states, *snapshot.tables):
        check_part_name(name)
    root = Path(folder)
    check_folder(root)
    root.mkdir(parents=True, exist_ok=True)
    version = root / new_version()
    with contextlib.ExitStack() as held:
        with atomic.replace(version) as part:
            part.mkdir()
            for name, state in snapshot.states.items():
                _write_tensors(part / f"{name}{TENSORS}", state.tensors)
            for name, table in snapshot.tables.items():
                with pa.OSFile(str(part / f"{name}{TABLE}"), "wb") as file, pa.ipc.new_file(file, table.schema) as out:
                    out.write_table(table)
            known = {"format": FORMAT, "version": VERSION, "info": snapshot.info, "facts": facts}
            text = json.dumps({**known, "parts": _parts(part)}, indent=1, allow_nan=False).encode()
            (part / MANIFEST).write_bytes(text)
            # From when it appears until it is in use, no other writer may take it for one that was never in use.
            held.enter_context(atomic.locked(root / LOCK))
        try:
            make_current(root, InUse(version.name, hashlib.sha256(text).hexdigest()))
        except BaseException:
            shutil.rmtree(version, ignore_errors=True)
            raise
    return version


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
        raise OSError(f"{path.name}: {error}") from error


def _parts(version: Path) -> dict[str, dict[str, Any]]:
    parts = {}
    for path in sorted(version.iterdir()):
        with open(path, "rb") as file:
            parts[path.name] = {"bytes": path.stat().st_size, "sha256": digest_of(file)}
    return parts
