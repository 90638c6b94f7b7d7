"""Forks of a process that holds indexes, filters and engines: locks and threads that work in the child."""

from __future__ import annotations

import os
import threading
import weakref
from types import TracebackType

import torch

_locks: weakref.WeakSet[Lock] = weakref.WeakSet()
#: Held from before a fork until after it, so that no lock is made and no other thread forks meanwhile.
_listing = threading.RLock()
_held: list[Lock] = []
_forked = False


class Lock:
    """A lock for `with`, which the thread that holds it may take again. Copied or pickled it is a new one.

    A fork waits until no other thread holds one, so a child never meets what a thread of its parent left half done.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        with _listing:
            _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[Lock], tuple[()]]:
        return Lock, ()


def forked() -> bool:
    """Whether this process was forked from one that had Headrace loaded."""
    return _forked


def openmp_threads(count: int) -> int:
    """`count`, or 1 in a forked process: OpenMP's other threads stayed in the parent, and it would wait for them."""
    return 1 if _forked else count


def _before() -> None:
    _listing.acquire()
    # All or none: holding one while waiting for another could meet a thread that does so in another order.
    while not _take_all():
        pass


def _take_all() -> bool:
    for lock in list(_locks):
        if not lock._lock.acquire(blocking=False):
            _give_back()
            with lock:
                pass
            return False
        _held.append(lock)
    return True


def _give_back() -> None:
    while _held:
        _held.pop()._lock.release()


def _after() -> None:
    _give_back()
    _listing.release()


def _after_in_child() -> None:
    global _forked
    _after()
    _forked = True
    torch.set_num_threads(1)


os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after_in_child)
