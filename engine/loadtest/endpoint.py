"""An HTTP endpoint of this machine as a target: one connection a worker, kept open from call to call."""

from __future__ import annotations

import http.client
import ipaddress
import json
from typing import Any
from urllib.parse import quote, urlsplit

from numpy.typing import NDArray

_SHOWN_OF_ERROR = 120


class HttpTarget:
    """Sends `url`, and `body` with it where given, with the users' ids filled in.

    {user} stands for one id and {users} for all ids of a call: in the body as JSON (a number or string; a list), in the
    URL percent-encoded, separated by commas. The method is POST with a body and GET without. Any answer but 2xx is an
    error; the answer is read to its end. timeout: seconds, of the connection and of each read.
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


class HttpSession:
    """One connection. Raises ConnectionError for an answer that is not 2xx, OSError when there is none."""

    def __init__(self, target: HttpTarget) -> None:
        self._target = target
        self._connection = http.client.HTTPConnection(target.host, target.port, timeout=target.timeout)

    def send(self, users: NDArray[Any]) -> None:
        path, body = self._target.fill(users)
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            self._connection.request("GET" if body is None else "POST", path, body, headers)
            response = self._connection.getresponse()
            answer = response.read()
        except ConnectionRefusedError as error:
            self.close()
            where = f"{self._target.host}:{self._target.port}"
            raise ConnectionRefusedError(f"nothing listens at {where}; is the server running?") from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise ConnectionError(f"{type(error).__name__}: {error}") from error
        if not 200 <= response.status < 300:
            text = answer[:_SHOWN_OF_ERROR].decode(errors="replace").strip()
            raise ConnectionError(f"HTTP {response.status}: {text}")

    def close(self) -> None:
        self._connection.close()


def _refuse_other_machines(host: str) -> None:
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ValueError(f"url: expected localhost or a loopback address, got {host!r}; load goes to this machine only")
