"""The file of a top-k index: a head, a table of segments, and the segments.

Head (128 bytes, little endian): magic, version, metric, the scan asked for, whether there are vectors, d, the number of
segments, SHA-256 of the checksums, SHA-256 of the head with this hash zero. Table: for each segment 32 bytes: its rows,
the id of the first where the others follow it by ones, else -1, and the scan that packed. A segment: ids int64
[rows + 1], rising, the last one -1, unless they follow the first; vectors float32 [rows, d], if any; packed bytes. The
table and each of these begin on a 64-byte boundary. Items that were removed are not in the file. Last, the checksums:
CRC-32 of every MiB of what stands between them and the head.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headrace.kernels.index.blocks import SUM, Sums, blocks_of, read_blocks
from headrace.kernels.index.catalogue import Catalogue
from headrace.kernels.index.mapped import MappedFile
from headrace.kernels.index.segment import Kind, Segment, in_order
from headrace.kernels.memory import zeros_on_huge_pages
from headrace.kernels.topk.checks import MAX_DIM, MAX_ID, MAX_ITEMS, METRICS
from headrace.kernels.topk.packed import SCANS, Packed, block_rows, packed_bytes

MAGIC = b"HEADRACE-TOPK\r\n\0"
VERSION = 4
SETTINGS = ("auto", *SCANS)
HEAD = struct.Struct("<16sIIIIQQ32s32s16x")
ENTRY = struct.Struct("<QqI12x")
DIGEST = slice(80, 112)
ALIGN = 64


class _Entry(NamedTuple):
    rows: int
    first: int
    scan: int

    def sizes(self, dim: int, kind: Kind) -> tuple[int, int, int]:
        """Bytes of the ids, the vectors and the packed numbers."""
        ids = 0 if self.first >= 0 else (self.rows + 1) * 8
        packed = packed_bytes(self.rows, dim, kind.metric, SCANS[self.scan]) if self.scan else 0
        return ids, self.rows * dim * 4 * kind.vectors, packed


def write_index(path: Path, index: Catalogue) -> None:
    """Writes a new file. It is for CPUs."""
    index = replace(index, segments=tuple(segment.on_cpu(index.kind.metric) for segment in index.segments))
    sums = Sums()
    with open(path, "wb") as file:
        file.write(bytes(HEAD.size))
        for part in _body(index):
            sums.add(part)
            file.write(part)
        table = sums.table()
        file.write(table)
        file.seek(0)
        file.write(_head(index, hashlib.sha256(table).digest()))


def _head(index: Catalogue, sums: bytes) -> bytes:
    kind = index.kind
    head = bytearray(
        HEAD.pack(
            *(MAGIC, VERSION, METRICS.index(kind.metric), SETTINGS.index(kind.scan), kind.vectors, index.dim),
            *(len(index.segments), sums, bytes(32)),
        )
    )
    head[DIGEST] = hashlib.sha256(head).digest()
    return bytes(head)


def _body(index: Catalogue) -> Iterator[bytes | memoryview]:
    entries, names = [], []
    for segment in index.segments:
        ids = segment.ids_of(segment.live_rows()) if segment.live is not None else None
        first, own, _ = (segment.first, segment.ids, None) if ids is None else in_order(ids)
        entries.append(_Entry(segment.count, first, 0 if segment.packed is None else SCANS.index(segment.packed.scan)))
        names.append(own)
    yield from _padded(b"".join(ENTRY.pack(*entry) for entry in entries))
    for segment, own in zip(index.segments, names, strict=True):
        if own is not None:
            yield from _padded(_bytes(own))
        yield from _items(segment, index)


def _items(segment: Segment, index: Catalogue) -> Iterator[bytes | memoryview]:
    """The vectors and the packed numbers, block by block where some rows are left out."""
    kind, packed = index.kind, segment.packed
    if segment.live is None:
        for part in (segment.vectors, None if packed is None else packed.data):
            if part is not None:
                yield from _padded(_bytes(part))
        return
    blocks = segment.live_rows().split(block_rows(index.dim))
    if kind.vectors:
        for rows in blocks:
            yield _bytes(segment.vectors_of(rows, kind.metric, index.dim))
        yield bytes(-segment.count * index.dim * 4 % ALIGN)
    if packed is not None:
        for rows in blocks:
            vectors = segment.vectors_of(rows, kind.metric, index.dim)
            yield _bytes(Packed.of(vectors, kind.metric, packed.scan, rounded=not kind.vectors).data)


def read_index(path: Path, mmap: bool, verify: bool) -> Catalogue:
    """The index in a file. ValueError where the file is not as written; its body is checked where `verify` says so."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _read_index(path, file, mmap, verify)
    finally:
        os.close(file)


def _read_index(path: Path, file: int, mmap: bool, verify: bool) -> Catalogue:
    size = os.fstat(file).st_size
    head = bytearray(os.pread(file, HEAD.size, 0))
    if len(head) < HEAD.size:
        raise ValueError(f"{path}: not a top-k index, or cut short: {size} bytes")
    magic, version, metric, setting, vectors, dim, count, sums, own = HEAD.unpack(head)
    if magic != MAGIC:
        raise ValueError(f"{path}: not a top-k index")
    if version != VERSION:
        raise ValueError(f"{path}: version {version} of the format; this release reads version {VERSION}")
    head[DIGEST] = bytes(32)
    known = metric < len(METRICS) and setting < len(SETTINGS) and vectors < 2 and 1 <= dim <= MAX_DIM
    if hashlib.sha256(head).digest() != own or not known:
        raise ValueError(f"{path}: damaged head")
    kind = Kind(METRICS[metric], SETTINGS[setting], bool(vectors))
    at = _aligned(count * ENTRY.size)
    entries = _table(path, os.pread(file, count * ENTRY.size, HEAD.size)) if HEAD.size + at <= size else []
    body = at + sum(_aligned(part) for entry in entries for part in entry.sizes(dim, kind))
    expected = HEAD.size + body + blocks_of(body) * SUM
    if size != expected:
        raise ValueError(f"{path}: expected {expected} bytes, got {size}: cut short or damaged")
    table = _sums(path, file, HEAD.size + body, blocks_of(body), sums) if verify else None
    mapped = MappedFile(path, file) if mmap else None
    # On a 64-byte boundary either way.
    memory = None if mmap else zeros_on_huge_pages(body, torch.uint8, torch.device("cpu")).numpy()
    if memory is not None or verify:
        bad = read_blocks(file, HEAD.size, body, table, None if memory is None else memory.data)
        if bad is not None:
            raise ValueError(f"{path}: checksum does not match at byte {bad}: damaged")
    data = np.frombuffer(mapped.memory, np.uint8, body, HEAD.size) if mapped is not None else memory
    assert data is not None
    segments = []
    for entry in entries:
        segments.append(_segment(data, at, entry, dim, kind, mapped))
        at += sum(map(_aligned, entry.sizes(dim, kind)))
    return Catalogue(kind, dim, torch.device("cpu"), tuple(segments))


def _sums(path: Path, file: int, at: int, count: int, digest: bytes) -> bytes:
    sums = os.pread(file, count * SUM, at)
    if hashlib.sha256(sums).digest() != digest:
        raise ValueError(f"{path}: checksum of the checksums does not match: damaged")
    return sums


def _table(path: Path, table: bytes) -> list[_Entry]:
    entries = [_Entry(*entry) for entry in ENTRY.iter_unpack(table)]
    if not all(
        1 <= rows <= MAX_ITEMS and -1 <= first <= MAX_ID - rows + 1 and scan < len(SCANS)
        for rows, first, scan in entries
    ):
        raise ValueError(f"{path}: damaged table of segments")
    return entries


def _segment(data: NDArray[np.uint8], at: int, entry: _Entry, dim: int, kind: Kind, file: MappedFile | None) -> Segment:
    ids, vectors, packed = entry.sizes(dim, kind)
    starts = (at, at + _aligned(ids), at + _aligned(ids) + _aligned(vectors))
    numbers = torch.from_numpy(np.frombuffer(data, np.uint8, packed, starts[2])) if packed else None
    return Segment(
        entry.rows,
        entry.first,
        torch.from_numpy(np.frombuffer(data, "<i8", entry.rows + 1, starts[0])) if ids else None,
        torch.from_numpy(np.frombuffer(data, "<f4", vectors // 4, starts[1]).reshape(-1, dim)) if vectors else None,
        None if numbers is None else Packed(SCANS[entry.scan], numbers, entry.rows),
        None,
        entry.rows,
        file,
    )


def _bytes(tensor: Tensor) -> memoryview:
    array = tensor.cpu().contiguous().numpy()
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).data.cast("B")


def _padded(part: bytes | memoryview) -> Iterator[bytes | memoryview]:
    yield part
    yield bytes(-len(part) % ALIGN)


def _aligned(count: int) -> int:
    return count + -count % ALIGN
