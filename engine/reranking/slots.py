"""Slots: positions of a page that are given away before anything is picked, to pinned items or to one kind of item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from headrace.data.ids import IdMap
from headrace.jagged import offsets_of, top_per_segment
from headrace.reranking.rules import Rule, broken, name_of
from headrace.section import Section
from headrace.types import Candidates


class Pin(Section):
    """Puts an item at a position of every page."""

    item: int | str = Field(description="its external id")
    position: int = Field(ge=1, le=1000, description="on the page, from 1")


class Slots(Section):
    """Items of a kind (marked: those that operations promote) stand at these positions and nowhere else.

    The best of a request's candidates go there in order of score; where there are too few, others take the place.
    """

    kind: str = Field(default="marked", description="marked: items that operations promote; or another kind")
    positions: tuple[int, ...] = Field(min_length=1, description="on the page, from 1 to 1000")


def check_slots(pins: Sequence[Pin], slots: Sequence[Slots], rules: Sequence[Rule]) -> None:
    """Raises ValueError naming the setting when two claim one position, or a rule forbids what a slot asks for."""
    taken: dict[int, str] = {}
    item_at: dict[int | str, int] = {}
    for p, pin in enumerate(pins):
        if pin.item in item_at:
            raise ValueError(f"pins[{p}]: item {pin.item} is pinned to position {item_at[pin.item]} already")
        item_at[pin.item] = pin.position
        _claim(taken, pin.position, f"pins[{p}]")
    kinds: dict[str, int] = {}
    for s, given in enumerate(slots):
        if given.kind in kinds:
            raise ValueError(f"slots[{s}]: kind {given.kind} has its slots in slots[{kinds[given.kind]}] already")
        kinds[given.kind] = s
        for position in given.positions:
            if not 1 <= position <= 1000:
                raise ValueError(f"slots[{s}]: positions: expected 1 to 1000, got {position}")
            _claim(taken, position, f"slots[{s}]")
        _check_rules(s, given, rules)


def _claim(taken: dict[int, str], position: int, name: str) -> None:
    if position in taken:
        raise ValueError(f"{name}: position {position} is taken by {taken[position]}")
    taken[position] = name


def _check_rules(s: int, given: Slots, rules: Sequence[Rule]) -> None:
    """A kind of one code (marked) fills its own slots; a rule about it must leave room for all of them."""
    page = torch.full((1, max(given.positions)), -1)
    page[0, torch.tensor(given.positions) - 1] = 0
    about = [r for r, rule in enumerate(rules) if rule.kind == given.kind == "marked"]
    found = broken([rules[r] for r in about], {given.kind: torch.zeros(1, dtype=torch.int32)}, page)
    for r, at in zip(about, found[:, 0], strict=True):
        if bool(at.any()):
            position = int(at.nonzero()[0]) + 1
            raise ValueError(f"{name_of(rules, r)}: contradicts slots[{s}], which puts {given.kind} at {position}")


def check_slot_kinds(slots: Sequence[Slots], kinds: Mapping[str, Tensor]) -> None:
    """Raises ValueError when slots name a column of kinds that there is not."""
    for s, given in enumerate(slots):
        if given.kind not in kinds:
            raise ValueError(f"slots[{s}]: kind: expected one of {', '.join(sorted(kinds))}, got {given.kind!r}")


def pinned_rows(pins: Sequence[Pin], ids: IdMap) -> Tensor:
    """int64 [P]: the catalogue's row of each pinned item. Raises ValueError for one that is not there."""
    if not pins:
        return torch.zeros(0, dtype=torch.int64)
    try:
        rows = ids.rows(np.array([pin.item for pin in pins]))
    except TypeError as error:
        raise ValueError(f"pins: item: {error}") from error
    for p in np.flatnonzero(rows < 0).tolist():
        raise ValueError(f"pins[{p}]: item {pins[p].item!r} is not in the catalogue")
    return torch.from_numpy(rows)


def check_pins(pins: Sequence[Pin], rows: Tensor, rules: Sequence[Rule], kinds: Mapping[str, Tensor]) -> None:
    """Raises ValueError naming the rule when items break it where they are pinned. rows: int64, each pin's item."""
    if not pins:
        return
    page = torch.full((1, max(pin.position for pin in pins)), -1)
    page[0, torch.tensor([pin.position for pin in pins]) - 1] = rows
    found = broken(rules, kinds, page)[:, 0]
    for r, p in found.nonzero().tolist():
        pin = next(pin for pin in pins if pin.position == p + 1)
        raise ValueError(f"{name_of(rules, r)}: contradicts pins, which put item {pin.item} at position {pin.position}")


@dataclass(frozen=True)
class Placed:
    """Candidates with the positions that are given away.

    candidates: what may be shown: the given ones with pinned items added, and without those of a kind that has slots
    but got none. pinned: int64 [B, k], the entry inside each request's list that a position is given to, or -1.
    reward: float32 [nnz], the given rewards; 0 for an added item.
    """

    candidates: Candidates
    pinned: Tensor
    reward: Tensor


def place(
    candidates: Candidates,
    reward: Tensor,
    k: int,
    pins: Sequence[Pin],
    rows: Tensor,
    slots: Sequence[Slots],
    kinds: Mapping[str, Tensor],
) -> Placed:
    """Gives pinned items and the best of each kind with slots their positions on pages of `k`.

    A pinned item that a request's candidates lack is added with score 0, no channels and columns of 0. Positions past
    the end of a page are not given away: such an item competes for its place as any other.
    """
    here = [p for p, pin in enumerate(pins) if pin.position <= k]
    candidates, reward = _with_items(candidates, reward, rows[here])
    request = candidates.request
    nth = torch.arange(len(candidates)) - candidates.offsets[request]
    # The page's position that an entry gets; the pinned items are the first of every request.
    given = torch.tensor([pins[p].position - 1 for p in here] + [-1])[nth.clamp_max(len(here))]
    keep = torch.ones(len(candidates), dtype=torch.bool)
    for slot in slots:
        entry = ((kinds[slot.kind][candidates.item] >= 0) & (given < 0)).nonzero().squeeze(1)
        positions = torch.tensor(sorted(p - 1 for p in slot.positions if p <= k), dtype=torch.int64)
        offsets = offsets_of(torch.bincount(request[entry], minlength=candidates.batch))
        best, offsets = top_per_segment(offsets, candidates.score[entry], candidates.item[entry], len(positions))
        keep[entry] = False
        keep[entry[best]] = True
        given[entry[best]] = positions[torch.arange(len(best)) - offsets[request[entry[best]]]]
    candidates, reward, given = candidates.keep(keep), reward[keep], given[keep]
    pinned = torch.full((candidates.batch, k), -1)
    nth = torch.arange(len(candidates)) - candidates.offsets[candidates.request]
    there = (given >= 0) & (given < candidates.counts[candidates.request])
    pinned[candidates.request[there], given[there]] = nth[there]
    return Placed(candidates, pinned, reward)


def _with_items(candidates: Candidates, reward: Tensor, rows: Tensor) -> tuple[Candidates, Tensor]:
    """Every request's candidates with the items `rows` (int64 [P]) moved or added to their front, in that order."""
    if not len(rows):
        return candidates, reward
    batch, n = candidates.batch, len(candidates)
    owner = candidates.request
    at = candidates.item[:, None] == rows
    found = torch.full((batch, len(rows)), n)
    entry, which = at.nonzero(as_tuple=True)
    found[owner[entry], which] = entry
    rest = (~at.any(1)).nonzero().squeeze(1)
    request = torch.cat([torch.arange(batch).repeat_interleave(len(rows)), owner[rest]])
    order = torch.argsort(request, stable=True)
    index = torch.cat([found.flatten(), rest])[order]
    # One more entry, of zeros, stands for an item that was not there.
    longer = Candidates(
        candidates.offsets,
        _longer(candidates.item),
        _longer(candidates.score),
        _longer(candidates.channels),
        {name: _longer(column) for name, column in candidates.columns.items()},
    )
    taken = longer.take(index, offsets_of(torch.bincount(request, minlength=batch)))
    item = torch.cat([rows.repeat(batch), candidates.item[rest]])[order]
    return Candidates(taken.offsets, item, taken.score, taken.channels, taken.columns), _longer(reward)[index]


def _longer(column: Tensor) -> Tensor:
    return torch.cat([column, column.new_zeros((1, *column.shape[1:]))])
