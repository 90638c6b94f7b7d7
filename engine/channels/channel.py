"""What every recall channel is: a name, a batched recall, and a state that a snapshot can hold."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from headrace.types import Candidates, Requests


class Channel(Protocol):
    """One way to find candidates.

    `recall` returns at most `quota` items for each request, best first, each item once, `score` on the channel's own
    scale and `channels` zero (the merge sets the bit). A request the channel can say nothing about gets none.
    `state` holds all that `from_state` needs, as tensors; small settings go in as 0-d or 1-d tensors.
    """

    name: str
    personalised: bool

    def recall(self, requests: Requests, quota: int) -> Candidates: ...

    def state(self) -> dict[str, Tensor]: ...

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Channel: ...
