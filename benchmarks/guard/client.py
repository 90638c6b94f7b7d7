"""The parent's end of a worker: a process that measures one revision, asked one question at a time."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("worker.py")


class Trouble(Exception):
    """A question without an answer: the worker died, hung, or found its own answer wrong. The message says which."""


class Process:
    """A worker for the package `headrace` in `folder`, started when first asked and again after it died or hung.
    To be used in a `with` block, whose end ends it.

    threads: what every library gets, 0 for the cores of this process.
    """

    def __init__(self, name: str, folder: Path, threads: int = 0, script: Path = SCRIPT) -> None:
        self.name = name
        self._command = [sys.executable, str(script), str(folder), str(threads)]
        self._running: subprocess.Popen[bytes] | None = None
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        self._rest = b""

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._said.close()

    def ask(self, seconds: float, do: str, **question: Any) -> dict[str, Any]:
        """Its answer. seconds: how long to wait. Raises Trouble; the process is gone when it died or hung."""
        running = self._running or self._start()
        assert running.stdin is not None
        try:
            running.stdin.write(json.dumps({"do": do, **question}).encode() + b"\n")
            running.stdin.flush()
            answer: dict[str, Any] = json.loads(self._line(running, seconds))
        except TimeoutError:
            self.stop()
            raise Trouble(f"{self.name}: the worker hung: no answer to {do!r} in {seconds:g} s") from None
        except (OSError, EOFError):
            raise Trouble(f"{self.name}: the worker died in {do!r}: {self._end()}") from None
        except ValueError as error:
            self.stop()
            raise Trouble(f"{self.name}: the worker answered {do!r} with no JSON: {error}") from None
        if "failed" in answer:
            raise Trouble(f"{self.name}: {answer['failed']}")
        return answer

    def stop(self) -> None:
        """Ends the process at once."""
        if self._running:
            self._running.kill()
            self._running.communicate()
        self._running = None

    def _start(self) -> subprocess.Popen[bytes]:
        # A worker whose threads spin while they wait would slow the other one down.
        environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONHASHSEED": "0"}
        self._said.seek(0)
        self._said.truncate()
        self._rest = b""
        self._running = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, env=environment
        )
        return self._running

    def _line(self, running: subprocess.Popen[bytes], seconds: float) -> bytes:
        assert running.stdout is not None
        until = time.monotonic() + seconds
        while b"\n" not in self._rest:
            if not select.select([running.stdout], [], [], max(until - time.monotonic(), 0))[0]:
                raise TimeoutError
            read = os.read(running.stdout.fileno(), 1 << 16)
            if not read:
                raise EOFError
            self._rest += read
        line, self._rest = self._rest.split(b"\n", 1)
        return line

    def _end(self) -> str:
        assert self._running is not None
        try:
            code = self._running.wait(timeout=5)
        except subprocess.TimeoutExpired:
            code = 0  # it closed its answers and lives on
        self.stop()
        how = f"exit status {code}"
        if code < 0:
            how = signal.Signals(-code).name
        self._said.seek(0)
        last = self._said.read().decode(errors="replace").strip().splitlines()[-1:]
        return " - ".join([how, *last])
