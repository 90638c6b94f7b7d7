"""Equal threads for everyone: our kernels, torch, BLAS, OpenMP and numba.

A library whose calls take a thread count of their own is given `headrace.kernels.settings.get_threads()`.
"""

from __future__ import annotations

import importlib.util
import os
import sys

import torch

from headrace.kernels import settings


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def pin(threads: int) -> None:
    """Gives every library that is loaded by now `threads` threads (0: the cores of this process).

    To be called again after a library was loaded. Raises ValueError outside 0 to 1024.
    """
    try:
        settings.set_threads(threads)
        count = settings.get_threads()
    except ImportError:  # no native kernels here
        count = threads or os.cpu_count() or 1
    torch.set_num_threads(count)
    if importlib.util.find_spec("threadpoolctl"):
        import threadpoolctl

        threadpoolctl.threadpool_limits(count)
    if "faiss" in sys.modules:
        sys.modules["faiss"].omp_set_num_threads(count)
    if "numba" in sys.modules:  # not by its environment variable, which is refused once its threads run
        numba = sys.modules["numba"]
        numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
