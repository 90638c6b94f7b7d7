"""The two-tower channel: the items whose stored vectors are nearest a live user vector (Yi et al., RecSys 2019)."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from headrace.channels import channel
from headrace.channels.shared.pools import PoolRows, VectorChannel, check_pools, pool_states, pools_from, pools_of
from headrace.channels.shared.positives import Positives, positives_of
from headrace.channels.shared.publishing import recalled
from headrace.channels.shared.vector_index import (
    VectorIndex,
    build_index,
    check_index,
    index_of,
    index_state,
    nearest_items,
    recall_nearest,
)
from headrace.channels.two_tower.features import id_keys
from headrace.channels.two_tower.model import Features, Tower, TwoTowerModel
from headrace.channels.two_tower.objective import Objective, TwoTowerSettings
from headrace.channels.two_tower.warm import Rows, copy_tables
from headrace.data import Dataset
from headrace.kernels import TopKIndex
from headrace.state import State
from headrace.training.build import Build
from headrace.types import Candidates, Requests


@channel
@dataclass(eq=False)
class TwoTower(VectorChannel):
    """Recall by trained towers.

    users: the users' features. item_fields: field -> rows of the item tower's feature table.
    recent: int32 [U, n], each user's last positive items at the cut, newest first, -1 pad.
    known: bool [U], users the towers can tell apart: with a positive item or a feature; others get nothing.
    rows: int64 [M] ascending, the items recalled. vectors: float32 [M, dim], their unit vectors.
    user_keys, item_keys: int64 [U], [N], what stands for each external id when a later training starts from this one.
    index: what searches `vectors`, row by row, by inner product; an exact index where none is given. pools: the pools.
    """

    name = "two_tower"
    Settings = TwoTowerSettings

    model: TwoTowerModel
    users: Features
    item_fields: dict[str, int]
    recent: Tensor
    known: Tensor
    rows: Tensor
    vectors: Tensor
    user_keys: Tensor
    item_keys: Tensor
    index: InitVar[VectorIndex | None] = None
    pools: dict[str, PoolRows] = field(default_factory=dict)
    _index: VectorIndex = field(init=False, repr=False)

    def __post_init__(self, index: VectorIndex | None) -> None:
        self._index = TopKIndex(self.vectors) if index is None else index

    @classmethod
    def fit(cls, build: Build, settings: TwoTowerSettings) -> TwoTower:
        """Train on every interaction with interest, of the log and of the older history; each once an epoch.

        Where the build starts from an earlier engine, users and items are matched by their ids, and codes of features
        must mean what they meant then. Raises ValueError when there are no positives, a content vector is not finite,
        or the earlier channel has another `dim`, `hidden` or content width; ImportError, before any training, where the
        index needs FAISS and it is not installed.
        """
        check_index(settings)
        dataset = build.dataset
        check_pools(settings, dataset.users)
        with build.seeded():
            objective = Objective(build.store, build.once(positives_of), settings)
        rows = Rows(
            id_keys(dataset.users.ids),
            id_keys(dataset.catalogue.ids),
            objective.user_features.sizes,
            objective.item_features.sizes,
        )
        earlier = build.warm.get(cls.name)
        if isinstance(earlier, cls):
            copy_tables(earlier.model, earlier.table_rows, objective.model, rows)
        build.train(objective.model, len(objective.positives), objective, settings, cls.name)
        return cls._of(objective, rows, build)

    @classmethod
    @torch.no_grad()
    def _of(cls, objective: Objective, rows: Rows, build: Build) -> TwoTower:
        """The channel of the trained model, with each user's last positives at the end of the log."""
        dataset, positives, settings = build.dataset, objective.positives, objective.settings
        everyone = torch.arange(len(dataset.users))
        enough = objective.clicks >= settings.min_positives
        kept = (enough & torch.from_numpy(build.once(recalled))).nonzero().squeeze(1)
        vectors = objective.model.item_vectors(kept, objective.item_features, objective.content)
        return cls(
            objective.model.eval(),
            objective.user_features,
            rows.item_fields,
            recent=positives.last(everyone, positives.offsets[1:], settings.last_n).int(),
            known=_known(positives, dataset),
            rows=kept,
            vectors=vectors,
            user_keys=rows.user_keys,
            item_keys=rows.item_keys,
            index=build_index(vectors, settings, build.seed),
            pools=pools_of(build, settings, kept),
        )

    @property
    def table_rows(self) -> Rows:
        """What the rows of the model's tables stand for."""
        return Rows(self.user_keys, self.item_keys, self.users.sizes, self.item_fields)

    def recall(self, requests: Requests, quota: int) -> Candidates:
        """The `quota` items of largest cosine; score is the cosine (float32). Unknown users get none.

        An approximate index may bring fewer, or others, with their true cosines.
        Raises ValueError for a quota below 1 or a user row outside the table.
        """
        return recall_nearest(requests, quota, self.known, self.rows, self._index, self.user_vectors)

    @torch.no_grad()
    def user_vectors(self, users: Tensor) -> Tensor:
        """float32 [m, dim] unit vectors of the known `users` (int64 [m])."""
        recent = self.recent[users].long()
        return self.model.user_vectors(users, recent, self.users, torch.float64).float()

    def neighbours(self, items: Tensor, k: int) -> Candidates:
        """The items of nearest vectors; an item that is not recalled has none."""
        return nearest_items(items, k, self.rows, self.vectors, self._index)

    def state(self) -> State:
        """The weights under "model", the users' features under "users", an approximate index under "index", and every
        other tensor. The fields' sizes are lists of pairs: their order is that of the table."""
        users = {name: getattr(self.users, name) for name in ("offsets", "codes", "weights")}
        return State.of(
            model=State(dict(self.model.state_dict())),
            users=State(users),
            index=index_state(self._index),
            pools=pool_states(self.pools),
            user_fields=[list(pair) for pair in self.users.sizes.items()],
            item_fields=[list(pair) for pair in self.item_fields.items()],
            **{name: getattr(self, name) for name in _TENSORS},
        )

    @classmethod
    def from_state(cls, state: State) -> TwoTower:
        rows = state.tensor("rows", torch.int64, None, least=0, below="items", rising=True)
        known = state.tensor("known", torch.bool, "users")
        item_keys = state.tensor("item_keys", torch.int64, "items")
        model = _model_of(state.under("model"), len(known), len(item_keys))
        users = _features_of(state.under("users"), _fields_of(state, "user_fields", model.user), len(known))
        vectors = state.tensor("vectors", torch.float32, len(rows), model.user.inner.in_features)
        return cls(
            model.eval(),
            users,
            _fields_of(state, "item_fields", model.item),
            recent=state.tensor("recent", torch.int32, len(known), None, least=-1, below=len(item_keys)),
            known=known,
            rows=rows,
            vectors=vectors,
            user_keys=state.tensor("user_keys", torch.int64, len(known)),
            item_keys=item_keys,
            index=index_of(vectors, state.under("index")),
            pools=pools_from(state.under("pools"), len(rows)),
        )


def _model_of(state: State, users: int, items: int) -> TwoTowerModel:
    user, item = (len(state.tensor(f"{side}.fields.weight", torch.float32, None, None)) for side in ("user", "item"))
    hidden, dim = state.tensor("user.inner.weight", torch.float32, None, None).shape
    content = state.tensor("content.weight", torch.float32, None, None).shape[1] if "content.weight" in state else 0
    return state.module(lambda: TwoTowerModel(users, items, user, item, content, dim, hidden))


def _fields_of(state: State, name: str, tower: Tower) -> dict[str, int]:
    sizes = dict(state.fact(name, list[tuple[str, Annotated[int, Field(ge=1)]]], strict=False))
    if sum(sizes.values()) != tower.fields.num_embeddings:
        raise ValueError(f"{name}: expected {tower.fields.num_embeddings} rows in all, got {sum(sizes.values())}")
    return sizes


def _features_of(state: State, sizes: dict[str, int], users: int) -> Features:
    codes = state.tensor("codes", torch.int64, None, least=0, below=sum(sizes.values()))
    offsets = state.offsets("offsets", users, len(codes))
    return Features(offsets, codes, state.tensor("weights", torch.float32, len(codes)), sizes)


_TENSORS = ("recent", "known", "rows", "vectors", "user_keys", "item_keys")


def _known(positives: Positives, dataset: Dataset) -> Tensor:
    """bool [U]: users with a positive item or a feature."""
    known = positives.offsets.diff() > 0
    if dataset.users.features:
        codes = torch.stack([torch.from_numpy(codes) for codes in dataset.users.features.values()])
        known |= (codes >= 0).any(0)
    return known
