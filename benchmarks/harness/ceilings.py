"""What this machine can do at most, measured, and which of its limits a call meets first (docs/ceilings.md)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from headrace.benchmarks.harness.caches import Cache, data_caches
from headrace.kernels import settings
from headrace.kernels.work import Work

#: The numbers that matrix rates are measured for, in the order of the C interface (cpp/ceilings/ceilings.h).
NUMBERS = ("float32", "float64", "bfloat16", "int8")
_READ, _COPY, _RANDOM, _RANDOM_ROW = range(4)
_SWEEPS = 2


@dataclass(frozen=True)
class Ceiling:
    """The most that `threads` threads reached together.

    value: in `unit`, "GB/s" (10^9 bytes read and written) or "GFLOP/s" (10^9 operations, a multiply-add is two, of
    integers too). how: the instructions. fits: holds only for calls that touch at most so many bytes, because they stay
    in a cache; None: for all.
    """

    name: str
    unit: str
    threads: int
    value: float
    how: str
    fits: int | None = None


def measure(threads: Sequence[int] | None = None, seconds: float = 0.2) -> list[Ceiling]:
    """Measures every ceiling for each thread count; by default for one and for `settings.get_threads()`.

    seconds: for each ceiling, split over two sweeps, of which the better counts: a ceiling is a maximum, and a
    neighbour on the machine can only lower it. The instruction set is the level in use (`settings.get_isa`). Answers
    are kept for the life of the process. Raises ValueError for no or a bad thread count, and for seconds of 0 or less
    or more than 60.
    """
    counts = tuple(dict.fromkeys((1, settings.get_threads()) if threads is None else threads))
    if not counts or min(counts) < 1:
        raise ValueError(f"threads: expected counts of at least 1, got {list(counts)}")
    if not 0 < seconds <= 60:
        raise ValueError(f"seconds: expected above 0 and at most 60, got {seconds}")
    return list(_measured(settings.get_isa(), counts, seconds))


def limit(work: Work, ceilings: Iterable[Ceiling], threads: int) -> tuple[str, float]:
    """The ceiling that `work` meets first on `threads` threads, and the seconds it takes at that ceiling.

    Roofline (Williams, Waterman, Patterson 2009): the longer of flops / matrix rate and bytes / bandwidth. What fits a
    cache is held against that cache; of several bandwidths that may hold, the highest counts.
    Raises ValueError when no ceiling was measured for these threads or this dtype.
    """
    here = [c for c in ceilings if c.threads == threads]
    if not here:
        raise ValueError(f"threads: no ceiling was measured for {threads}")
    size = work.bytes if work.touched is None else work.touched
    moves = _fastest([c for c in here if _moves(c.name, work.random) and (c.fits is None or size <= c.fits)])
    memory = work.bytes / (moves.value * 1e9)
    if not work.flops:
        return moves.name, memory
    matrix = next((c for c in here if c.name == f"matrix {work.dtype}"), None)
    if matrix is None:
        raise ValueError(f"work: no matrix rate was measured for {work.dtype}")
    arithmetic = work.flops / (matrix.value * 1e9)
    return (matrix.name, arithmetic) if arithmetic > memory else (moves.name, memory)


def _moves(name: str, random: bool) -> bool:
    return name.split(",")[0] == ("random read" if random else "read")


def _fastest(ceilings: Sequence[Ceiling]) -> Ceiling:
    if not ceilings:
        raise ValueError("ceilings: expected one for reading, got none")
    return max(ceilings, key=lambda c: c.value)


@lru_cache
def _measured(isa: str, counts: tuple[int, ...], seconds: float) -> tuple[Ceiling, ...]:
    best: dict[tuple[str, int], Ceiling] = {}
    for _ in range(_SWEEPS):
        for threads in counts:
            for found in [*_memory(threads, seconds / _SWEEPS), *_matrix(threads, seconds / _SWEEPS)]:
                known = best.get((found.name, threads))
                if known is None or found.value > known.value:
                    best[found.name, threads] = found
    return tuple(best.values())


def _memory(threads: int, seconds: float) -> list[Ceiling]:
    caches = [cache for cache in data_caches() if cache.level > 1]
    share = max(_far_bytes(caches, threads) // threads, 4096)

    def rate(name: str, pattern: int, size: int, fits: int | None = None) -> Ceiling:
        value, how = settings.extension().memory_ceiling(pattern, size, threads, seconds)
        return Ceiling(name, "GB/s", threads, value / 1e9, how, fits)

    found = [
        rate("read", _READ, share),
        rate("copy", _COPY, share),
        rate("random read", _RANDOM, share),
        rate("random read, 256-byte rows", _RANDOM_ROW, share),
    ]
    nearer = 0
    for cache in caches:
        fits = cache.bytes_for(threads)
        # Small enough that neighbours leave it there, too large for the level below.
        size = max(fits // 4 // threads, 2 * nearer, 4096)
        found.append(rate(f"read, in L{cache.level}", _READ, size, fits))
        found.append(rate(f"random read, in L{cache.level}", _RANDOM_ROW, size, fits))
        nearer = cache.size // cache.cores
    return found


def _far_bytes(caches: Sequence[Cache], threads: int) -> int:
    """Bytes of all threads together, so many that the caches hold an eighth at most, as far as memory allows."""
    cached = max((cache.bytes_for(threads) for cache in caches), default=0)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(max(8 * cached, 1 << 28), 1 << 32, memory // 4)


def _matrix(threads: int, seconds: float) -> list[Ceiling]:
    found = []
    for number, name in enumerate(NUMBERS):
        value, how = settings.extension().matrix_ceiling(number, threads, seconds)
        found.append(Ceiling(f"matrix {name}", "GFLOP/s", threads, value / 1e9, how))
    return found
