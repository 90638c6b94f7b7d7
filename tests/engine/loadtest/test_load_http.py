"""HTTP targets on a server of this process: filled-in ids, kept connections, errors, and other machines refused."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from headrace.loadtest import HttpTarget, Plan, Users, measure


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(None)

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, body):
        self.server.seen.append((self.client_address, self.path, body))
        status = 503 if self.path.startswith("/busy") else 302 if self.path.startswith("/moved") else 200
        answer = b"too busy" if status == 503 else b"{}"
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.seen = []
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_ids_are_filled_in(server) -> None:
    session = HttpTarget(f"{server.url}/page?user={{user}}&all={{users}}").connect()
    session.send(np.array(["a b", "c/d"]))
    session.close()
    assert server.seen[0][1:] == ("/page?user=a%20b&all=a%20b,c%2Fd", None)
    session = HttpTarget(f"{server.url}/rank", '{"user_ids": {users}, "first": {user}, "k": 80}').connect()
    session.send(np.array([7, 8]))
    session.close()
    assert server.seen[1][1] == "/rank"
    assert json.loads(server.seen[1][2]) == {"user_ids": [7, 8], "first": 7, "k": 80}


def test_a_connection_is_kept(server) -> None:
    session = HttpTarget(f"{server.url}/users/{{user}}").connect()
    for user in range(5):
        session.send(np.array([user]))
    session.close()
    assert [path for _, path, _ in server.seen] == [f"/users/{user}" for user in range(5)]
    assert len({address for address, _, _ in server.seen}) == 1


@pytest.mark.parametrize(("path", "words"), [("/busy", "HTTP 503: too busy"), ("/moved", "HTTP 302")])
def test_an_answer_that_is_no_success_is_an_error(server, path, words) -> None:
    session = HttpTarget(server.url + path).connect()
    with pytest.raises(ConnectionError, match=words):
        session.send(np.array([1]))
    session.close()


def test_a_run_over_http(server) -> None:
    target = HttpTarget(f"{server.url}/users/{{user}}")
    plan = Plan(batch=1, workers=2, seconds=0.3, warm_up=0.1, loads=(0.2,), workers_swept=(1, 2))
    report = measure(target, Users(np.arange(50)), plan)
    assert all(step.requests > 0 and step.errors == 0 for step in report.steps)
    assert report.closed.busy is None
    assert report.target == f"GET {target_url(server)}"
    # one connection for the first request, and one a worker and step
    assert len({address for address, _, _ in server.seen}) <= 1 + 2 + 2 + 1 + 2


def target_url(server) -> str:
    return f"{server.url}/users/{{user}}"


def test_nobody_listens() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port = server.server_address[1]
    server.server_close()
    with pytest.raises(ConnectionRefusedError, match=f"nothing listens at 127.0.0.1:{port}; is the server running"):
        measure(HttpTarget(f"http://127.0.0.1:{port}/"), Users(np.arange(3)), Plan(batch=1))


def test_a_server_that_hangs_is_a_timeout() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        session = HttpTarget(f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout=0.1).connect()
        with pytest.raises(ConnectionError, match="timed out"):
            session.send(np.array([1]))
        session.close()


@pytest.mark.parametrize(
    "url",
    ["http://example.com/", "http://10.0.0.1/", "http://127.0.0.1.example.com/", "http://localhost@10.0.0.1/",
     "http://0.0.0.0/", "http://[fe80::1]/"],
)  # fmt: skip
def test_other_machines_are_refused(url) -> None:
    with pytest.raises(ValueError, match="url: expected localhost or a loopback address"):
        HttpTarget(url)


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/", "127.0.0.1:80", "ftp://localhost/", "http:///x", "http://localhost:x/"]
)
def test_what_is_no_plain_http_is_refused(url) -> None:
    with pytest.raises(ValueError, match="url: expected"):
        HttpTarget(url)


@pytest.mark.parametrize("url", ["http://localhost:1/", "http://127.8.9.1/", "http://[::1]:8000/x"])
def test_loopback_is_accepted(url) -> None:
    assert HttpTarget(url).host


def test_batches_need_a_place_for_their_users() -> None:
    with pytest.raises(ValueError, match=r"batch: expected 1, .*\{users\}.*; got 4"):
        measure(HttpTarget("http://127.0.0.1:1/{user}"), Users(np.arange(3)), Plan(batch=4))
