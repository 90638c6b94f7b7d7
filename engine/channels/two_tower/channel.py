"""The two-tower channel: the items whose stored vectors are nearest a live user vector (Yi et al., RecSys 2019)."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field

import torch
from torch import Tensor

from headrace.channels.shared.vector_index import VectorIndex, build_index, index_of, index_state, recall_nearest
from headrace.channels.two_tower.model import Features, TwoTowerModel
from headrace.types import Candidates, Requests


@dataclass(eq=False)
class TwoTower:
    """Recall by trained towers. `headrace.channels.two_tower.objective.train_two_tower` makes one.

    users: the users' features. item_fields: field -> rows of the item tower's feature table.
    recent: int32 [U, n], each user's last positive items at the cut, newest first, -1 pad.
    known: bool [U], users the towers can tell apart: with a positive item or a feature; others get nothing.
    rows: int64 [M] ascending, the items recalled. vectors: float32 [M, dim], their unit vectors.
    user_keys, item_keys: int64 [U], [N], what stands for each external id when a later training starts from this one.
    index: what searches `vectors`, row by row, by inner product; an exact index where none is given.
    """

    name = "two_tower"
    personalised = True

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
    _index: VectorIndex = field(init=False, repr=False)

    def __post_init__(self, index: VectorIndex | None) -> None:
        self._index = build_index(self.vectors, "exact") if index is None else index

    def recall(self, requests: Requests, quota: int) -> Candidates:
        """The `quota` items of largest cosine; score is the cosine (float32). Unknown users get none.

        An approximate index may bring fewer, or others, with their true cosines.
        Items that the user has seen are not left out: the exposure filter does that.
        Raises ValueError for a quota below 1 or a user row outside the table.
        """
        return recall_nearest(requests, quota, self.known, self.rows, self._index, self.user_vectors)

    @torch.inference_mode()
    def user_vectors(self, users: Tensor) -> Tensor:
        """float32 [m, dim] unit vectors of the known `users` (int64 [m])."""
        recent = self.recent[users].long()
        return self.model.user_vectors(users, recent, self.users, torch.float64).float()

    def state(self) -> dict[str, Tensor]:
        """The weights under "model.", the users' features under "user.", an approximate index under "index.", the
        fields' sizes, and every other tensor."""
        return {
            **{f"model.{name}": tensor for name, tensor in self.model.state_dict().items()},
            **{f"user.{name}": getattr(self.users, name) for name in ("offsets", "codes", "weights")},
            **{f"user_field.{name}": torch.tensor(size) for name, size in self.users.sizes.items()},
            **{f"item_field.{name}": torch.tensor(size) for name, size in self.item_fields.items()},
            **index_state(self._index),
            **{name: getattr(self, name) for name in _TENSORS},
        }

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> TwoTower:
        weights = _under("model.", state)
        content = weights.get("content.weight")
        hidden, dim = weights["user.inner.weight"].shape
        model = TwoTowerModel(
            len(weights["user_id.weight"]) - 1,
            len(weights["item_id.weight"]) - 1,
            len(weights["user.fields.weight"]),
            len(weights["item.fields.weight"]),
            0 if content is None else content.shape[1],
            dim,
            hidden,
        )
        model.load_state_dict(weights)
        users = Features(**_under("user.", state), sizes=_sizes("user_field.", state))
        tensors = {name: state[name] for name in _TENSORS}
        return cls(
            model.eval(), users, _sizes("item_field.", state), **tensors, index=index_of(tensors["vectors"], state)
        )


_TENSORS = ("recent", "known", "rows", "vectors", "user_keys", "item_keys")


def _under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _sizes(prefix: str, state: dict[str, Tensor]) -> dict[str, int]:
    # Fields stand in the table in the order of their names, whatever order the state was read in.
    return {name: int(size) for name, size in sorted(_under(prefix, state).items())}
