"""A build goes on from checkpoints of the same job alone: whatever a training depends on is in its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from tiny import ROWS, TINY

import headrace.build as building
from headrace.build import build
from headrace.data import Dataset, IdMap, generate, read
from headrace.data.dataset import InteractionLog
from headrace.fingerprint import fingerprint
from headrace.state import State

DATA = replace(generate(30, 60, 500, seed=5).dataset, history=generate(30, 60, 50, seed=6).dataset.log)


def other(column: np.ndarray) -> np.ndarray:
    """The same but for one value."""
    out = column.copy()
    out[len(out) // 2] = 1 - out[len(out) // 2]
    return out


def log_with(log: InteractionLog, **changed: object) -> InteractionLog:
    return replace(log, **changed)  # type: ignore[arg-type]


CHANGES: dict[str, Callable[[Dataset], Dataset]] = {
    "user": lambda d: d.with_log(log_with(d.log, user=other(d.log.user))),
    "click": lambda d: d.with_log(log_with(d.log, signals=d.log.signals | {"click": other(d.log.signals["click"])})),
    "a signal less": lambda d: d.with_log(log_with(d.log, signals={"click": d.log.signals["click"]})),
    "signals by other names": lambda d: d.with_log(
        log_with(d.log, signals={"like": d.log.signals["click"], "click": d.log.signals["like"]})
    ),
    "play time": lambda d: d.with_log(log_with(d.log, play_time_ms=other(d.log.play_time_ms))),  # type: ignore[arg-type]
    "no play time": lambda d: d.with_log(log_with(d.log, play_time_ms=None)),
    "context": lambda d: d.with_log(
        log_with(d.log, context=d.log.context | {"device": other(d.log.context["device"])})
    ),
    "words": lambda d: replace(d, context_names={"device": ["x", "y", "z"]}),
    "history": lambda d: replace(d, history=log_with(d.history, item=other(d.history.item))),  # type: ignore[union-attr, arg-type]
    "no history": lambda d: replace(d, history=None),
    "users": lambda d: replace(d, users=replace(d.users, features={})),
    "ids": lambda d: replace(d, users=replace(d.users, ids=IdMap(np.arange(7, 7 + len(d.users))))),
    "author": lambda d: replace(d, catalogue=replace(d.catalogue, author=other(d.catalogue.author))),  # type: ignore[arg-type]
    "vector": lambda d: replace(d, catalogue=replace(d.catalogue, vector=other(d.catalogue.vector))),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("change", CHANGES)
def test_everything_in_the_data_counts(change: str) -> None:
    assert fingerprint(CHANGES[change](DATA), TINY, {}) != fingerprint(DATA, TINY, {})


def test_so_do_settings_and_what_training_starts_from() -> None:
    weight = torch.arange(6.0)
    names = [
        fingerprint(DATA, TINY, {}),
        fingerprint(DATA, TINY.model_copy(update={"seed": 1}), {}),
        fingerprint(DATA, TINY, {"ranker": State.of(weight=weight)}),
        fingerprint(DATA, TINY, {"ranker": State.of(weight=weight + 1)}),
        fingerprint(DATA, TINY, {"ranker": State.of(weight=weight, model="mmoe")}),
        fingerprint(DATA, TINY, {"preranker": State.of(weight=weight)}),
        fingerprint(DATA, TINY, {"ranker": State.of(weight=weight.reshape(2, 3))}),
        fingerprint(DATA, TINY, {"ranker": State.of(weight=torch.zeros(0))}),
        fingerprint(DATA, TINY, {"ranker": State.of(weight=torch.tensor(1, dtype=torch.bfloat16))}),
    ]
    assert len(set(names)) == len(names)


def test_what_training_does_not_see_does_not_count() -> None:
    again = replace(generate(30, 60, 500, seed=5).dataset, history=generate(30, 60, 50, seed=6).dataset.log)
    assert fingerprint(replace(again, name="elsewhere", notes=("read",)), TINY, {}) == fingerprint(DATA, TINY, {})


def test_code_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint(DATA, TINY, {})
    monkeypatch.setattr("headrace.fingerprint._code", lambda: "another")
    assert fingerprint(DATA, TINY, {}) != before


def test_models_of_other_labels_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted with one set of labels, gone on with another: as if there had been no first."""
    some = (np.arange(ROWS) % 3 == 0).astype(np.int8)
    first, second = (read(tiny.write(tmp_path / name, click=click)) for name, click in (("a", some), ("b", 1 - some)))
    whole = build(second, TINY, tmp_path / "whole").engine

    def cut(*parts: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(building, "assemble", cut)
        with pytest.raises(KeyboardInterrupt):
            build(first, TINY, tmp_path / "cut")
    again = build(second, TINY, tmp_path / "cut").engine
    for name, weight in again.funnel.ranker.network.state_dict().items():
        assert torch.equal(weight, whole.funnel.ranker.network.state_dict()[name]), name
