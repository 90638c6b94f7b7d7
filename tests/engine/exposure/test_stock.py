"""How long items stay in stock."""

from __future__ import annotations

import dataclasses

import torch

from headrace.data import Dataset
from headrace.exposure.stock import DAY_MS, Stock
from headrace.state import State


def test_an_item_is_as_old_as_it_was_when_the_log_ended(small_log: Dataset) -> None:
    end = int(small_log.log.time[-1]) + 1
    stock = Stock.of(small_log, recall_days=30)
    published = torch.tensor([end - 31 * DAY_MS, end - 29 * DAY_MS, -1]).repeat(200)[: len(stock)]
    stock = dataclasses.replace(stock, published=published)
    item = torch.arange(3)

    def old(days: float, of: Stock = stock) -> list[bool]:
        return of.old(torch.tensor([end + int(days * DAY_MS)]), torch.tensor([0, 3]), item).tolist()

    assert old(0) == old(1) == old(7) == old(365) == [True, False, False]
    # Within the log the clock is the request's own.
    assert old(-2) == [False, False, False]
    kept = Stock.from_state(stock.state())
    assert old(365, kept) == [True, False, False]
    # A snapshot of before the moment was kept lets its items age.
    state = stock.state()
    facts = {name: fact for name, fact in state.facts.items() if name != "as_of"}
    assert old(7, Stock.from_state(State(state.tensors, facts))) == [True, True, False]
