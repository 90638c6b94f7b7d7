"""Recall channels: one file (or folder) each, found by their names; `merge.py` joins what they find.

What several of them need is in `shared/`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, TypeVar

from pydantic import Field
from torch import Tensor

from headrace.data.dataset import Dataset
from headrace.registry import Registry
from headrace.section import Section
from headrace.state import State
from headrace.training.build import Build
from headrace.types import Candidates, Requests


class ChannelSettings(Section):
    """What every channel can be told."""

    quota: int = Field(default=0, ge=0, description="items it may bring a request; 0: it is not built")

    @property
    def quotas(self) -> dict[str, int]:
        """The quota of each of the channel's `parts`."""
        return {"": self.quota}


class Channel(ABC):
    """One way to find candidates.

    name: by which settings, snapshots and pages know it. personalised: whether it can tell users apart. Settings: what
    it can be told, with its default quota. context: the name of a context that requests may tell this channel, beside
    those that the log has; None: none.
    """

    name: str
    personalised: ClassVar[bool]
    Settings: ClassVar[type[ChannelSettings]] = ChannelSettings
    context: ClassVar[str | None] = None

    @classmethod
    def needs(cls, dataset: Dataset) -> str | None:
        """What `dataset` lacks for such a channel, in words; None where it lacks nothing."""
        return None

    @classmethod
    @abstractmethod
    def fit(cls, build: Build, settings: Any) -> Channel:
        """The channel of a dataset that lacks nothing. settings: of its own `Settings`."""

    @abstractmethod
    def recall(self, requests: Requests, quota: int) -> Candidates:
        """At most `quota` items for each request, best first, each item once.

        `score` is on the channel's own scale and `channels` zero: the merge sets the bit. A request that the channel
        can say nothing about gets none. A request gets the same in any batch. What users have seen is left to the
        funnel, which asks for more where it needs it. Raises ValueError for a quota below 1.
        """

    def parts(self) -> dict[str, Channel]:
        """The lists that this channel has, each with a quota of its own: itself, by the name "", and others of the same
        model."""
        return {"": self}

    @property
    def source(self) -> Channel:
        """The channel whose state holds this one: itself, unless it is a part of another."""
        return self

    def told(self, values: list[Any]) -> Tensor:
        """int64 [B]: what requests say by the `context`, as `recall` will find it in their `told`, -1 where unknown.

        values: one a request, None where it says nothing. Raises ValueError for what cannot be meant.
        """
        raise NotImplementedError(f"{self.name}: reads no context")

    def neighbours(self, items: Tensor, k: int) -> Candidates | None:
        """At most `k` items most like each of `items` (int64 [m]), most alike first; None: it knows no such likeness.

        An item is none of its own neighbours; `score` is the likeness, `channels` zero.
        """
        return None

    @abstractmethod
    def state(self) -> State:
        """All that `from_state` needs."""

    @classmethod
    @abstractmethod
    def from_state(cls, state: State) -> Channel:
        """The channel whose `state` this is."""


class Remembering(Channel):
    """A channel that remembers what the engine returned and what was shown. A request is answered by what was known
    before it."""

    @abstractmethod
    def served(self, requests: Requests, recalled: Candidates, ranked: Candidates) -> None:
        """What requests got: what this channel brought to each, and all that was ranked."""

    @abstractmethod
    def shown(self, users: Tensor, items: Tensor) -> None:
        """That users[i] was shown items[i] (rows, int64 [n]; -1 is an unknown user)."""


#: Every channel by name. One outside this folder is found by an entry point of the group "headrace.channels".
CHANNELS: Registry[type[Channel]] = Registry("channel", __name__)

_C = TypeVar("_C", bound=type[Channel])


def channel(cls: _C) -> _C:
    """Registers a channel by its name."""
    CHANNELS.add(cls.name, cls)
    return cls
