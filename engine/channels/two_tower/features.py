"""The features that the towers read, as ragged codes of one table for each tower."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from headrace.channels.two_tower.model import Features
from headrace.data.ids import IdMap
from headrace.features import FeatureStore
from headrace.features.bags import Bags
from headrace.features.families.content import Content
from headrace.features.families.items import ItemCodes
from headrace.features.families.users import UserCodes
from headrace.jagged import segment_of


def user_features(store: FeatureStore) -> Features:
    """Every feature of the users; the user itself has a table of its own."""
    users = store.family(UserCodes)
    assert users is not None
    return joined(len(users.codes) - 1, {n: users.codes[1:, 1 + f] for f, n in enumerate(users.sizes)}, users.sizes)


def item_features(store: FeatureStore) -> Features:
    """Author, city, duration bucket and all categories, where known; the item itself has a table of its own."""
    items = store.family(ItemCodes)
    assert items is not None
    bags = {} if items.categories is None else {"category": items.categories}
    codes = {name: items.codes[:, 1 + f] for f, name in enumerate(items.sizes) if name not in bags}
    return joined(len(items.codes), codes, items.sizes, bags)


def item_content(store: FeatureStore) -> Tensor | None:
    """float32 [N, c]: the content vectors at unit length, or None."""
    content = store.family(Content)
    return None if content is None else content.vectors


def id_keys(ids: IdMap) -> Tensor:
    """int64 [n]: each integer id itself, or a 64-bit FNV-1a hash of each string id."""
    if ids.ids.dtype.kind != "U":
        return torch.from_numpy(ids.ids.astype(np.int64))
    letters = np.ascontiguousarray(ids.ids).view(np.uint32).reshape(len(ids), -1).T
    keys = np.full(len(ids), 0xCBF29CE484222325, np.uint64)
    for column in letters:
        # Zeros pad short strings; they must not count, or the key would depend on the longest id.
        keys = np.where(column > 0, (keys ^ column) * np.uint64(0x100000001B3), keys)
    return torch.from_numpy(keys.view(np.int64))


def joined(rows: int, codes: dict[str, Tensor], sizes: dict[str, int], bags: dict[str, Bags] | None = None) -> Features:
    """Codes (int32 [rows] each) and bags as codes of one table, in the order of their names; a row without anything in
    a bag has its unknown code. Each of several codes in a bag has an equal share of the weight."""
    lists = [torch.zeros(0, dtype=torch.int64)]
    owners, weights, known = lists.copy(), [torch.zeros(0, dtype=torch.float32)], {}
    base = 0
    for name in sorted({*codes, *(bags or {})}):
        if name in codes:
            owner, code, share = torch.arange(rows), codes[name].long(), torch.ones(rows, dtype=torch.float32)
        else:
            owner, code, share = _shared((bags or {})[name])
        known[name] = (bags or {})[name].size if name not in codes else sizes[name]
        owners.append(owner)
        lists.append(code + base)
        weights.append(share)
        base += known[name]
    every = torch.cat(owners)
    order = torch.argsort(every, stable=True)
    offsets = torch.searchsorted(every[order], torch.arange(rows + 1))
    return Features(offsets, torch.cat(lists)[order], torch.cat(weights)[order], known)


def _shared(bag: Bags) -> tuple[Tensor, Tensor, Tensor]:
    """Row, code and weight of each entry, an unknown one for an empty bag."""
    counts = bag.offsets.diff()
    empty = (counts == 0).nonzero()[:, 0]
    owner = torch.cat([segment_of(bag.offsets), empty])
    code = torch.cat([bag.codes.long(), torch.zeros_like(empty)])
    return owner, code, (1 / counts.clamp_min(1).double()).float()[owner]
