"""The file of a top-k index: a fixed head, the ids, the vectors, one checksum over all of it.

Head (128 bytes, little endian): magic, version, metric, N, d, SHA-256. Then ids int64 [N] and vectors float32 [N, d],
each on a 64-byte boundary. The checksum covers the file with its own 32 bytes zero.
"""

from __future__ import annotations

import hashlib
import os
import struct
import threading
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headrace.kernels.topk.checks import MAX_DIM, MAX_ITEMS, METRICS

MAGIC = b"HEADRACE-TOPK\r\n\0"
VERSION = 1
SPARE = 56
HEAD = struct.Struct(f"<16sIIQQ32s{SPARE}x")
ALIGN = 64


def write_index(path: Path, items: Tensor, ids: Tensor, metric: str) -> None:
    """Writes to a file beside `path` and renames it, so that a reader never meets half an index."""
    vectors = np.ascontiguousarray(items.cpu().numpy(), dtype="<f4")
    names = np.ascontiguousarray(ids.cpu().numpy(), dtype="<i8")
    gap = bytes(-names.nbytes % ALIGN)
    digest = hashlib.sha256(_head(metric, vectors.shape, bytes(32)))
    parts = (names.data, gap, vectors.data)
    for part in parts:
        digest.update(part)
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with open(beside, "wb") as file:
            file.writelines([_head(metric, vectors.shape, digest.digest()), *parts])
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def read_index(path: Path, mmap: bool) -> tuple[Tensor, Tensor, str]:
    """Vectors float32 [N, d], ids int64 [N] and the metric. ValueError where the file is not as written."""
    size = path.stat().st_size
    if size < HEAD.size:
        raise ValueError(f"{path}: not a top-k index, or cut short: {size} bytes")
    # Copy on write: torch wants writable memory, the file stays as it is.
    data: NDArray[np.uint8] = np.memmap(path, np.uint8, "c") if mmap else np.fromfile(path, np.uint8)
    magic, version, metric, n_items, dim, checksum = HEAD.unpack(data[: HEAD.size].tobytes())
    if magic != MAGIC:
        raise ValueError(f"{path}: not a top-k index")
    if version != VERSION:
        raise ValueError(f"{path}: version {version} of the format; this release reads version {VERSION}")
    spare = data[HEAD.size - SPARE : HEAD.size]
    if metric >= len(METRICS) or not 1 <= dim <= MAX_DIM or n_items > MAX_ITEMS or spare.any():
        raise ValueError(f"{path}: damaged head")
    vectors_at = HEAD.size + n_items * 8 + -(n_items * 8) % ALIGN
    expected = vectors_at + n_items * dim * 4
    if size != expected:
        raise ValueError(f"{path}: expected {expected} bytes, got {size}: cut short or damaged")
    digest = hashlib.sha256(_head(METRICS[metric], (n_items, dim), bytes(32)))
    digest.update(data[HEAD.size :].data)
    if digest.digest() != checksum:
        raise ValueError(f"{path}: checksum does not match: damaged")
    ids = np.frombuffer(data, "<i8", n_items, HEAD.size)
    vectors = np.frombuffer(data, "<f4", n_items * dim, vectors_at).reshape(n_items, dim)
    return torch.from_numpy(vectors), torch.from_numpy(ids), METRICS[metric]


def _head(metric: str, shape: tuple[int, ...], checksum: bytes) -> bytes:
    return HEAD.pack(MAGIC, VERSION, METRICS.index(metric), shape[0], shape[1], checksum)
