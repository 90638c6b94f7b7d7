"""Absurd calls of `Engine.recommend`: pages, or an error of the right type that names the argument."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import absurd
import numpy as np
import pytest
import torch

from headrace.data import Dataset, IdMap
from headrace.serving import Engine


@pytest.fixture(scope="module")
def narrow(snapshot: Path) -> Engine:
    return Engine.load(snapshot)


def test_absurd_calls_name_the_argument(narrow: Engine) -> None:
    answered = refused = 0
    for call in absurd.calls(seed=1, count=200):
        before, counted = narrow.funnel.exposure.state(), dict(narrow.counters)
        # A page of billions is a matter of memory, not of types.
        if isinstance(call.get("k"), int) and 1000 < call["k"] < 2**31:
            continue
        try:
            pages = narrow.recommend(**call)
        except (TypeError, ValueError) as error:
            refused += 1
            message = str(error)
            assert message.split(":")[0].split("[")[0] in absurd.ARGUMENTS, (call.keys(), message)
            assert "expected" in message
            assert len(message) < 400, message
            assert narrow.counters == counted
            after = narrow.funnel.exposure.state()
            assert all(torch.equal(after.tensors[name], tensor) for name, tensor in before.tensors.items())
        else:
            answered += 1
            assert all(type(page.user) in (int, str) for page in pages)
            json.dumps([dataclasses.asdict(page) for page in pages])
    assert answered > 20
    assert refused > 300


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            {"user_ids": ["42", 7]},
            TypeError,
            "user_ids: expected integer ids, as the snapshot's are, got str '42' at 0",
        ),
        ({"user_ids": [7, "42"]}, TypeError, "user_ids: expected integer ids, .* got str '42' at 1"),
        ({"user_ids": "42"}, TypeError, "user_ids: expected a sequence of ids, got str '42'"),
        ({"user_ids": {1, 2}}, TypeError, "user_ids: expected a sequence of ids, got set"),
        ({"user_ids": 42}, TypeError, "user_ids: expected a sequence of ids, got int 42"),
        (
            {"user_ids": [1, 2**63]},
            ValueError,
            "user_ids: expected integers that fit int64, got int 9223372036854775808 at 1",
        ),
        ({"user_ids": np.zeros((2, 2), np.int64)}, ValueError, r"user_ids: expected one dimension, got shape \(2, 2\)"),
        ({"k": 2**63}, ValueError, "k: expected at most 2147483647, got 9223372036854775808"),
        ({"k": 0}, ValueError, "k: expected at least 1, got 0"),
        ({"k": 2.0}, TypeError, "k: expected an integer, got float 2.0"),
        ({"k": True}, TypeError, "k: expected an integer, got True"),
        ({"at": float("nan")}, TypeError, "at: expected an integer, milliseconds since the epoch, got float nan"),
        ({"at": 10**30}, ValueError, "at: expected milliseconds since the epoch within 10 years of .*, got 1"),
        ({"context": [1]}, TypeError, r"context: expected a mapping of names to codes, got list"),
        (
            {"context": {"device": [1.9]}},
            TypeError,
            r"context\['device'\]: expected words or whole numbers, one a user, got list \[1.9\]",
        ),
        ({"context": {"device": [1, 2]}}, ValueError, r"context\['device'\]: expected 1 values, one a user, got 2"),
        ({"blocked": {"item": [1]}}, TypeError, "blocked: expected 1 mappings, one a user, got one mapping"),
        ({"blocked": [[1]]}, TypeError, r"blocked\[0\]: expected a mapping of kinds to ids, got list \[1\]"),
        ({"blocked": [{"item": "1"}]}, TypeError, r"blocked\[0\]: item: expected a sequence of ids, got str '1'"),
        ({"reasons": "yes"}, TypeError, "reasons: expected True or False, got str 'yes'"),
        ({"user_ids": [], "record": 1}, TypeError, "record: expected True or False, got int 1"),
    ],
)
def test_what_is_said(narrow: Engine, call: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        narrow.recommend(**{"user_ids": [1], **call})


@pytest.mark.parametrize(
    "ids",
    [
        (1, 2),
        range(1, 3),
        np.array([1, 2], np.int32),
        np.array([1, 2], np.uint64),
        torch.tensor([1, 2]),
        [np.int64(1), 2],
    ],
)
def test_ids_of_every_kind_are_those_integers(narrow: Engine, ids: Any) -> None:
    pages = narrow.recommend(ids, np.int64(3), at=np.int64(narrow.as_of), reasons=np.bool_(False))
    assert pages == narrow.recommend([1, 2], 3)
    assert json.loads(json.dumps([page.user for page in pages])) == [1, 2]


def test_string_ids(engine: Engine, small_log: Dataset) -> None:
    ids = IdMap([f"user {number:05}" for number in small_log.users.ids.ids.tolist()])
    named = Engine(engine.funnel, ids, engine.items, engine.as_of, engine.settings)
    words = ["user 00001", "user 00002"]
    pages = named.recommend(words, 3)
    assert [page.items for page in pages] == [page.items for page in engine.recommend([1, 2], 3)]
    assert named.recommend(np.array(words), 3) == named.recommend(np.array(words, object), 3) == pages
    assert [type(page.user) for page in named.recommend(np.array(words), 3)] == [str, str]
    for given, kind, message in [
        ([1], TypeError, "user_ids: expected string ids, as the snapshot's are, got int 1 at 0"),
        (["a", 7], TypeError, "got int 7 at 1"),
        (["a", None], TypeError, "got NoneType None at 1"),
        (["a\0"], ValueError, "user_ids: expected strings without NUL"),
        (["\ud800"], ValueError, "user_ids: expected strings without NUL characters and lone surrogates"),
    ]:
        with pytest.raises(kind, match=message):
            named.recommend(given)  # type: ignore[arg-type]
