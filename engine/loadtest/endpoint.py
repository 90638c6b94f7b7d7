"""An HTTP endpoint of this machine as a target: one connection a worker, kept open from call to call."""

from __future__ import annotations

import http.client
import ipaddress
import json
import math
import socket
import time
from typing import Any
from urllib.parse import quote, urlsplit

from numpy.typing import NDArray

#: Bytes of an answer; a page of a thousand items has some 100,000.
MOST_BYTES = 2**24
_LONGEST = 86_400
_SHOWN_OF_ERROR = 120


class HttpTarget:
    """Sends `url`, and `body` with it where given, with the users' ids filled in.

    {user} stands for one id and {users} for all ids of a call: in the body as JSON (a number or string; a list), in the
    URL percent-encoded, separated by commas. The method is POST with a body and GET without. Any answer but 2xx is an
    error; the answer is read to its end, and one of more than `MOST_BYTES` is an error too. timeout: seconds for a
    whole call, from the first byte sent to the last received, however slowly they drip.
    Raises ValueError for a URL that is not plain HTTP on a loopback address.
    """

    in_process = False

    def __init__(self, url: str, body: str | None = None, timeout: float = 10.0) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or 80
        except ValueError as error:
            raise ValueError(f"url: expected http://<host>[:<port>]/<path>, got {url!r}: {error}") from error
        if parts.scheme != "http" or not host:
            raise ValueError(f"url: expected http://<host>[:<port>]/<path>, got {url!r}")
        _refuse_other_machines(host)
        if not 0 < timeout <= _LONGEST:
            raise ValueError(f"timeout: expected more than 0 and at most {_LONGEST:,} seconds, got {timeout}")
        self.host, self.port = host, port
        self.path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self.body = body
        self.timeout = timeout
        self.batches = "{users}" in self.path + (body or "")
        self.name = f"{'POST' if body else 'GET'} {url}"

    def connect(self) -> HttpSession:
        """A session; it connects at its first call, and again after a failed one."""
        return HttpSession(self)

    def fill(self, users: NDArray[Any]) -> tuple[str, bytes | None]:
        """Path and body of the call that asks for `users`."""
        ids = users.tolist()
        texts = [quote(str(user), safe="") for user in ids]
        path = self.path.replace("{users}", ",".join(texts)).replace("{user}", texts[0])
        if self.body is None:
            return path, None
        body = self.body.replace("{users}", json.dumps(ids)).replace("{user}", json.dumps(ids[0]))
        return path, body.encode()


class _Socket(socket.socket):
    """Waits until `deadline` (of the monotonic clock) at the latest, however many waits that takes."""

    deadline = math.inf

    def recv_into(self, *given: Any, **options: Any) -> int:
        self._wait()
        return super().recv_into(*given, **options)

    def sendall(self, *given: Any, **options: Any) -> None:
        self._wait()
        super().sendall(*given, **options)

    def _wait(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self.settimeout(left)


class _Connection(http.client.HTTPConnection):
    """A connection whose calls end by a deadline, and read no more than they may."""

    _deadline = math.inf

    def call(self, path: str, body: bytes | None, deadline: float) -> tuple[int, bytes]:
        """Status and body, of which at most `MOST_BYTES` and one more are read. TimeoutError at `deadline`."""
        self._deadline = deadline
        if isinstance(self.sock, _Socket):
            self.sock.deadline = deadline
        headers = {} if body is None else {"Content-Type": "application/json"}
        self.request("GET" if body is None else "POST", path, body, headers)
        response = self.getresponse()
        answer = response.read(MOST_BYTES + 1)
        if response.length and len(answer) <= MOST_BYTES:
            raise http.client.IncompleteRead(b"", response.length)
        return response.status, answer

    def connect(self) -> None:
        super().connect()
        plain = self.sock
        timed = _Socket(plain.family, plain.type, plain.proto, plain.detach())
        timed.deadline = self._deadline
        self.sock = timed


class HttpSession:
    """One connection. Raises ConnectionError for an answer that is not 2xx, OSError when there is none."""

    def __init__(self, target: HttpTarget) -> None:
        self._target = target
        self._connection = _Connection(target.host, target.port, timeout=target.timeout)

    def send(self, users: NDArray[Any]) -> None:
        path, body = self._target.fill(users)
        try:
            status, answer = self._connection.call(path, body, time.monotonic() + self._target.timeout)
        except ConnectionRefusedError as error:
            self.close()
            where = f"{self._target.host}:{self._target.port}"
            raise ConnectionRefusedError(f"nothing listens at {where}; is the server running?") from error
        except TimeoutError as error:
            self.close()
            raise ConnectionError(f"timed out: no whole answer within {self._target.timeout:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise ConnectionError(f"{type(error).__name__}: {error}") from error
        if len(answer) > MOST_BYTES:
            self.close()
            raise ConnectionError(f"expected an answer of at most {MOST_BYTES:,} bytes, got more")
        if not 200 <= status < 300:
            text = answer[:_SHOWN_OF_ERROR].decode(errors="replace").strip()
            raise ConnectionError(f"HTTP {status}: {text}")

    def close(self) -> None:
        self._connection.close()


def _refuse_other_machines(host: str) -> None:
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ValueError(f"url: expected localhost or a loopback address, got {host!r}; load goes to this machine only")
