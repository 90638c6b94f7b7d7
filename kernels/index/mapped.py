"""A file that is mapped into memory and must stay as it was."""

from __future__ import annotations

import mmap
import os
import weakref
from pathlib import Path


class MappedFile:
    """memory: all of the file, copied where somebody writes to it: torch wants writable memory, the file stays."""

    def __init__(self, path: Path, file: int) -> None:
        """file: a descriptor, which stays the caller's."""
        self.path = path
        self._file = os.dup(file)
        weakref.finalize(self, os.close, self._file)
        self._stamp = self._now()
        self.memory = mmap.mmap(self._file, 0, access=mmap.ACCESS_COPY)

    def check(self) -> None:
        """ValueError where the file was cut short or written to: reading what is gone would end the process."""
        if self._now() != self._stamp:
            raise ValueError(f"{self.path}: the file was changed in place since it was mapped; replace it by renaming")

    def _now(self) -> tuple[int, int]:
        stat = os.fstat(self._file)
        return stat.st_size, stat.st_mtime_ns
