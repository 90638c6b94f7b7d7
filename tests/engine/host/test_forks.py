"""A process that loaded an engine forks, as pre-fork servers do: every call ends in the child, with the same answer."""

from __future__ import annotations

import asyncio
import http.client
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import torch
from children import PATIENCE, ids_of, in_child, threads, wait_for_threads

from headrace.exposure import ExposureFilter
from headrace.kernels import TopKIndex, TopKProcesses, save_shards, settings
from headrace.kernels.forks import forked
from headrace.search.ann.faiss_finder import FaissFinder
from headrace.search.ann.settings import Ivf
from headrace.serving import Engine

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
USERS = list(range(40))


@pytest.fixture(autouse=True)
def threads_of_openmp() -> Iterator[None]:
    """Torch has worked on two threads here, so a child that asked for them would wait for ever."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.ones(2_000_000).exp_().sum()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def items() -> torch.Tensor:
    return torch.randn(20_000, 32, generator=torch.Generator().manual_seed(1))


def test_pages_are_the_parents(engine: Engine) -> None:
    pages = ids_of(engine.recommend(USERS))
    assert in_child(lambda: ids_of(engine.recommend(USERS))) == pages
    assert in_child(lambda: in_child(lambda: ids_of(engine.recommend(USERS)))) == pages
    assert ids_of(engine.recommend(USERS)) == pages


def test_torch_works_on_one_thread_in_the_child_alone() -> None:
    assert in_child(lambda: (torch.get_num_threads(), forked())) == (1, True)
    assert (torch.get_num_threads(), forked()) == (2, False)
    with settings.all_threads(2):
        assert torch.get_num_threads() == 2

    def measured() -> tuple[int, int]:
        with settings.all_threads(2):
            torch.ones(2_000_000).exp_()
            return torch.get_num_threads(), settings.get_threads()

    assert in_child(measured) == (1, 2)


def test_an_index_is_searched_and_changed(items: torch.Tensor) -> None:
    index = TopKIndex(items)

    def changed(index: TopKIndex) -> list[list[int]]:
        index.add(-items[:5000], torch.arange(20_000, 25_000))
        index.remove(torch.arange(100))
        return index.search(items[:64], 10)[1].tolist()

    found = index.search(items[:64], 10)[1].tolist()
    assert in_child(lambda: index.search(items[:64], 10)[1].tolist()) == found
    assert in_child(lambda: changed(index)) == changed(index.copy())


def test_exposures_are_recorded() -> None:
    exposure = ExposureFilter()
    user, item = torch.arange(200_000) % 1000, torch.arange(200_000) % 400
    exposure.record(user[:1000], item[:1000])

    def recorded() -> bool:
        exposure.record(user, item)
        return bool(exposure.seen(user, item).all())

    assert in_child(recorded)
    assert not exposure.seen(user, item).all()


def test_training_goes_on() -> None:
    def trained() -> float:
        weight = torch.ones(300, 300, requires_grad=True)
        (weight @ torch.ones(300, 4000)).relu().mean().backward()
        assert weight.grad is not None
        return float(weight.grad.sum())

    there = trained()
    assert in_child(trained) == pytest.approx(there)


def test_faiss_has_openmp_threads_of_its_own(items: torch.Tensor) -> None:
    pytest.importorskip("faiss")
    finder = FaissFinder.build(items, "ip", Ivf(n_lists=16, n_probes=4), seed=1, threads=2)
    found = finder.find(items[:200], 10, None, 2)
    assert torch.equal(torch.tensor(in_child(lambda: finder.find(items[:200], 10, None, 2).tolist())), found)


@pytest.mark.slow
def test_shards_of_the_parents_processes_are_refused_at_once(tmp_path: Path, items: torch.Tensor) -> None:
    save_shards(tmp_path / "shards", items[:500], 1)
    with TopKProcesses.load(tmp_path / "shards") as shards:
        found = shards.search(items[:3], 5)[1].tolist()

        def asked() -> str:
            with pytest.raises(RuntimeError, match="belongs to the process that opened it") as error:
                shards.search(items[:3], 5)
            shards.close()
            return str(error.value)

        assert in_child(asked)
        assert shards.search(items[:3], 5)[1].tolist() == found


def test_a_child_never_meets_a_change_half_done(items: torch.Tensor) -> None:
    exposure, index, ended = ExposureFilter(), TopKIndex(items[:100]), threading.Event()
    user = torch.arange(2000)

    def changes() -> None:
        number = 0
        while not ended.is_set():
            exposure.record(user, user)
            index.upsert(items[:2000], torch.arange(2000))
            number += 1

    def asked() -> bool:
        exposure.record(user, user + 1)
        index.upsert(items[:500], torch.arange(500))
        return bool(exposure.seen(user, user + 1).all()) and index.search(items[:1], 1)[1].tolist() is not None

    workers = [threading.Thread(target=changes) for _ in range(2)]
    for worker in workers:
        worker.start()
    try:
        assert all(in_child(asked) for _ in range(4))
    finally:
        ended.set()
        for worker in workers:
            worker.join()


def test_threads_and_coroutines_of_a_child(engine: Engine) -> None:
    pages = ids_of(engine.recommend(USERS))

    async def together() -> list[list[list[int]]]:
        asked = [asyncio.to_thread(engine.recommend, USERS) for _ in range(3)]
        return [ids_of(one) for one in await asyncio.gather(*asked)]

    before = threads()
    assert asyncio.run(together()) == [pages] * 3
    wait_for_threads(before)
    assert in_child(lambda: asyncio.run(together())) == [pages] * 3


def test_an_engine_loaded_after_the_fork(snapshot: Path, engine: Engine) -> None:
    pages = ids_of(engine.recommend(USERS))
    assert in_child(lambda: ids_of(Engine.load(snapshot).recommend(USERS))) == pages


def answered(snapshot: Path) -> list[list[int]]:
    return ids_of(Engine.load(snapshot).recommend(USERS))


@pytest.mark.parametrize(
    "method",
    ["fork", pytest.param("spawn", marks=pytest.mark.slow), pytest.param("forkserver", marks=pytest.mark.rare)],
)
def test_every_way_to_start_a_process(snapshot: Path, engine: Engine, method: str) -> None:
    pages = ids_of(engine.recommend(USERS))
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map_async(answered, [snapshot] * 2, chunksize=1).get(PATIENCE) == [pages] * 2


def test_a_server_that_forks_its_workers_after_loading(engine: Engine) -> None:
    pages = ids_of(engine.recommend(USERS))

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps([os.getpid(), ids_of(engine.recommend(USERS, record=True))]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        workers = []
        for _ in range(2):
            if (child := os.fork()) == 0:
                server.serve_forever()
            workers.append(child)
        try:
            told: dict[int, list[list[int]]] = {}
            for _ in range(8):
                connection = http.client.HTTPConnection(*server.server_address[:2], timeout=PATIENCE)
                connection.request("GET", "/")
                worker, page = json.loads(connection.getresponse().read())
                connection.close()
                told.setdefault(worker, page)
        finally:
            for child in workers:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
    # What each worker answers first; what it records is its own.
    assert set(told) <= set(workers)
    assert all(page == pages for page in told.values())


GUNICORN = """
import json
import torch
from headrace import Engine
torch.set_num_threads(2)
engine = Engine.load({snapshot!r})
want = [page.items for page in engine.recommend(list(range(40)))]

def app(environ, start):
    found = [page.items for page in engine.recommend(list(range(40)))]
    start("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(found == want).encode()]
"""


@pytest.mark.rare
def test_gunicorn_with_preload(snapshot: Path, tmp_path: Path) -> None:
    pytest.importorskip("gunicorn")
    (tmp_path / "served.py").write_text(GUNICORN.format(snapshot=str(snapshot)))
    options = ["--preload", "--workers", "2", "--threads", "2", "--bind", f"unix:{tmp_path}/socket", "--timeout", "60"]
    command = [sys.executable, "-m", "gunicorn", *options, "served:app"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            while "Booting worker" not in (line := server.stderr.readline()):
                assert line, "gunicorn ended"
            for _ in range(4):
                ask = ["curl", "-sS", "-m", "60", "--unix-socket", f"{tmp_path}/socket", "http://here/"]
                assert subprocess.run(ask, capture_output=True, text=True, check=True).stdout == "true"
        finally:
            server.terminate()
