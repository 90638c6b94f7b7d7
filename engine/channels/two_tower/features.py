"""The features that the towers read, as ragged codes of one table for each tower."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headrace.channels.two_tower.model import Features
from headrace.data.dataset import Catalogue, Jagged, Users
from headrace.data.ids import IdMap


def user_features(users: Users) -> Features:
    """Every feature of the users."""
    return _features(len(users), users.features, {})


def item_features(catalogue: Catalogue) -> Features:
    """Author, city, duration bucket (two to an octave of seconds) and the bag of categories, where known."""
    fields = {"author": catalogue.author, "city": catalogue.city}
    if catalogue.duration_ms is not None:
        octaves = np.log2(np.maximum(catalogue.duration_ms, 1000) / 1000)
        bucket = np.minimum(2 * octaves, 31).astype(np.int32)
        fields["duration"] = np.where(catalogue.duration_ms < 0, -1, bucket)
    bags = {} if catalogue.category is None else {"category": catalogue.category}
    return _features(len(catalogue), {name: codes for name, codes in fields.items() if codes is not None}, bags)


def item_content(catalogue: Catalogue) -> Tensor | None:
    """float32 [N, c]: the content vectors at unit length, or None. Raises ValueError when one is not finite."""
    if catalogue.vector is None:
        return None
    content = torch.from_numpy(catalogue.vector)
    if not bool(content.isfinite().all()):
        raise ValueError("catalogue.vector: expected finite values, got NaN or infinity")
    return torch.nn.functional.normalize(content, dim=1)


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


def _features(rows: int, fields: dict[str, NDArray[np.int32]], bags: dict[str, Jagged]) -> Features:
    """Fields and bags in the order of their names, one after another in the table; code -1 is a field's first row."""
    row, code, weight = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
    sizes: dict[str, int] = {}
    base = 0
    for name in sorted({*fields, *bags}):
        if name in fields:
            owner, codes = np.arange(rows), fields[name].astype(np.int64)
            share = np.ones(rows, np.float32)
        else:
            owner, codes = _bag(bags[name])
            share = (1 / np.bincount(owner, minlength=rows)).astype(np.float32)[owner]
        row.append(owner)
        code.append(codes + 1 + base)
        weight.append(share)
        sizes[name] = int(codes.max(initial=-1)) + 2
        base += sizes[name]
    owners = np.concatenate(row)
    order = np.argsort(owners, kind="stable")
    return Features(
        torch.from_numpy(np.searchsorted(owners[order], np.arange(rows + 1))),
        torch.from_numpy(np.concatenate(code)[order]),
        torch.from_numpy(np.concatenate(weight)[order]),
        sizes,
    )


def _bag(bag: Jagged) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(row, code) of each value; an empty bag holds one unknown code."""
    counts = np.diff(bag.offsets)
    empty = np.flatnonzero(counts == 0)
    owner = np.concatenate([np.repeat(np.arange(len(counts)), counts), empty])
    return owner, np.concatenate([bag.values.astype(np.int64), np.full(len(empty), -1, np.int64)])
