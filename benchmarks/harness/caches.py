"""What data caches this machine has, as Linux tells in sysfs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_CPUS = Path("/sys/devices/system/cpu")


@dataclass(frozen=True)
class Cache:
    """level: 1 is the nearest. size: bytes of one cache. cores: how many of this process's cores share one."""

    level: int
    size: int
    cores: int

    def bytes_for(self, threads: int) -> int:
        """The bytes that so many threads, one a core, have at this level together."""
        return self.size * -(-threads // self.cores)


def data_caches(cpus: Path = _CPUS) -> list[Cache]:
    """The levels that hold data, nearest first; empty where the system does not tell."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {0}
    found = []
    for folder in sorted((cpus / f"cpu{min(allowed)}" / "cache").glob("index*")):
        try:
            kind, level, size, shared = (_read(folder / name) for name in ("type", "level", "size", "shared_cpu_list"))
            if kind != "Instruction":
                found.append(Cache(int(level), _bytes(size), max(1, len(_cpus(shared) & allowed))))
        except (OSError, ValueError):
            continue
    return sorted(found, key=lambda cache: cache.level)


def _read(path: Path) -> str:
    return path.read_text().strip()


def _bytes(size: str) -> int:
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    return int(size[:-1]) * units[size[-1]] if size[-1] in units else int(size)


def _cpus(ranges: str) -> set[int]:
    """The numbers of a list such as "0-3,8"."""
    ends = (part.split("-") for part in ranges.split(","))
    return {cpu for first, *last in ends for cpu in range(int(first), int(last[0] if last else first) + 1)}
