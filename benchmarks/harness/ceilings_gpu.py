"""What a GPU can do at most, as torch reaches it: the same list as `ceilings.measure` gives for the CPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch

from headrace.benchmarks.harness.ceilings import NUMBERS, Ceiling

_ROW = 64  # float32 values, 256 bytes


def measure(
    device: torch.device | str = "cuda", seconds: float = 0.2, bytes_moved: int = 1 << 30, size: int = 8192
) -> list[Ceiling]:
    """Ceilings of `device`, with threads = 0.

    seconds: for each, after one call to warm up; at least one call is timed and the fastest counts. bytes_moved: memory
    of the bandwidth measurements, to be far more than the device's cache. size: of the square matrices, a multiple of
    32 (int8 products need it). Calls run one at a time, so the time includes a launch: sizes have to be large.
    """
    device = torch.device(device)
    generator = torch.Generator(device).manual_seed(0)
    return [*_memory(device, seconds, bytes_moved, generator), *_matrix(device, seconds, size, generator)]


def _memory(device: torch.device, seconds: float, size: int, generator: torch.Generator) -> Iterator[Ceiling]:
    rows = size // (4 * _ROW)
    table = torch.ones(rows, _ROW, device=device)
    other = torch.empty_like(table)
    index = torch.randint(rows, (rows,), device=device, generator=generator)
    calls: list[tuple[str, Callable[[], object], int, str]] = [
        ("read", table.sum, table.nbytes, "torch.sum of float32"),
        ("copy", lambda: other.copy_(table), 2 * table.nbytes, "Tensor.copy_"),
        (
            "random read",
            lambda: torch.index_select(table, 0, index, out=other),
            2 * table.nbytes + index.nbytes,
            "torch.index_select of 256-byte rows, read and written",
        ),
    ]
    for name, call, moved, how in calls:
        yield Ceiling(name, "GB/s", 0, moved / _fastest(call, device, seconds) / 1e9, how)


def _matrix(device: torch.device, seconds: float, size: int, generator: torch.Generator) -> Iterator[Ceiling]:
    for name in NUMBERS:
        dtype = getattr(torch, name)
        values = torch.randint(-3, 4, (2, size, size), device=device, generator=generator).to(dtype)
        # The right factor is stored by columns, as integer tensor cores want it.
        left, right = values[0], values[1].t()
        product = torch._int_mm if dtype == torch.int8 else torch.mm
        with _full_float32():
            best = _fastest(partial(product, left, right), device, seconds)
        how = f"torch.{product.__name__} of {size} x {size}" + (", no TF32" if name == "float32" else "")
        yield Ceiling(f"matrix {name}", "GFLOP/s", 0, 2.0 * size**3 / best / 1e9, how)


@contextmanager
def _full_float32() -> Iterator[None]:
    """Float32 products without TF32 inside a `with` block."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _fastest(call: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Seconds of the fastest call."""
    time_one = _time_on_gpu if device.type == "cuda" else _time_on_cpu
    call()
    end = time.perf_counter() + seconds
    best = time_one(call)
    while time.perf_counter() < end:
        best = min(best, time_one(call))
    return best


def _time_on_gpu(call: Callable[[], object]) -> float:
    start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    call()
    stop.record()
    stop.synchronize()
    return float(start.elapsed_time(stop)) / 1e3


def _time_on_cpu(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
