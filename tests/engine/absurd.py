"""Absurd calls of `Engine.recommend`: every value that somebody might hand over by mistake."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import torch

NAN, INF = float("nan"), float("inf")


class Loud:
    """Nothing can be asked of it."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")

    def __len__(self) -> int:
        raise RuntimeError("no length")


def one_by_one() -> Iterator[int]:
    yield from range(3)


ABSURD: list[Any] = [
    *(None, True, False, 0, 1, -1, 7, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**30, 2 ** (10**5), 1.0, NAN, INF),
    *("", "42", "a\x00", "\ud800", "é" * 50, b"42", bytearray(b"1"), (), [], {}, set(), {1}, {"device": 1}, range(3)),
    *([1, "2"], ["42", 7], [None], [NAN], [True], [1.0], [[1]], [b"1"], [2**63], [Loud()], Loud(), Loud, object()),
    *(np.int64(3), np.float32(3), np.array(3), np.array([1, 2]), np.array([1.0]), np.array([[1]]), np.array(["1"])),
    *(np.array([2**64 - 1], np.uint64), np.array([1, 2], np.uint8), np.array([object()]), np.array([True])),
    *(np.zeros(0), np.array(["2020-01-01"], "M8[ms]"), np.array([1 + 2j]), torch.tensor([1, 2]), torch.tensor(3)),
    *(torch.tensor([1.5]), torch.zeros(2, 2), torch.tensor([True]), pa.array([1, 2]), deque([1, 2]), one_by_one),
    *(
        one_by_one(),
        Decimal(3),
        3 + 0j,
        {"device": [1]},
        {"device": "1"},
        {"device": [1.9]},
        {"device": None},
        {"nobody": [1]},
    ),
    *({3: [1]}, {None: None}, {"device": [[1]]}, {"device": [2**70]}, {"device": Loud()}, {"device": np.array([1])}),
    *({"device": [True]}, {"device": []}, {"": [0]}),
]
ARGUMENTS = ("user_ids", "k", "at", "context", "blocked", "reasons", "record")


def calls(seed: int, count: int) -> Iterator[dict[str, Any]]:
    """Every value in the place of every argument of a call, then several at a time."""
    for name in ARGUMENTS:
        for value in ABSURD:
            yield {"user_ids": [1], name: value}
    for number in range(count):
        yield call(seed + number)


def call(seed: int) -> dict[str, Any]:
    """Up to four arguments at a time."""
    rng = random.Random(seed)
    return {"user_ids": [1, 2], **{name: rng.choice(ABSURD) for name in rng.sample(ARGUMENTS, rng.randint(1, 4))}}
