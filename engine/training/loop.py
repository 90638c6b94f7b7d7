"""The one training loop: seeded, resumable, watched, with a progress bar. Models bring losses; the loop the rest."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from torch import Tensor, nn

from headrace.training.average import Average
from headrace.training.checkpoint import read_checkpoint, write_checkpoint
from headrace.training.optimizers import Optimizers
from headrace.training.settings import TrainSettings

Weights = dict[str, Tensor]


#: What a validation says: the loss under LOSS, which decides, and whatever else is worth a line.
Validated = dict[str, float]
LOSS = "loss"
#: Steps between two validations: a longer epoch has several, and the epochs of a small log share one.
_FEWEST, _MOST = 40, 200


@dataclass
class FitReport:
    """What a fit did. losses: one smoothed value for about every hundredth of the run. validations: what each said, by
    step. kept: the step whose weights were kept. network: the class of what was trained."""

    label: str
    rows: int
    parameters: int
    network: str = ""
    per_epoch: int = 1
    steps: int = 0
    seconds: float = 0.0
    losses: list[tuple[int, float]] = field(default_factory=list)
    validations: list[tuple[int, Validated]] = field(default_factory=list)

    @property
    def kept(self) -> int:
        """The step of the lowest validation loss, the first of equals; the last step where nothing was validated."""
        return min(self.validations, key=lambda found: found[1][LOSS])[0] if self.validations else self.steps

    @property
    def stale(self) -> int:
        """Validations since the best."""
        return sum(step > self.kept for step, _ in self.validations)

    @property
    def warning(self) -> str | None:
        """Where the validation loss only rose while the training loss fell, a sentence on it."""
        if len(self.validations) < 2 or self.kept != self.validations[0][0] or len(self.losses) < 2:
            return None
        first, last = self.validations[0][1][LOSS], self.validations[-1][1][LOSS]
        if last <= first or self.losses[-1][1] >= self.losses[0][1]:
            return None
        return (
            f"{self.label}: the validation loss rose from {first:.4f} to {last:.4f} while the training loss fell, from "
            f"the first validation on (after {self.kept} of {self.per_epoch} steps of the first epoch)"
        )


def fit(
    model: nn.Module,
    rows: int,
    loss_of: Callable[[Tensor], Tensor],
    settings: TrainSettings,
    *,
    label: str,
    seed: int = 0,
    begin: Callable[[int], None] | None = None,
    validate: Callable[[], Validated] | None = None,
    patience: int = 1,
    average: bool = False,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: float = 30.0,
) -> FitReport:
    """Minimises `loss_of(row indices int64 [batch])`, a scalar mean, over `rows` rows.

    seed: of the order of the rows and of every draw. begin: called with the number of each epoch (from 0) before its
    first step, also of one that is resumed; what it draws should depend on that number alone. validate: asked after
    every epoch, more often in long ones and less often in short ones, with the model in evaluation mode; training ends
    once its loss was not better `patience` times in a row, and the weights of the best are kept. average: whether the
    weights that are validated and kept are the mean of the last ones (see `Average`).

    With `checkpoint` the state is written there atomically about every `checkpoint_every` seconds and at the end of
    every epoch, and a run that finds one goes on from it and ends with the same weights as an unbroken run; where it is
    damaged, a warning says so and training starts anew. Raises ValueError when there are no rows or the checkpoint is
    of another run (naming the file), OSError when it cannot be written (naming it), FloatingPointError when a loss is
    not finite (naming the step).
    """
    if rows < 1:
        raise ValueError(f"rows: expected at least 1 training row for {label}, got {rows}")
    optimizers = Optimizers(model, settings)
    per_epoch = -(-rows // settings.batch_size)
    total = per_epoch * settings.epochs
    parameters = sum(p.numel() for p in model.parameters())
    report = FitReport(label, rows, parameters, _network(model), per_epoch)
    told = {**settings.model_dump(), "seed": seed, "patience": patience if validate else None, "average": average}
    best: Weights = {}
    mean = Average(model) if average else None
    if checkpoint and checkpoint.exists():
        best = _resume(checkpoint, model, optimizers, mean, told, report)
    model.train()
    task = progress.add_task(label, total=total, completed=report.steps) if progress else None
    started, before, last_saved = time.monotonic(), report.seconds, time.monotonic()
    window = max(total // 100, 1)
    recent: list[Tensor] = []
    order = torch.empty(0, dtype=torch.int64)
    # The caller's own random draws go on as if no training had happened.
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())), _denormals_flushed():
        while report.steps < total and report.stale < patience:
            epoch, place = divmod(report.steps, per_epoch)
            if place == 0 or order.numel() == 0:
                order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))
                if begin:
                    begin(epoch)
            # Dropout and other draws depend on the step alone, so that a resumed run repeats them.
            torch.manual_seed(seed * 1_000_003 + report.steps)
            optimizers.zero_grad()
            loss = loss_of(order[place * settings.batch_size : (place + 1) * settings.batch_size])
            loss.backward()
            optimizers.step()
            recent.append(loss.detach())
            report.steps += 1
            if mean:
                mean.update(report.steps)
            ends_epoch = report.steps % per_epoch == 0
            watched = validate is not None and (report.steps == total or _due(report.steps, per_epoch))
            if len(recent) == window or ends_epoch or watched:
                report.losses.append((report.steps, _smoothed(recent, report.steps, total, label)))
                recent.clear()
            if validate is not None and watched:
                with mean.in_place() if mean else nullcontext():
                    report.validations.append((report.steps, _validated(model, validate, report.steps, label)))
                    if report.kept == report.steps:
                        best = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            report.seconds = before + time.monotonic() - started
            if progress and task is not None:
                progress.advance(task)
            # Only where no loss is pending: a resumed run then reports the same losses, and never saves a bad one.
            if checkpoint and not recent and (ends_epoch or time.monotonic() - last_saved > checkpoint_every):
                state = {"model": model.state_dict(), "optimizers": optimizers.state_dict(), "best": best}
                state["mean"] = mean.state_dict() if mean else []
                write_checkpoint(checkpoint, {**state, "settings": told, "report": vars(report)})
                last_saved = time.monotonic()
    if best:
        model.load_state_dict(best)
    elif mean:
        mean.put()
    if progress and task is not None:
        progress.update(task, total=report.steps)
    model.eval()
    return report


def _due(step: int, per_epoch: int) -> bool:
    """Whether a validation follows `step`: each epoch has some at even places, or several short ones share one."""
    if per_epoch < _FEWEST:
        return step % (per_epoch * -(-_FEWEST // per_epoch)) == 0
    pieces = -(-per_epoch // _MOST)
    return step * pieces // per_epoch > (step - 1) * pieces // per_epoch


def _network(model: nn.Module) -> str:
    """What the network is called, inside whatever it is wrapped in."""
    return type(getattr(model, "model", model)).__name__


def _validated(model: nn.Module, validate: Callable[[], Validated], step: int, label: str) -> Validated:
    model.eval()
    with torch.no_grad():
        found = validate()
    model.train()
    if not math.isfinite(found[LOSS]):
        raise FloatingPointError(f"{label}: the validation loss is {found[LOSS]} at step {step}")
    return found


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


def _resume(
    path: Path, model: nn.Module, optimizers: Optimizers, mean: Average | None, told: dict[str, Any], report: FitReport
) -> Weights:
    """The best weights so far, where there are any; all else is put in its place."""
    try:
        state = read_checkpoint(path)
    except ValueError as error:
        warnings.warn(f"{error}; {report.label} is trained from the start", stacklevel=3)
        return {}
    saved, found = state["report"], state["settings"]
    if found != told:
        raise ValueError(f"checkpoint {path}: expected the settings {told}, got {found}")
    for name in ("label", "rows", "parameters"):
        if saved[name] != getattr(report, name):
            raise ValueError(f"checkpoint {path}: expected {name} {getattr(report, name)!r}, got {saved[name]!r}")
    try:
        model.load_state_dict(state["model"])
        optimizers.load_state_dict(state["optimizers"])
        if mean:
            mean.load_state_dict(state["mean"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise ValueError(f"checkpoint {path}: expected the weights of {report.label}, got others: {error}") from error
    report.steps, report.seconds = saved["steps"], saved["seconds"]
    report.losses = [(step, loss) for step, loss in saved["losses"]]
    report.validations = [(step, found) for step, found in saved["validations"]]
    best: Weights = state["best"]
    return best
