"""Warm start: the towers of an earlier training, carried over to grown tables."""

from __future__ import annotations

from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from headrace.channels.two_tower.model import TwoTowerModel


class Rows(NamedTuple):
    """What the rows of a model's tables stand for.

    user_keys, item_keys: int64 [U], [N], what stands for each external id. user_fields, item_fields: field -> rows of
    the tower's feature table.
    """

    user_keys: Tensor
    item_keys: Tensor
    user_fields: dict[str, int]
    item_fields: dict[str, int]


@torch.no_grad()
def copy_tables(initial: TwoTowerModel, before: Rows, model: TwoTowerModel, after: Rows) -> None:
    """Copy into `model` all that `initial` knows; rows of new users, items and codes keep their fresh start.

    Raises ValueError when the widths differ.
    """
    old, new = initial.state_dict(), model.state_dict()
    if differs := sorted(old.keys() ^ new.keys()):
        raise ValueError(f"initial: expected content vectors in both trainings or in neither, got {differs} in one")
    grown = {
        "user_id.weight": _by_key(before.user_keys, after.user_keys),
        "item_id.weight": _by_key(before.item_keys, after.item_keys),
        "user.fields.weight": _by_field(before.user_fields, after.user_fields),
        "item.fields.weight": _by_field(before.item_fields, after.item_fields),
    }
    for name, tensor in new.items():
        if name in grown and old[name].shape[1:] == tensor.shape[1:]:
            source, target = grown[name]
            tensor[target] = old[name][source]
        elif old[name].shape == tensor.shape:
            tensor.copy_(old[name])
        else:
            raise ValueError(f"initial: expected {name} of shape {list(tensor.shape)}, got {list(old[name].shape)}")


def _by_key(old: Tensor, new: Tensor) -> tuple[Tensor, Tensor]:
    """(rows of the old table, rows of the new one) of the ids in both, and of row 0, "unknown"."""
    if not len(old):
        return torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
    keys, order = old.sort(stable=True)
    place = torch.searchsorted(keys, new).clamp_max(len(keys) - 1)
    target = (keys[place] == new).nonzero().squeeze(1)
    zero = torch.zeros(1, dtype=torch.int64)
    return torch.cat([zero, order[place[target]] + 1]), torch.cat([zero, target + 1])


def _by_field(old: dict[str, int], new: dict[str, int]) -> tuple[Tensor, Tensor]:
    """(rows of the old table, rows of the new one) of the codes that both hold, field by field."""
    before, after = (dict(zip(sizes, accumulate(sizes.values(), initial=0), strict=False)) for sizes in (old, new))
    shared = [(before[name], after[name], min(old[name], new[name])) for name in new if name in old]
    source = [torch.arange(at, at + size) for at, _, size in shared]
    target = [torch.arange(at, at + size) for _, at, size in shared]
    none = torch.zeros(0, dtype=torch.int64)
    return torch.cat([none, *source]), torch.cat([none, *target])
