"""The version of a snapshot that is in use, checked before anything of it is used."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from headrace.snapshot.folder import MANIFEST, InUse, SnapshotError, current
from headrace.snapshot.manifest import TENSORS, Manifest, Part, digest_of, parsed
from headrace.snapshot.writing import Snapshot
from headrace.snapshot_v1 import migrate
from headrace.state import State


def read_snapshot(folder: str | Path, verify: bool = True) -> Snapshot:
    """Loads the current version, tensors memory-mapped.

    verify: check every part's SHA-256, which reads it all once; sizes are always checked. Files are mapped: a version
    may be removed while it serves, as writers do, but must not be changed in place.
    A snapshot of format 1 is read as one of today's. Raises SnapshotError, naming the file and the reason, when
    anything is missing, truncated, altered, or of a later version of the format.
    """
    root = Path(folder)
    while True:
        found = current(root)
        try:
            return _read_version(root, found, verify)
        except (SnapshotError, OSError):
            # Two writers may have come by: the version that was in use when reading began is gone then.
            if current(root) == found:
                raise


def _read_version(root: Path, found: InUse, verify: bool) -> Snapshot:
    version = root / found.version
    if version.is_symlink() or not version.is_dir():
        raise SnapshotError(f"{root / 'CURRENT'}: expected the name of a version folder, got {found.version!r}")
    path = version / MANIFEST
    with _about(path):
        text = path.read_bytes()
    if hashlib.sha256(text).hexdigest() != found.digest:
        raise SnapshotError(f"{path}: its checksum does not match CURRENT's; the file was altered or cut short")
    manifest = parsed(path, text)
    for name, part in manifest.parts.items():
        _check_part(version / name, part, verify)
    tensors, tables = _contents(version, manifest)
    if manifest.version == 1:
        with _about(path):
            states, info, lost = migrate(tensors, manifest.info)
        return Snapshot(states, tables, info, lost)
    states = {name: State(tensors[name], facts) for name, facts in manifest.facts.items()}
    return Snapshot(states, tables, manifest.info)


def _check_part(path: Path, part: Part, verify: bool) -> None:
    with _about(path):
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise SnapshotError(f"{path}: expected a file, got a link, a folder or a device")
        if found.st_size != part.bytes:
            raise SnapshotError(
                f"{path}: expected {part.bytes} bytes, got {found.st_size}; the file is truncated or altered"
            )
        if verify:
            with open(path, "rb") as file:
                if digest_of(file) != part.sha256:
                    raise SnapshotError(f"{path}: its SHA-256 does not match the manifest's; the file is corrupt")


def _contents(version: Path, manifest: Manifest) -> tuple[dict[str, dict[str, Tensor]], dict[str, pa.Table]]:
    """The tensors of each state, and the tables."""
    tensors: dict[str, dict[str, Tensor]] = {}
    tables: dict[str, pa.Table] = {}
    for name in manifest.parts:
        path = version / name
        with _about(path):
            if name.endswith(TENSORS):
                tensors[path.stem] = load_file(path)
            else:
                tables[path.stem] = _table(path)
    return tensors, tables


def _table(path: Path) -> pa.Table:
    # Of a file, also a mapped one, Arrow asks threads of its own to read; a buffer in memory is just there.
    with pa.memory_map(str(path)) as file:
        buffer = file.read_buffer()
    table = pa.ipc.open_file(buffer, options=pa.ipc.IpcReadOptions(use_threads=False)).read_all()
    # A crafted table names bytes outside the file, which nothing else looks for.
    table.validate(full=True)
    return table


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """What a damaged file makes libraries raise is a SnapshotError that names it."""
    try:
        yield
    except FileNotFoundError:
        raise SnapshotError(f"{path}: missing") from None
    except SnapshotError:
        raise
    except OSError as error:
        # Arrow's own of a file's content have no number.
        if error.errno is not None:
            raise
        raise SnapshotError(f"{path}: not readable: {error}") from error
    # Types and layouts that a newer library wrote, or that nobody did.
    except (SafetensorError, pa.ArrowException, LookupError, TypeError, ValueError, ArithmeticError, AttributeError,
            RuntimeError) as error:  # fmt: skip
        raise SnapshotError(f"{path}: not readable: {error}") from error
