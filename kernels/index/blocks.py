"""Checksums of a file's blocks: taken as it is written, checked as it is read."""

from __future__ import annotations

import os
import zlib
from array import array
from concurrent.futures import ThreadPoolExecutor

from headrace.kernels import settings

#: Bytes under one CRC-32, which sees every flipped bit, and every burst of up to 32.
BLOCK = 1 << 20
SUM = 4


class Sums:
    """The checksums of what was added, block by block."""

    def __init__(self) -> None:
        self._done = array("I")
        self._sum, self._length = 0, 0

    def add(self, part: bytes | memoryview) -> None:
        view = memoryview(part)
        while len(view):
            some = view[: BLOCK - self._length]
            self._sum, self._length = zlib.crc32(some, self._sum), self._length + len(some)
            view = view[len(some) :]
            if self._length == BLOCK:
                self._end()

    def table(self) -> bytes:
        """Four bytes for each block, little endian; nothing may be added afterwards."""
        if self._length:
            self._end()
        return b"".join(value.to_bytes(SUM, "little") for value in self._done)

    def _end(self) -> None:
        self._done.append(self._sum)
        self._sum, self._length = 0, 0


def blocks_of(size: int) -> int:
    return -(-size // BLOCK)


def read_blocks(file: int, at: int, size: int, sums: bytes | None, into: memoryview | None) -> int | None:
    """Reads `size` bytes from `at` of a file descriptor, in all threads of the process setting.

    sums: the `table` to compare with, if any. into: where the bytes go, if anywhere: what is only compared takes no
    memory. Returns where the first block begins that is not as written or is missing, None where all are well.
    """

    def first_bad(numbers: range) -> int | None:
        room = None if into is not None else memoryview(bytearray(min(size, BLOCK)))
        for number in numbers:
            start = number * BLOCK
            length = min(BLOCK, size - start)
            block = into[start : start + length] if into is not None else room[:length]  # type: ignore[index]
            if _fill(file, block, at + start) < length:
                return at + start
            if (
                sums is not None
                and zlib.crc32(block).to_bytes(SUM, "little") != sums[number * SUM : (number + 1) * SUM]
            ):
                return at + start
        return None

    count = blocks_of(size)
    workers = max(1, min(settings.get_threads(), count))
    if workers == 1:
        return first_bad(range(count))
    with ThreadPoolExecutor(workers) as pool:
        bad = list(pool.map(first_bad, [range(start, count, workers) for start in range(workers)]))
    return min((place for place in bad if place is not None), default=None)


def _fill(file: int, block: memoryview, at: int) -> int:
    """Reads until the block is full or the file ends; how much came."""
    done = 0
    while done < len(block):
        came = os.preadv(file, [block[done:]], at + done)
        if not came:
            break
        done += came
    return done
