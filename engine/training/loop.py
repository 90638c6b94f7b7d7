"""The one training loop: seeded, resumable, with a progress bar. Models bring a loss; the loop brings the rest."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.progress import Progress
from torch import Tensor, nn


@dataclass(frozen=True)
class TrainSettings:
    """How long and how fast to train. seed fixes the order of the rows; every row is seen once an epoch."""

    epochs: int = 1
    batch_size: int = 4096
    learning_rate: float = 1e-3
    embedding_learning_rate: float = 1e-2
    seed: int = 0


@dataclass
class FitReport:
    """What a fit did. losses: one smoothed value for about every hundredth of the run."""

    label: str
    rows: int
    parameters: int
    steps: int = 0
    seconds: float = 0.0
    losses: list[tuple[int, float]] = field(default_factory=list)


class Optimizers:
    """Adam for dense weights, SparseAdam for embeddings that yield sparse gradients."""

    def __init__(self, model: nn.Module, settings: TrainSettings) -> None:
        sparse = [m.weight for m in model.modules() if isinstance(m, (nn.Embedding, nn.EmbeddingBag)) and m.sparse]
        sparse_ids = {id(p) for p in sparse}
        dense = [p for p in model.parameters() if id(p) not in sparse_ids and p.requires_grad]
        self.parts: list[torch.optim.Optimizer] = []
        if dense:
            self.parts.append(torch.optim.Adam(dense, lr=settings.learning_rate, foreach=True))
        if sparse:
            self.parts.append(torch.optim.SparseAdam(sparse, lr=settings.embedding_learning_rate))

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


def fit(
    model: nn.Module,
    rows: int,
    loss_of: Callable[[Tensor], Tensor],
    settings: TrainSettings,
    *,
    label: str,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: float = 30.0,
) -> FitReport:
    """Minimises `loss_of(row indices int64 [batch])`, a scalar mean, over `rows` rows.

    With `checkpoint` the state is written there atomically about every `checkpoint_every` seconds and at the end of
    every epoch, and a run that finds one goes on from it and ends with the same weights as an unbroken run. Raises
    ValueError when there are no rows, FloatingPointError when the loss is not finite (naming the step).
    """
    if rows < 1:
        raise ValueError(f"rows: expected at least 1 training row for {label}, got 0")
    optimizers = Optimizers(model, settings)
    per_epoch = -(-rows // settings.batch_size)
    total = per_epoch * settings.epochs
    report = FitReport(label, rows, sum(p.numel() for p in model.parameters()))
    step = _resume(checkpoint, model, optimizers, settings, report) if checkpoint else 0
    model.train()
    task = progress.add_task(label, total=total, completed=step) if progress else None
    started = last_saved = time.monotonic()
    window = max(total // 100, 1)
    recent: list[Tensor] = []
    order = torch.empty(0, dtype=torch.int64)
    while step < total:
        epoch, place = divmod(step, per_epoch)
        if place == 0 or order.numel() == 0:
            order = torch.randperm(rows, generator=torch.Generator().manual_seed(settings.seed * 1_000_003 + epoch))
        # Dropout and other draws depend on the step alone, so that a resumed run repeats them.
        torch.manual_seed(settings.seed * 1_000_003 + step)
        optimizers.zero_grad()
        loss = loss_of(order[place * settings.batch_size : (place + 1) * settings.batch_size])
        loss.backward()
        optimizers.step()
        recent.append(loss.detach())
        step += 1
        if len(recent) == window or step == total:
            value = float(torch.stack(recent).mean())
            if value != value or value in (float("inf"), float("-inf")):
                raise FloatingPointError(f"{label}: the loss is {value} at step {step} of {total}")
            report.losses.append((step, value))
            recent.clear()
        if progress and task is not None:
            progress.advance(task)
        if checkpoint and (step % per_epoch == 0 or time.monotonic() - last_saved > checkpoint_every) and not recent:
            _save(checkpoint, model, optimizers, settings, step, report)
            last_saved = time.monotonic()
    model.eval()
    report.steps = step
    report.seconds += time.monotonic() - started
    return report


def _save(
    path: Path, model: nn.Module, optimizers: Optimizers, settings: TrainSettings, step: int, report: FitReport
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(path.suffix + ".partial")
    state = {
        "model": model.state_dict(),
        "optimizers": optimizers.state_dict(),
        "settings": vars(settings),
        "step": step,
        "losses": report.losses,
    }
    with open(partial, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def _resume(path: Path, model: nn.Module, optimizers: Optimizers, settings: TrainSettings, report: FitReport) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    if state["settings"] != vars(settings):
        raise ValueError(f"checkpoint {path}: expected the settings {vars(settings)}, got {state['settings']}")
    model.load_state_dict(state["model"])
    optimizers.load_state_dict(state["optimizers"])
    report.losses = [tuple(pair) for pair in state["losses"]]
    return int(state["step"])
