"""What serves a network, made of its weights at first use and again after they have changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from torch import nn

from headrace.kernels.forks import Lock

P = TypeVar("P")


class Packed(Generic[P]):
    """What `pack` makes of a network. Safe from many threads.

    A change is seen by the version counters of the weights, which every optimiser and `load_state_dict` move; after one
    that does not (through `.data`), call `clear`.
    """

    def __init__(self, pack: Callable[[], P], network: nn.Module) -> None:
        self._pack = pack
        self._weights = [*network.parameters(), *network.buffers()]
        self._lock = Lock()
        self._held: tuple[list[int], P] | None = None

    def get(self) -> P:
        # A weight made in inference mode counts no changes: it can be changed nowhere else.
        versions = [0 if weight.is_inference() else weight._version for weight in self._weights]
        held = self._held
        if held is not None and held[0] == versions:
            return held[1]
        with self._lock:
            if self._held is None or self._held[0] != versions:
                self._held = None
                self._held = versions, self._pack()
            return self._held[1]

    def clear(self) -> None:
        with self._lock:
            self._held = None
