"""Process settings: backend, instruction set, threads. Environment variables set them, calls change them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from headrace.kernels import forks

ISA_LEVELS = ("scalar", "avx2", "avx512", "amx")
BACKENDS = ("reference", "native", "gpu")
_ASKED = ("auto", *BACKENDS)
MAX_THREADS = 1024


def extension() -> Any:
    """The compiled extension. Raises ImportError, saying how to build it, when it is missing."""
    try:
        from headrace import _C
    except ImportError as error:
        raise ImportError(f"headrace._C is not built ({error}); run `pip install .` in the source tree") from error
    return _C


def get_isa() -> str:
    """The instruction-set level that native kernels use. Raises ValueError when HEADRACE_ISA is unknown or unusable."""
    return ISA_LEVELS[extension().get_isa()]


def set_isa(level: str) -> None:
    """Sets the level of the process. Raises ValueError when it is unknown or this machine cannot run it."""
    if level not in ISA_LEVELS:
        raise ValueError(f"level: expected one of {', '.join(ISA_LEVELS)}, got {level!r}")
    extension().set_isa(ISA_LEVELS.index(level))


def usable_isas() -> list[str]:
    """The levels that this machine and its operating system can run, lowest first."""
    return [name for level, name in enumerate(ISA_LEVELS) if extension().isa_usable(level)]


@contextmanager
def isa(level: str) -> Iterator[None]:
    """Sets the level of the process inside a `with` block. For tests and measurements: other threads see it too."""
    before = get_isa()
    set_isa(level)
    try:
        yield
    finally:
        set_isa(before)


def get_threads() -> int:
    """Threads that a native kernel uses when its call does not say. Raises ValueError when HEADRACE_THREADS is bad."""
    return int(extension().get_threads())


def set_threads(threads: int) -> None:
    """Sets the process's threads; 0 means the cores this process may use. Raises ValueError outside 0 to 1024."""
    extension().set_threads(threads)


@contextmanager
def all_threads(count: int) -> Iterator[None]:
    """`count` threads for native kernels and for torch inside a `with` block; as many for torch as for kernels where 0.

    For measurements: other threads see it too. In a forked process torch stays on one.
    """
    kernels_before, torch_before = get_threads(), torch.get_num_threads()
    if count:
        set_threads(count)
    torch.set_num_threads(forks.openmp_threads(get_threads()))
    try:
        yield
    finally:
        set_threads(kernels_before)
        torch.set_num_threads(torch_before)


def backend_setting() -> str:
    """HEADRACE_BACKEND, or "auto". Raises ValueError when it is unknown."""
    value = os.environ.get("HEADRACE_BACKEND") or "auto"
    check_backend("HEADRACE_BACKEND", value)
    return value


def check_call(backend: str, threads: int) -> None:
    """Raises ValueError for an unknown backend or threads outside 0 to 1024, TypeError for threads that are no int."""
    check_backend("backend", backend)
    if not isinstance(threads, int) or isinstance(threads, bool):
        raise TypeError(f"threads: expected an int, got {type(threads).__name__}")
    if not 0 <= threads <= MAX_THREADS:
        raise ValueError(f"threads: expected 0 to {MAX_THREADS}, got {threads}")


def check_backend(name: str, backend: str) -> None:
    if backend not in _ASKED:
        raise ValueError(f"{name}: expected {', '.join(_ASKED)}, got {backend!r}")
