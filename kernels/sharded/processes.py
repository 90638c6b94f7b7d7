"""Shards of a top-k catalogue, each searched by a process of its own that has the shard's file mapped."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import weakref
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import torch
from torch import Tensor

from headrace.kernels import settings
from headrace.kernels.index.index import TopKIndex
from headrace.kernels.sharded.files import shard_paths
from headrace.kernels.sharded.shards import Answer, TopKShards, of_shard
from headrace.kernels.topk.packed import Counts

# A forked process would inherit locks that threads of this one hold.
_SPAWN = multiprocessing.get_context("spawn")
#: Seconds that a process which closed its pipe has to end with its own exit code.
_DYING = 5.0
_FILE = ("st_dev", "st_ino", "st_size", "st_mtime_ns")


class TopKProcesses(TopKShards):
    """`TopKShards` whose shards are files, each searched by a process of its own; the answers are the same.

    paths: index files, which must stay as they are. Processes share the pages of a mapped file, so the catalogue is in
    memory once. verify: each process reads its file whole and compares checksums before it answers.

    The processes start at once, stay, and end with `close`, a `with` block, or this process. Threads may share this
    object; their searches take turns. The threads of a search are dealt out to the processes, at least one each.

    A process that died is replaced, and the search that meets its death still answers; where the second dies too,
    RuntimeError names the shard. ValueError where a file does not fit or was replaced. Processes are spawned, so the
    main module of a script must be importable (`if __name__ == "__main__"`).
    """

    def __init__(self, paths: Sequence[str | Path], verify: bool = True) -> None:
        # Before the files are opened here: one that is replaced meanwhile will not do for its process.
        self._workers = [_Worker(number, Path(path), verify) for number, path in enumerate(paths)]
        super().__init__([TopKIndex.load(path, mmap=True, verify=False) for path in paths])
        self._turn = threading.Lock()
        self._owner = os.getpid()
        self._end = weakref.finalize(self, _stop_all, self._workers, self._owner)
        try:
            _start_all(self._workers)
        except BaseException:
            self._end()
            raise

    @classmethod
    def load(cls, folder: str | Path, mmap: bool = True, verify: bool = True) -> TopKProcesses:
        """The shards of a folder of `save_shards`. They are always mapped; `verify` as in `TopKIndex.load`."""
        if not mmap:
            raise ValueError("mmap: expected True, as processes share mapped files, got False")
        return cls(shard_paths(folder), verify)

    def close(self) -> None:
        """Ends the processes, after a search that runs. Closing again does nothing."""
        if os.getpid() == self._owner:
            with self._turn:
                self._end()

    def __enter__(self) -> TopKProcesses:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "TopKProcesses: expected neither a copy nor a pickle of what owns processes; load its folder there"
        )

    def _answers(
        self, queries: Tensor, k: int, masks: Sequence[Tensor | None], backend: str, threads: int
    ) -> list[Answer]:
        total, count = threads or settings.get_threads(), len(self._workers)
        asked = queries.detach().numpy()
        requests = [
            (
                *(asked, of_shard(k, shard), None if mask is None else mask.numpy()),
                *(backend, max(1, (total + number) // count)),
            )
            for number, (shard, mask) in enumerate(zip(self._shards, masks, strict=True))
        ]
        if os.getpid() != self._owner:
            raise RuntimeError("this index belongs to the process that opened it; open it here as well")
        with self._turn:
            if not self._end.alive:
                raise RuntimeError("this index is closed")
            try:
                _start_all(self._workers)
                for worker, request in zip(self._workers, requests, strict=True):
                    worker.ask(request)
                replies = [worker.reply(request) for worker, request in zip(self._workers, requests, strict=True)]
            except BaseException:
                # A reply that nobody read would be taken for the answer to the next search.
                _stop_all(self._workers, self._owner)
                raise
        return [_answer(worker, reply) for worker, reply in zip(self._workers, replies, strict=True)]


class _Worker:
    """A process that serves one shard, and the pipe to it."""

    def __init__(self, number: int, path: Path, verify: bool) -> None:
        self.name = f"shard {number} ({path})"
        self._arguments = (path, _stamp(path), verify)
        self._process: Any = None
        self._pipe: Any = None

    @property
    def there(self) -> bool:
        """Whether it was started and not stopped; it may have died since."""
        return self._process is not None

    def start(self) -> None:
        self._pipe, theirs = _SPAWN.Pipe()
        try:
            process = _SPAWN.Process(target=_serve, args=(theirs, *self._arguments), name=self.name, daemon=True)
            process.start()
            self._process = process
        finally:
            # Only the process may hold its end: that is how its death is seen here.
            theirs.close()

    def await_ready(self) -> None:
        try:
            reason = self._pipe.recv()
        except (EOFError, OSError):
            raise RuntimeError(f"{self.name}: its process ended with exit code {self.stop(_DYING)} at start") from None
        if reason is not None:
            raise type(reason)(f"{self.name}: {reason}")

    def ask(self, request: Any) -> None:
        # Where it died, the reply, or its lack, tells more.
        with suppress(OSError):
            self._pipe.send(request)

    def reply(self, request: Any) -> Any:
        try:
            return self._pipe.recv()
        except (EOFError, OSError):
            self.stop(_DYING)
        _start_all([self])
        self.ask(request)
        try:
            return self._pipe.recv()
        except (EOFError, OSError):
            code = self.stop(_DYING)
        raise RuntimeError(f"{self.name}: its process ended with exit code {code}, as did the one that it replaced")

    def stop(self, patience: float = 0.0) -> int | None:
        """Ends the process, which has nothing to lose, if it does not end by itself in time; returns its exit code."""
        if self._process is None:
            return None
        self._pipe.close()
        self._process.join(patience)
        self._process.kill()
        self._process.join()
        code: int | None = self._process.exitcode
        self._process.close()
        self._process = None
        return code


def _start_all(workers: Sequence[_Worker]) -> None:
    """Starts those that are not there, all before any is waited for."""
    missing = [worker for worker in workers if not worker.there]
    for worker in missing:
        worker.start()
    for worker in missing:
        worker.await_ready()


def _stop_all(workers: Sequence[_Worker], owner: int) -> None:
    """In a process forked from the owner, nothing: the workers are not its own."""
    for worker in workers if os.getpid() == owner else ():
        worker.stop()


def _stamp(path: Path) -> tuple[int, ...]:
    """What changes when another file takes the path."""
    stat = os.stat(path)
    return tuple(getattr(stat, name) for name in _FILE)


def _answer(worker: _Worker, reply: Any) -> Answer:
    if isinstance(reply, Exception):
        raise type(reply)(f"{worker.name}: {reply}")
    scores, ids, counts = reply
    return torch.from_numpy(scores), torch.from_numpy(ids), None if counts is None else Counts(*counts)


def _serve(pipe: Connection, path: Path, stamp: tuple[int, ...], verify: bool) -> None:
    """The life of a process: says None when it is ready or the error why not, then answers until the pipe closes."""
    # An interrupt from the terminal reaches all processes; the one that asks decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    try:
        index = TopKIndex.load(path, mmap=True, verify=verify)
        if _stamp(path) != stamp:
            raise ValueError("the file was replaced since it was opened")
    except Exception as error:
        pipe.send(_plain(error))
        return
    try:
        pipe.send(None)
        while True:
            pipe.send(_reply(index, *pipe.recv()))
    except (EOFError, OSError):
        return


def _reply(index: TopKIndex, queries: Any, k: int, mask: Any, backend: str, threads: int) -> Any:
    """Scores, ids and counts, or the error."""
    words = None if mask is None else torch.from_numpy(mask)
    try:
        scores, ids, counts = index.search_float64(
            torch.from_numpy(queries), k, words, backend=backend, threads=threads
        )
    except Exception as error:
        return _plain(error)
    return scores.numpy(), ids.numpy(), counts and tuple(counts)


def _plain(error: Exception) -> Exception:
    """An error that any process can unpickle."""
    return (ValueError if isinstance(error, ValueError) else RuntimeError)(str(error))
