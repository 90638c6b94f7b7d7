"""Random calls of an engine: pages, or an error that names the argument, and nothing recorded."""

from __future__ import annotations

import atexit
import functools
import tempfile
from pathlib import Path

import absurd
import tiny

from headrace.build import build
from headrace.data import generate
from headrace.serving import Engine


@functools.cache
def _engine() -> Engine:
    made = tempfile.TemporaryDirectory()
    atexit.register(made.cleanup)
    folder = Path(made.name) / "snapshot"
    build(generate(users=40, items=90, events=1_500, seed=1).dataset, tiny.TINY, folder)
    return Engine.load(folder)


def attempt(seed: int) -> str:
    engine, call = _engine(), absurd.call(seed)
    before = engine.funnel.exposure.state().tensors
    try:
        pages = engine.recommend(**call)
    except (TypeError, ValueError) as error:
        refusal = str(error)
    else:
        assert all(len(set(page.items)) == len(page.items) for page in pages)
        return "answered"
    assert refusal.split(":")[0].split("[")[0] in absurd.ARGUMENTS, refusal
    after = engine.funnel.exposure.state().tensors
    assert all(tensor.equal(after[name]) for name, tensor in before.items())
    return "refused"
