"""Runs a function in a forked child and brings its answer back, or fails where the child never ends."""

from __future__ import annotations

import os
import pickle
import select
import signal
import time
import traceback
from collections.abc import Callable
from typing import Any

#: Far more than any of it takes: only a child that hangs comes near.
PATIENCE = 120.0


def in_child(function: Callable[[], Any]) -> Any:
    """What `function` returns in a child that `os.fork` makes; AssertionError with its traceback where it raises."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = True, function()
        except BaseException:
            answer = False, traceback.format_exc()
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(answer, pipe)
        os._exit(0)
    os.close(writing)
    try:
        assert select.select([reading], [], [], PATIENCE)[0], "the child hangs"
        with os.fdopen(reading, "rb") as pipe:
            good, answer = pickle.load(pipe)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert good, answer
    return answer


def wait_for_threads(most: int) -> None:
    """For seconds at most, until this process has at most so many threads.

    Python's joining ends before a thread's own ending does, in which MKL takes a lock. A fork just then would leave it
    held in the child.
    """
    end = time.monotonic() + 5
    while threads() > most and time.monotonic() < end:
        time.sleep(0.001)


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


def ids_of(pages: list[Any]) -> list[list[Any]]:
    return [page.items for page in pages]
