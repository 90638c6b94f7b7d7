"""torch's modes belong to the host: whichever it is in, pages are the same and everything works afterwards."""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from children import ids_of

from headrace.build import build
from headrace.data import generate
from headrace.exposure import ExposureFilter
from headrace.kernels import TopKIndex
from headrace.serving import Engine
from headrace.settings import Settings

USERS = list(range(40))
ROOT = Path(__file__).parents[3]


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


MODES = {
    "inference": torch.inference_mode,
    "no_grad": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
}
modes = pytest.mark.parametrize("mode", MODES)


DAY = 86_400_000


@modes
def test_an_engine_loaded_in_a_mode_is_that_of_any_other(snapshot: Path, engine: Engine, mode: str) -> None:
    pages = engine.recommend(USERS, reasons=True)
    with MODES[mode]():
        other = Engine.load(snapshot)
        assert other.recommend(USERS, reasons=True) == pages
    assert other.recommend(USERS, reasons=True) == pages
    assert other.recommend(USERS, at=engine.as_of - 10**8) == engine.recommend(USERS, at=engine.as_of - 10**8)
    for record in (MODES[mode](), torch.enable_grad(), MODES[mode]()):
        with record:
            other.recommend(USERS, record=True)
    weight = next(other.funnel.ranker.network.parameters())
    assert (weight.is_inference(), weight.dtype) == (False, torch.float32)


@modes
def test_an_engine_used_in_a_mode_first(snapshot: Path, engine: Engine, mode: str) -> None:
    at = engine.as_of - 10**8
    pages, earlier = ids_of(engine.recommend(USERS)), ids_of(engine.recommend(USERS, at=at))
    other = Engine.load(snapshot)
    with MODES[mode]():
        assert ids_of(other.recommend(USERS, at=at)) == earlier
        assert ids_of(other.recommend(USERS)) == pages
    assert ids_of(other.recommend(USERS, at=at)) == earlier


@pytest.mark.parametrize("mode", ["inference", pytest.param("float64", marks=pytest.mark.slow)])
def test_a_build(tmp_path: Path, small_settings: Settings, mode: str) -> None:
    log = generate(users=40, items=60, events=900, seed=1).dataset
    with MODES[mode]():
        built = build(log, small_settings, tmp_path)
        pages = ids_of(built.engine.recommend(USERS))
    assert any(pages)
    assert ids_of(Engine.load(tmp_path).recommend(USERS)) == pages


@modes
def test_a_filter_and_an_index_may_be_changed_in_another_mode(mode: str) -> None:
    one, items = torch.zeros(9, dtype=torch.int64), torch.arange(9)
    vectors, at = torch.randn(40, 8, dtype=torch.float32), int(time.time() * 1000)
    with MODES[mode]():
        exposure, index = ExposureFilter(), TopKIndex(vectors, metric="l2")
        exposure.record(one, items)
        exposure.advance(at)
        index.remove(torch.arange(3))
    exposure.record(one, items, at)
    exposure.advance(at + DAY)
    again = ExposureFilter.from_state(exposure.state())
    again.record(one, items, at + DAY)
    assert again.seen(one, items).all()
    index.upsert(vectors[:9], items)
    assert index.search(vectors[:9], 1)[1].flatten().tolist() == items.tolist()


#: Calls that take the process's default dtype where they are not told one.
FLOATS = ("empty", "eye", "linspace", "logspace", "normal", "ones", "rand", "randn", "zeros")


def test_no_tensor_takes_the_hosts_default_dtype() -> None:
    bare = []
    for path in (ROOT / "engine").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            of_torch = isinstance(node.func.value, ast.Name) and node.func.value.id == "torch"
            if of_torch and node.func.attr in FLOATS and "dtype" not in {keyword.arg for keyword in node.keywords}:
                bare.append(f"{path}:{node.lineno}")
    assert not bare
