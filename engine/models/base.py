"""What a ranking network is, and how it is found by its name."""

from __future__ import annotations

from typing import ClassVar, TypeVar

import torch
from torch import Tensor, nn

from headrace.features.columns import Columns
from headrace.registry import Registry
from headrace.section import Section


class Model(nn.Module):
    """A ranking network: columns of n candidates -> logits [n, targets], written per candidate.

    columns: name -> tensor with one row for each candidate: a code is int [n], dense numbers are float32 [n, size], a
    sequence is int [n, size], codes newest first with 0 where there is none. `forward` may read what its `columns` say
    by `columns[name]` only, and keeps the candidates in the first dimension, so that `headrace.models.lower` can turn
    it into a program.

    A subclass has a `name`, its own `Settings`, and an `__init__` of the same arguments.
    Raises ValueError for no target or no column.
    """

    name: ClassVar[str]
    Settings: ClassVar[type[Section]]

    def __init__(self, columns: Columns, targets: int, settings: Section) -> None:
        super().__init__()
        if targets < 1:
            raise ValueError(f"targets: expected at least 1, got {targets}")
        if len(columns) == 0:
            raise ValueError("columns: expected at least 1, got none")

    def forward(self, columns: dict[str, Tensor]) -> Tensor:
        raise NotImplementedError


#: name -> class of every ranking network.
MODELS: Registry[type[Model]] = Registry("model", "headrace.models")

M = TypeVar("M", bound=type[Model])


def model(cls: M) -> M:
    """Registers a ranking network under its `name`."""
    MODELS.add(cls.name, cls)
    return cls


class WithPrior(nn.Module):
    """A network whose logits start from those of the overall rates: float32 [targets], zero until they are set."""

    def __init__(self, model: Model, targets: int) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("prior", torch.zeros(targets, dtype=torch.float32))
        self.prior: Tensor

    def set_prior(self, logits: Tensor) -> None:
        """logits: float32 [targets], the log-odds of the overall rates."""
        self.prior.copy_(logits)

    def forward(self, columns: dict[str, Tensor]) -> Tensor:
        return self.model(columns) + self.prior  # type: ignore[no-any-return]
