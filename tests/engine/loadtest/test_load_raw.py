"""HTTP targets that drip, never end, or are cut short: a call ends in time, reads a bounded answer, and is counted."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pytest

from headrace.loadtest import HttpTarget, Plan, Users, measure
from headrace.loadtest.model import Step, reasons_of

OK = b"HTTP/1.1 200 OK\r\n"
SHORT = OK + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}"


class Raw(socketserver.ThreadingTCPServer):
    """Answers every call with the bytes of `answers`, and keeps the connection as long as they last."""

    daemon_threads = True
    block_on_close = False
    url: str
    answers: Callable[[], Iterable[bytes]]


class Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Raw)
        while self.rfile.readline().strip():
            pass
        try:
            for part in self.server.answers():
                self.wfile.write(part)
                self.wfile.flush()
        except OSError:
            pass


@pytest.fixture
def raw() -> Iterator[Raw]:
    with Raw(("127.0.0.1", 0), Handler) as server:
        server.url = f"http://127.0.0.1:{server.server_address[1]}/"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def endless(start: bytes, part: bytes, pause: float = 0.02) -> Callable[[], Iterator[bytes]]:
    def answers() -> Iterator[bytes]:
        yield start
        while True:
            time.sleep(pause)
            yield part

    return answers


@pytest.mark.parametrize(
    ("start", "part"),
    [
        (OK + b"Content-Length: 1000000\r\n\r\n", b"x"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (OK + b"\r\n", b"x"),
        (OK, b"a"),
        (b"", b"H"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["body", "chunks", "no length", "heads", "first line", "continue"],
)
def test_a_server_that_drips_is_a_timeout_of_the_whole_call(raw: Raw, start: bytes, part: bytes) -> None:
    raw.answers = endless(start, part)
    session = HttpTarget(raw.url, timeout=0.3).connect()
    with pytest.raises(ConnectionError, match=r"timed out: no whole answer within 0\.3 s"):
        session.send(np.array([1]))
    raw.answers = lambda: [SHORT]
    session.send(np.array([1]))
    session.close()


@pytest.mark.parametrize("head", [b"Content-Length: 99999999999\r\n", b"", b"Transfer-Encoding: chunked\r\n"])
def test_an_answer_without_end_is_an_error(raw: Raw, head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.loadtest.endpoint.MOST_BYTES", 100_000)
    part = b"x" * 0x10000
    raw.answers = endless(OK + head + b"\r\n", b"10000\r\n" + part + b"\r\n" if b"chunked" in head else part, 0)
    session = HttpTarget(raw.url).connect()
    with pytest.raises(ConnectionError, match="expected an answer of at most 100,000 bytes, got more"):
        session.send(np.array([1]))
    session.close()


def test_an_answer_cut_short_is_an_error(raw: Raw) -> None:
    raw.answers = lambda: [OK + b"Content-Length: 10\r\n\r\n{}"]
    session = HttpTarget(raw.url).connect()
    with pytest.raises(ConnectionError, match="IncompleteRead"):
        session.send(np.array([1]))
    session.close()


def test_failures_are_counted_by_reason(raw: Raw) -> None:
    asked = 0

    def answers() -> Iterator[bytes]:
        nonlocal asked
        asked += 1
        busy = b"HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbusy"
        yield busy if asked % 3 == 0 else SHORT if asked % 2 else b"H"

    raw.answers = answers
    step = measure(HttpTarget(raw.url), Users(np.arange(50)), Plan(1, seconds=0.4, warm_up=0.0, loads=())).closed
    assert isinstance(step, Step)
    busy, cut = "ConnectionError: HTTP 503: busy", "ConnectionError: BadStatusLine: H"
    assert set(step.failures) == {busy, cut}
    assert step.errors == sum(step.failures.values())
    words = reasons_of([step, step])
    assert f"{2 * step.failures[busy]:,} by {busy}" in words
    assert f"{2 * step.failures[cut]:,} by {cut}" in words


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan"), float("inf"), 1e30])
def test_a_timeout_is_a_time(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout: expected more than 0 and at most 86,400 seconds"):
        HttpTarget("http://localhost/", timeout=timeout)
