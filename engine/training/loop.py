"""The one training loop: seeded, resumable, with a progress bar. Models bring a loss; the loop brings the rest."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from rich.progress import Progress
from torch import Tensor, nn

from headrace.section import Section
from headrace.training.checkpoint import read_checkpoint, write_checkpoint


class TrainSettings(Section):
    """How long and how fast to train; every row is seen once an epoch."""

    epochs: int = Field(default=1, ge=1, description="passes over the rows")
    batch_size: int = Field(default=4096, ge=1, description="rows a step")
    learning_rate: float = Field(default=1e-3, gt=0, description="of dense weights")
    embedding_learning_rate: float = Field(default=1e-2, gt=0, description="of embeddings")


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
    """Adam, and SparseAdam for embeddings that yield sparse gradients; every embedding has the embeddings' rate."""

    def __init__(self, model: nn.Module, settings: TrainSettings) -> None:
        tables = [m for m in model.modules() if isinstance(m, (nn.Embedding, nn.EmbeddingBag))]
        table_ids = {id(table.weight) for table in tables}
        groups: list[tuple[list[Tensor], float]] = [
            ([p for p in model.parameters() if id(p) not in table_ids], settings.learning_rate),
            ([table.weight for table in tables if not table.sparse], settings.embedding_learning_rate),
        ]
        dense: list[dict[str, Any]] = [
            {"params": [p for p in ps if p.requires_grad], "lr": rate} for ps, rate in groups
        ]
        sparse = [table.weight for table in tables if table.sparse and table.weight.requires_grad]
        self.parts: list[torch.optim.Optimizer] = []
        if any(group["params"] for group in dense):
            self.parts.append(torch.optim.Adam(dense, fused=True))
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
    seed: int = 0,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: float = 30.0,
) -> FitReport:
    """Minimises `loss_of(row indices int64 [batch])`, a scalar mean, over `rows` rows.

    seed: of the order of the rows and of every draw.

    With `checkpoint` the state is written there atomically about every `checkpoint_every` seconds and at the end of
    every epoch, and a run that finds one goes on from it and ends with the same weights as an unbroken run; where it is
    damaged, a warning says so and training starts anew. Raises ValueError when there are no rows or the checkpoint is
    of another run (naming the file), OSError when it cannot be written (naming it), FloatingPointError when the loss is
    not finite (naming the step).
    """
    if rows < 1:
        raise ValueError(f"rows: expected at least 1 training row for {label}, got {rows}")
    optimizers = Optimizers(model, settings)
    per_epoch = -(-rows // settings.batch_size)
    total = per_epoch * settings.epochs
    report = FitReport(label, rows, sum(p.numel() for p in model.parameters()))
    told = {**settings.model_dump(), "seed": seed}
    if checkpoint and checkpoint.exists():
        _resume(checkpoint, model, optimizers, told, report)
    model.train()
    task = progress.add_task(label, total=total, completed=report.steps) if progress else None
    started, before, last_saved = time.monotonic(), report.seconds, time.monotonic()
    window = max(total // 100, 1)
    recent: list[Tensor] = []
    order = torch.empty(0, dtype=torch.int64)
    # The caller's own random draws go on as if no training had happened.
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())), _denormals_flushed():
        while report.steps < total:
            epoch, place = divmod(report.steps, per_epoch)
            if place == 0 or order.numel() == 0:
                order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))
            # Dropout and other draws depend on the step alone, so that a resumed run repeats them.
            torch.manual_seed(seed * 1_000_003 + report.steps)
            optimizers.zero_grad()
            loss = loss_of(order[place * settings.batch_size : (place + 1) * settings.batch_size])
            loss.backward()
            optimizers.step()
            recent.append(loss.detach())
            report.steps += 1
            ends_epoch = report.steps % per_epoch == 0
            if len(recent) == window or ends_epoch:
                report.losses.append((report.steps, _smoothed(recent, report.steps, total, label)))
                recent.clear()
            report.seconds = before + time.monotonic() - started
            if progress and task is not None:
                progress.advance(task)
            # Only where no loss is pending: a resumed run then reports the same losses, and never saves a bad one.
            if checkpoint and not recent and (ends_epoch or time.monotonic() - last_saved > checkpoint_every):
                state = {"model": model.state_dict(), "optimizers": optimizers.state_dict()}
                write_checkpoint(checkpoint, {**state, "settings": told, "report": vars(report)})
                last_saved = time.monotonic()
    model.eval()
    return report


@contextmanager
def _denormals_flushed() -> Iterator[None]:
    """Adam's second moments die away into denormal numbers, on which a CPU is more than ten times slower."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def _smoothed(losses: list[Tensor], step: int, total: int, label: str) -> float:
    """The mean of the last losses, up to `step`. Raises FloatingPointError naming the first step that is not finite."""
    values = torch.stack(losses)
    bad = (~values.isfinite()).nonzero()
    if len(bad):
        first = int(bad[0])
        at = step - len(losses) + first + 1
        raise FloatingPointError(f"{label}: the loss is {float(values[first])} at step {at} of {total}")
    return float(values.mean())


def _resume(path: Path, model: nn.Module, optimizers: Optimizers, told: dict[str, Any], report: FitReport) -> None:
    try:
        state = read_checkpoint(path)
    except ValueError as error:
        warnings.warn(f"{error}; {report.label} is trained from the start", stacklevel=3)
        return
    saved, found = state["report"], state["settings"]
    if found != told:
        raise ValueError(f"checkpoint {path}: expected the settings {told}, got {found}")
    for name in ("label", "rows", "parameters"):
        if saved[name] != getattr(report, name):
            raise ValueError(f"checkpoint {path}: expected {name} {getattr(report, name)!r}, got {saved[name]!r}")
    try:
        model.load_state_dict(state["model"])
        optimizers.load_state_dict(state["optimizers"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise ValueError(f"checkpoint {path}: expected the weights of {report.label}, got others: {error}") from error
    report.steps, report.seconds = saved["steps"], saved["seconds"]
    report.losses = [(step, loss) for step, loss in saved["losses"]]
