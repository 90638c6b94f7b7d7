"""The file of a top-k index: a fixed head, the ids, the vectors, and the packed vectors where there are some.

Head (128 bytes, little endian): magic, version, metric, N, d, the scan asked for, the scan that packed, SHA-256 of what
follows the head, SHA-256 of the head with this checksum zero. Then ids int64 [N + 1], rising, the last one -1, vectors
float32 [N, d] and packed bytes, each on a 64-byte boundary.
"""

from __future__ import annotations

import hashlib
import os
import struct
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headrace.kernels import settings
from headrace.kernels.topk.checks import MAX_DIM, MAX_ITEMS, METRICS
from headrace.kernels.topk.packed import SCANS, Packed

MAGIC = b"HEADRACE-TOPK\r\n\0"
VERSION = 2
SETTINGS = ("auto", *SCANS)
HEAD = struct.Struct("<16sIIQQII32s32s16x")
DIGEST = slice(80, 112)
ALIGN = 64


class Stored(NamedTuple):
    """items: float32 [N, d]. ids: int64 [N + 1], rising, the last one -1. scan: the one asked for."""

    items: Tensor
    ids: Tensor
    packed: Packed | None
    metric: str
    scan: str


def write_index(path: Path, index: Stored) -> None:
    """Writes to a file beside `path` and renames it, so that a reader never meets half an index."""
    vectors = np.ascontiguousarray(index.items.cpu().numpy(), dtype="<f4")
    names = np.ascontiguousarray(index.ids.cpu().numpy(), dtype="<i8")
    packed = np.empty(0, np.uint8) if index.packed is None else index.packed.data.numpy()
    parts: list[bytes | memoryview] = []
    for array in (names, vectors, packed):
        parts += [array.data, bytes(-array.nbytes % ALIGN)]
    head = bytearray(
        HEAD.pack(
            *(MAGIC, VERSION, METRICS.index(index.metric), *vectors.shape, SETTINGS.index(index.scan)),
            *(SCANS.index("float32" if index.packed is None else index.packed.scan), _digest(parts), bytes(32)),
        )
    )
    head[DIGEST] = _digest([head])
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with open(beside, "wb") as file:
            file.writelines([head, *parts])
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def read_index(path: Path, mmap: bool, verify: bool) -> Stored:
    """The index in a file. ValueError where the file is not as written; its body is checked where `verify` says so."""
    size = path.stat().st_size
    if size < HEAD.size:
        raise ValueError(f"{path}: not a top-k index, or cut short: {size} bytes")
    # Copy on write: torch wants writable memory, the file stays as it is.
    data = np.memmap(path, np.uint8, "c") if mmap else _read(path, size)
    head = bytearray(data[: HEAD.size].tobytes())
    magic, version, metric, n_items, dim, setting, scan, body, own = HEAD.unpack(head)
    if magic != MAGIC:
        raise ValueError(f"{path}: not a top-k index")
    if version != VERSION:
        raise ValueError(f"{path}: version {version} of the format; this release reads version {VERSION}")
    head[DIGEST] = bytes(32)
    sizes = metric < len(METRICS) and 1 <= dim <= MAX_DIM and n_items <= MAX_ITEMS
    if _digest([head]) != own or not sizes or setting >= len(SETTINGS) or scan >= len(SCANS):
        raise ValueError(f"{path}: damaged head")
    count = settings.extension().topk_packed_bytes(n_items, dim, metric, scan) if scan else 0
    ids_at = HEAD.size
    vectors_at = ids_at + _padded((n_items + 1) * 8)
    packed_at = vectors_at + _padded(n_items * dim * 4)
    if size != packed_at + count:
        raise ValueError(f"{path}: expected {packed_at + count} bytes, got {size}: cut short or damaged")
    if verify and _digest([data[HEAD.size :].data]) != body:
        raise ValueError(f"{path}: checksum does not match: damaged")
    ids = np.frombuffer(data, "<i8", n_items + 1, ids_at)
    vectors = np.frombuffer(data, "<f4", n_items * dim, vectors_at).reshape(n_items, dim)
    packed = Packed(SCANS[scan], torch.from_numpy(np.frombuffer(data, np.uint8, count, packed_at))) if scan else None
    return Stored(torch.from_numpy(vectors), torch.from_numpy(ids), packed, METRICS[metric], SETTINGS[setting])


def _read(path: Path, size: int) -> NDArray[np.uint8]:
    data = torch.empty(size, dtype=torch.uint8).numpy()  # torch's memory begins on a 64-byte boundary
    with open(path, "rb") as file:
        if file.readinto(data.data) != size:
            raise ValueError(f"{path}: cut short while it was read")
    return data


def _padded(count: int) -> int:
    return count + -count % ALIGN


def _digest(parts: Iterable[bytes | bytearray | memoryview]) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()
