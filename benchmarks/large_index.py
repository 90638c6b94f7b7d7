"""Builds a large index of packed numbers in a process of its own, block by block, and tells what that took.

`python -m headrace.benchmarks.large_index ITEMS DIM FILE` writes the index to FILE and one line of JSON to the output.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from headrace.kernels import TopKIndex

#: Two make a segment of the most rows that merging may make, of whole tiles.
BLOCK = 2**20


def blocks(items: int, dim: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The catalogue, float32, with its ids: normal vectors, each block from a seed of its own."""
    for start in range(0, items, BLOCK):
        ids = torch.arange(start, min(start + BLOCK, items))
        yield torch.randn(len(ids), dim, generator=torch.Generator().manual_seed(start)), ids


def build(items: int, dim: int, path: Path) -> dict[str, float]:
    """bytes: of the index; seconds: to make the vectors and the index; peak: the most memory of the process, bytes."""
    start = time.perf_counter()
    index = TopKIndex(torch.empty(0, dim), scan="int8", keep="none")
    for vectors, ids in blocks(items, dim):
        index.add(vectors, ids)
        del vectors  # before the next are made
    seconds = time.perf_counter() - start
    index.save(path)
    return {"bytes": index.nbytes, "seconds": seconds, "peak": peak_bytes()}


def peak_bytes() -> int:
    """The most memory that this process has had, bytes. Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    print(json.dumps(build(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))))
