"""Channels that recall items whose vectors are near those of the user's last ones; they differ in the vectors."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from headrace.channels.shared.history import UserHistory, first_rows, user_history
from headrace.channels.shared.item_to_item import ItemToItem, ItemToItemSettings
from headrace.jagged import offsets_of
from headrace.kernels import TopKIndex
from headrace.training.build import Build

#: Items whose neighbours are looked for at a time.
_BLOCK = 4096

_C = TypeVar("_C", bound="VectorItems")


class VectorItemsSettings(ItemToItemSettings):
    """What every such channel can be told."""

    seeds: int = Field(
        default=0,
        ge=0,
        description="of a user's last items so many are drawn to start from, by turns of their categories; 0: all",
    )


class VectorItems(ItemToItem):
    """Neighbours by the cosine of vectors, where it is above 0; only items that somebody took an interest in have
    some."""

    @classmethod
    def of(
        cls: type[_C], build: Build, settings: VectorItemsSettings, known: Tensor, vectors: Tensor, recalled: Tensor
    ) -> _C:
        """known: int64 [M] rising, the items that have vectors; vectors: float32 [M, d]; recalled: bool [M], those that
        may be neighbours. An item whose vector has no length has none and is none's."""
        history = build.once(user_history, settings.last)
        norm = vectors.norm(dim=1, keepdim=True)
        has = norm.squeeze(1) > 0
        unit = vectors / norm.clamp_min(torch.finfo(torch.float32).tiny)
        rows = (has & recalled).nonzero().squeeze(1)
        met = torch.zeros(len(build.dataset.catalogue), dtype=torch.bool)
        met[history.item] = True
        seeds = (has & met[known]).nonzero().squeeze(1)
        counts, item, similarity = _nearest(unit, rows, seeds, settings.neighbours)
        lengths = torch.zeros(len(met), dtype=torch.int64)
        lengths[known[seeds]] = counts
        if settings.seeds:
            first = torch.from_numpy(build.dataset.catalogue.first_category().astype(np.int64))
            history = balanced(history, first, settings.seeds, build.seed)
        return cls(history, offsets_of(lengths), known[item], similarity)


def _nearest(unit: Tensor, rows: Tensor, seeds: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """(counts int64 [S], row int64 [n], cosine float32 [n]): the `k` of `rows` nearest to each of `seeds`."""
    counts, found, cosines = [rows[:0]], [rows[:0]], [unit[:0, 0]]
    if len(rows):
        index = TopKIndex(unit[rows])
        for part in seeds.split(_BLOCK):
            # One more than is wanted, as a seed is nearest to itself, or as near as another.
            cosine, place = index.search(unit[part], min(k + 1, len(rows)))
            row = torch.where(place >= 0, rows[place.clamp_min(0)], -1)
            kept = (row >= 0) & (row != part[:, None]) & (cosine > 0)
            kept &= kept.cumsum(1) <= k
            counts.append(kept.sum(1))
            found.append(row[kept])
            cosines.append(cosine[kept])
    else:
        counts.append(torch.zeros_like(seeds))
    return torch.cat(counts), torch.cat(found), torch.cat(cosines)


def balanced(history: UserHistory, category: Tensor, count: int, seed: int) -> UserHistory:
    """`count` items of each user, drawn by turns of the user's categories, one of each as long as it has some; still
    newest first. category: int64 [N], -1 unknown, which is one more."""
    user = torch.repeat_interleave(history.offsets.diff()).numpy()
    of_item = category[history.item].numpy()
    draw = np.random.default_rng(seed).permutation(len(user))
    order = np.lexsort((draw, of_item, user))
    turn = np.empty_like(order)
    first = np.ones(len(user), np.bool_)
    first[1:] = (np.diff(user[order]) != 0) | (np.diff(of_item[order]) != 0)
    turn[order] = np.arange(len(user)) - np.maximum.accumulate(np.where(first, np.arange(len(user)), 0))
    order = np.lexsort((draw, turn, user))
    offsets, kept = first_rows(user, len(history), count)
    chosen = torch.from_numpy(np.sort(order[kept]))
    return UserHistory(torch.from_numpy(offsets), history.item[chosen], history.interest[chosen], history.time[chosen])
