"""Adam for everything, and Adam by rows for the tables whose gradients name the rows that a batch read."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headrace.training.settings import TrainSettings


class RowAdam(torch.optim.Optimizer):
    """Adam on the rows that a sparse gradient names; the others, and their moments, stay as they are.

    decay: what is taken off a row at each of its steps, as a share of `lr` times the row (AdamW: Loshchilov and Hutter,
    "Decoupled Weight Decay Regularization", ICLR 2019).
    Equals `torch.optim.SparseAdam` where that is 0, at a fraction of the cost.
    """

    def __init__(
        self, params: list[Tensor], lr: float, decay: float = 0.0, betas: tuple[float, float] = (0.9, 0.999)
    ) -> None:
        super().__init__(params, {"lr": lr, "decay": decay, "betas": betas})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None:
                    self._step(table, **{name: group[name] for name in ("lr", "decay", "betas")})

    def _step(self, table: Tensor, lr: float, decay: float, betas: tuple[float, float]) -> None:
        state = self.state[table]
        if not state:
            state |= {"step": 0, "mean": torch.zeros_like(table), "square": torch.zeros_like(table)}
        state["step"] += 1
        rows, gradient = self._summed(table)
        first, second = betas
        mean = state["mean"].index_select(0, rows).lerp_(gradient, 1 - first)
        square = state["square"].index_select(0, rows).mul_(second).addcmul_(gradient, gradient, value=1 - second)
        state["mean"].index_copy_(0, rows, mean)
        state["square"].index_copy_(0, rows, square)
        root = (1 - second ** state["step"]) ** 0.5
        rate = lr * root / (1 - first ** state["step"])
        moved = mean.mul_(-rate).div_(square.sqrt_().add_(1e-8))
        if decay:
            moved.add_(table.index_select(0, rows), alpha=-lr * decay)
        table.index_add_(0, rows, moved)

    def _summed(self, table: Tensor) -> tuple[Tensor, Tensor]:
        """The rows that the gradient names, each once (int64 [u]), and their gradients, float32 [u, width]."""
        assert table.grad is not None
        named, values = table.grad._indices()[0], table.grad._values()
        # By 32 bits, sorting costs a third; a bag of each row's gradients is what sums them fastest.
        narrow = named.int() if len(table) < 1 << 31 else named
        ordered, place = narrow.sort(stable=True)
        rows, counts = torch.unique_consecutive(ordered, return_counts=True)
        starts = counts.cumsum(0) - counts
        return rows.long(), F.embedding_bag(place, values, starts, mode="sum")


class Optimizers:
    """Adam, and `RowAdam` for embeddings that yield sparse gradients; every embedding has the embeddings' rate.

    Weights decay, but for biases and other vectors."""

    def __init__(self, model: nn.Module, settings: TrainSettings) -> None:
        tables = [m for m in model.modules() if isinstance(m, (nn.Embedding, nn.EmbeddingBag))]
        table_ids = {id(table.weight) for table in tables}
        others = [p for p in model.parameters() if id(p) not in table_ids]
        groups: list[tuple[list[Tensor], float, float]] = [
            ([p for p in others if p.ndim > 1], settings.learning_rate, settings.weight_decay),
            ([p for p in others if p.ndim <= 1], settings.learning_rate, 0.0),
            (
                [table.weight for table in tables if not table.sparse],
                settings.embedding_learning_rate,
                settings.embedding_decay,
            ),
        ]
        dense: list[dict[str, Any]] = [
            {"params": [p for p in ps if p.requires_grad], "lr": rate, "weight_decay": decay}
            for ps, rate, decay in groups
        ]
        sparse: list[Tensor] = [table.weight for table in tables if table.sparse and table.weight.requires_grad]
        self.parts: list[torch.optim.Optimizer] = []
        if any(group["params"] for group in dense):
            self.parts.append(torch.optim.AdamW(dense, fused=True))
        if sparse:
            self.parts.append(RowAdam(sparse, settings.embedding_learning_rate, settings.embedding_decay))

    def zero_grad(self) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def step(self) -> None:
        for part in self.parts:
            part.step()

    def state_dict(self) -> list[dict[str, object]]:
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states: list[dict[str, object]]) -> None:
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)
