"""What a re-ranking method is, and how it is found by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from headrace.kernels.diversity import Picks, Rules
from headrace.registry import Registry


class Method(Protocol):
    """Picks up to k candidates of each request, in page order.

    vectors: float32 [nnz, d] of unit length. reward: float32 [nnz], each request's scores as `standardise`d. Request b
    owns entries offsets[b]:offsets[b+1] (int64 [B+1]). theta: weight of the reward against variety, 0 to 1. window: how
    many of the last picks an item is compared with; None: all. rules: what may not come next; pinned: int64 [B, k], the
    item that stands at a position whatever the rules say, -1 where the pick is free; None: nothing of the kind.

    Whatever a method prefers, it keeps rules and pins, gives ties to the lower position, and answers a request alike in
    every batch; the kernels of `headrace.kernels.diversity` do.
    """

    def __call__(
        self,
        vectors: Tensor,
        reward: Tensor,
        offsets: Tensor,
        k: int,
        theta: float,
        window: int | None,
        rules: Rules | None,
        pinned: Tensor | None,
        /,
    ) -> Picks: ...


#: The methods by name. Those outside the tree are entry points of the group "headrace.methods".
METHODS: Registry[Method] = Registry("method", "headrace.reranking.methods")


def method(name: str) -> Callable[[Method], Method]:
    """Registers a re-ranking method."""
    return lambda function: METHODS.add(name, function)
