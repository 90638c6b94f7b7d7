"""States: what is taken from one fits, or is refused by name."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
import torch
from pydantic import Field
from torch import nn

from headrace.state import State

WRONG_FACTS: list[Any] = [
    ("on", int),
    ("size", str),
    ("half", int),
    ("names", list[int]),
    ("size", Annotated[int, Field(gt=3)]),
]
ROWS = {"users": 3, "items": 5}
STATE = State(
    {
        "item": torch.tensor([4, 0, 2]),
        "offsets": torch.tensor([0, 2, 2, 3]),
        "score": torch.tensor([0.5, -1.0]),
        "odd": torch.tensor([1, 7, 0], dtype=torch.uint8).view(torch.bool),
        "nan": torch.tensor([1.0, float("nan")]),
        "empty": torch.zeros(0, 4),
    },
    {"size": 3, "on": True, "names": ["a", "b"], "half": 0.5},
    ROWS,
)


def test_what_fits_is_given() -> None:
    assert STATE.tensor("item", torch.int64, 3, least=0, below="items") is STATE["item"]
    assert STATE.tensor("item", torch.int64, "users") is STATE["item"]
    assert STATE.offsets("offsets", "users", 3) is STATE["offsets"]
    assert STATE.tensor("score", torch.float32, None, least=-1) is STATE["score"]
    assert STATE.tensor("empty", torch.float32, None, 4, least=5) is STATE["empty"]
    assert STATE.fact("size", int) == 3
    assert STATE.fact("half", Annotated[float, Field(gt=0, le=1)]) == 0.5
    # Where the snapshot's rows are not known, there is nothing to check against.
    assert State(STATE.tensors).tensor("item", torch.int64, "items", below="items") is STATE["item"]
    assert State({"part/item": STATE["item"]}, {}, ROWS).under("part").rows == ROWS


@pytest.mark.parametrize(
    ("name", "dtype", "shape", "more", "said"),
    [
        ("item", torch.int32, (3,), {}, r"item: expected torch.int32 \[3\], got torch.int64 \[3\]"),
        ("item", torch.int64, (4,), {}, r"item: expected torch.int64 \[4\], got torch.int64 \[3\]"),
        ("item", torch.int64, ("items",), {}, r"item: expected torch.int64 \[5\], got"),
        ("item", torch.int64, (None, 1), {}, r"item: expected torch.int64 \[any, 1\], got"),
        ("item", torch.int64, (), {}, r"item: expected torch.int64 \[\], got"),
        ("item", torch.int64, (3,), {"below": "users"}, "item: expected numbers below 3, got 0 to 4"),
        ("item", torch.int64, (3,), {"least": 1}, "item: expected numbers from 1, got 0 to 4"),
        ("item", torch.int64, (3,), {"rising": True}, "item: expected rising numbers"),
        ("nan", torch.float32, (2,), {}, "nan: expected finite numbers, got nan to nan"),
        ("odd", torch.bool, (3,), {}, "odd: expected numbers from 0 below 2, got 0 to 7"),
        ("size", torch.int64, (), {}, "size: expected a tensor, got 3"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(name: str, dtype: Any, shape: Any, more: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        STATE.tensor(name, dtype, *shape, **more)


@pytest.mark.parametrize("numbers", [[], [0], [1, 2, 2, 3], [0, 2, 2, 4], [0, 2, 1, 3], [0, -1, 2, 3], [0, 3, 3]])
def test_offsets_that_are_none(numbers: list[int]) -> None:
    state = State({"o": torch.tensor(numbers, dtype=torch.int64)}, {}, ROWS)
    with pytest.raises(ValueError, match="o: expected"):
        state.offsets("o", "users", 3)


@pytest.mark.parametrize(("name", "kind"), WRONG_FACTS)
def test_facts_are_not_converted(name: str, kind: Any) -> None:
    with pytest.raises(ValueError, match=f"{name}: "):
        STATE.fact(name, kind)
    with pytest.raises(KeyError, match="expected one of item, offsets"):
        STATE.fact("nothing", kind)


def test_weights() -> None:
    def make() -> nn.Linear:
        return nn.Linear(3, 2)

    weights = {name: torch.randn_like(weight) for name, weight in make().state_dict().items()}
    assert torch.equal(State(weights).module(make).weight, weights["weight"])
    wrong: list[dict[str, torch.Tensor]] = [
        {"weight": weights["weight"]},
        {**weights, "more": torch.zeros(1)},
        {**weights, "bias": torch.zeros(3)},
        {**weights, "bias": torch.zeros(2, dtype=torch.float64)},
        {**weights, "bias": torch.full((2,), torch.inf)},
    ]
    for one in wrong:
        with pytest.raises(ValueError, match="expected"):
            State(one).module(make)
    # Nobody's memory holds this: it is refused before it is made.
    with pytest.raises(ValueError, match=r"weight: expected torch.float32 \[1099511627776, 1024\]"):
        State(weights).module(lambda: nn.Linear(2**10, 2**40))


def test_a_number_that_is_there_twice_is_refused() -> None:
    state = State({"item": torch.tensor([4, 0, 2, 0])})
    assert state.tensor("item", torch.int64, None) is state["item"]
    with pytest.raises(ValueError, match="item: expected each number once, got one twice"):
        state.tensor("item", torch.int64, None, distinct=True)
