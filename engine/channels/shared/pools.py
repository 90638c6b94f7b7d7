"""Pools: more lists of one model, each of some of its items, for some of the users, and with a quota of its own."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headrace.channels import Channel
from headrace.channels.shared.newest_at import click_rates
from headrace.channels.shared.publishing import publish_times
from headrace.channels.shared.vector_index import PoolSettings, VectorSettings, recall_nearest
from headrace.data import Users
from headrace.kernels import TopKIndex
from headrace.state import State
from headrace.training.build import Build
from headrace.types import Candidates, Requests

_DAY_MS = 86_400_000
_NAME = re.compile(r"[a-z0-9_]+")


@dataclass(frozen=True, eq=False)
class PoolRows:
    """rows: int64 [P] rising, those of the channel's vectors that are in the pool. users: bool [U], who gets it."""

    rows: Tensor
    users: Tensor


class VectorChannel(Channel):
    """A channel that searches items by vectors. known: bool [U], the users that it can answer. rows: int64 [M] rising,
    the items recalled. vectors: float32 [M, d], theirs. pools: name -> what is in it."""

    personalised = True

    known: Tensor
    rows: Tensor
    vectors: Tensor
    pools: dict[str, PoolRows]

    @abstractmethod
    def user_vectors(self, users: Tensor) -> Tensor:
        """float32 [m, d] of known `users` (int64 [m])."""

    def parts(self) -> dict[str, Channel]:
        return {"": self} | {name: Pool(self, name, pool) for name, pool in self.pools.items()}


class Pool(Channel):
    """A pool of a vector channel: its model, searched in the pool's items alone, exactly."""

    personalised = True

    def __init__(self, source: VectorChannel, name: str, pool: PoolRows) -> None:
        self.name, self._source = f"{source.name}/{name}", source
        self._known = source.known & pool.users
        self._rows = source.rows[pool.rows]
        self._index = TopKIndex(source.vectors[pool.rows])

    @property
    def source(self) -> Channel:
        return self._source

    @classmethod
    def fit(cls, build: Build, settings: object) -> Pool:
        raise TypeError("a pool comes from its channel")

    def recall(self, requests: Requests, quota: int) -> Candidates:
        return recall_nearest(requests, quota, self._known, self._rows, self._index, self._source.user_vectors)

    def state(self) -> State:
        return self._source.state()

    @classmethod
    def from_state(cls, state: State) -> Pool:
        raise TypeError("a pool comes from its channel")


def check_pools(settings: VectorSettings, users: Users) -> None:
    """Raises ValueError for a name that cannot be and users that the dataset cannot tell, before any training."""
    for name, pool in settings.pools.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"pools: expected names of a to z, 0 to 9 and _, got {name!r:.40}")
        _group(name, pool, users)


def pools_of(build: Build, settings: VectorSettings, items: Tensor) -> dict[str, PoolRows]:
    """The pools of a channel that recalls `items` (int64 [M] rising)."""
    dataset, found = build.dataset, {}
    held = items.numpy()
    for name, pool in settings.pools.items():
        group = _group(name, pool, dataset.users)
        kept = np.ones(len(held), np.bool_)
        if pool.days is not None and len(dataset.log):
            oldest = int(dataset.log.time[-1]) + 1 - int(pool.days * _DAY_MS)
            kept &= build.once(_published)[held] >= oldest
        if pool.quality:
            kept &= click_rates(build, group if pool.users else None)[held] >= pool.quality
        found[name] = PoolRows(torch.from_numpy(np.flatnonzero(kept)), torch.from_numpy(group))
    return found


def _published(build: Build) -> NDArray[np.int64]:
    return publish_times(build.dataset.catalogue, build.logs)


def _group(name: str, pool: PoolSettings, users: Users) -> NDArray[np.bool_]:
    """bool [U]: the users who have all that the pool asks of them."""
    group = np.ones(len(users), np.bool_)
    for feature, text in pool.users.items():
        if feature not in users.features:
            known = ", ".join(users.features) or "none"
            raise ValueError(f"pools.{name}.users: expected features of the users ({known}), got {feature!r:.40}")
        codes, texts = users.features[feature], users.names.get(feature)
        words = [str(code) for code in range(int(codes.max(initial=-1)) + 1)] if texts is None else texts
        if text not in words:
            raise ValueError(f"pools.{name}.users.{feature}: expected one of {', '.join(words)}, got {text!r:.40}")
        group &= codes == words.index(text)
    return group


def pool_states(pools: Mapping[str, PoolRows]) -> State:
    return State.of(**{name: State.of(rows=pool.rows, users=pool.users) for name, pool in pools.items()})


def pools_from(state: State, items: int) -> dict[str, PoolRows]:
    """Undoes `pool_states`, of a channel that recalls `items`."""
    found = {}
    for name in sorted({key.split("/")[0] for key in state.tensors}):
        pool = state.under(name)
        rows = pool.tensor("rows", torch.int64, None, least=0, below=items, rising=True)
        found[name] = PoolRows(rows, pool.tensor("users", torch.bool, "users"))
    return found
