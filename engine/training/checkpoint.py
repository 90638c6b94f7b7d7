"""Checkpoints: files that are whole, on the disk, and as they were written, or are told from those that are not.

A file is what `torch.save` writes, then 16 bytes that say so and the SHA-256 of all before them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, BinaryIO

import torch

from headrace.kernels import atomic

_SEAL = b"headrace-trained"
_CHUNK = 1 << 20


class _Hashed:
    """A file for `torch.save`, which would make another error of a full disk: the first is kept, to be raised after."""

    def __init__(self, file: BinaryIO) -> None:
        self.digest = hashlib.sha256()
        self.error: OSError | None = None
        self._file = file

    def write(self, data: bytes) -> int:
        if self.error is None:
            try:
                self._file.write(data)
                self.digest.update(data)
            except OSError as error:
                self.error = error
        return len(data)

    def flush(self) -> None:
        """What there is to flush is flushed when the file is closed."""


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Replaces the file in one step. Raises OSError, naming it, where the disk is full or refuses."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic.replace(path) as part, open(part, "wb") as file:
        hashed: Any = _Hashed(file)
        torch.save(state, hashed)
        if hashed.error is not None:
            raise hashed.error
        file.write(_SEAL + hashed.digest.digest())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What was written. Raises ValueError, naming the file, where it is cut short, damaged or no checkpoint."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        left = path.stat().st_size - len(_SEAL) - digest.digest_size
        while left > 0 and (chunk := file.read(min(left, _CHUNK))):
            digest.update(chunk)
            left -= len(chunk)
        if file.read() != _SEAL + digest.digest():
            raise ValueError(f"checkpoint {path}: cut short, damaged, or not a checkpoint")
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    return state
