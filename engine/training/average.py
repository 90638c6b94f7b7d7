"""The mean of a run's last weights: what a constant learning rate leaves of noise in them averages out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

#: How much the newest weights count: the last 1 / (1 + _ETA) of the run makes up most of the mean.
_ETA = 4
#: Steps between two that are counted; a mean of neighbours would tell no more.
_EVERY = 5


class Average:
    """Polynomial-decay averaging of a model's parameters: the t-th of them counts (1 + eta) / (t + eta).

    Source: Shamir and Zhang, "Stochastic Gradient Descent for Non-smooth Optimization", ICML 2013.
    """

    def __init__(self, model: nn.Module) -> None:
        self._live = [p.detach() for p in model.parameters()]
        self._mean = [p.clone() for p in self._live]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After the step of that number, from 1."""
        if step % _EVERY == 0:
            torch._foreach_lerp_(self._mean, self._live, min(1.0, (1 + _ETA) / (step / _EVERY + _ETA)))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has the mean inside, and its own weights again after it."""
        own = [p.clone() for p in self._live]
        self.put()
        try:
            yield
        finally:
            torch._foreach_copy_(self._live, own)

    def put(self) -> None:
        """The model has the mean from now on."""
        torch._foreach_copy_(self._live, self._mean)

    def state_dict(self) -> list[Tensor]:
        return self._mean

    def load_state_dict(self, state: list[Tensor]) -> None:
        """Raises RuntimeError for weights of other shapes."""
        torch._foreach_copy_(self._mean, state)
