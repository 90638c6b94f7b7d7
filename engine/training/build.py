"""What every fit of a build is given, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor, nn

from headrace.data.dataset import Dataset, InteractionLog
from headrace.features import FeatureSettings, FeatureStore
from headrace.training.loop import FitReport, Validated, fit
from headrace.training.settings import TrainSettings

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(eq=False)
class Build:
    """The dataset, the seed of every draw, and how models are trained; a fit is told its own settings beside it.

    features: how the features of every model are made.
    device: where models train. progress: where bars are shown. work: the folder of the trainings' checkpoints; None:
    none are written. warm: name of a part -> that part of an earlier engine, which training starts from. recall_ms: how
    long after its publish time an item is recalled, 0: for ever. channels: the recall channels so far, in the order of
    their names. fits: what the trainings so far reported. left_out: name of a part that could not be built -> why.
    purpose: what its trainings are for, beside the name of each.
    """

    dataset: Dataset
    seed: int = 0
    features: FeatureSettings = field(default_factory=FeatureSettings)
    device: str = "cpu"
    progress: Progress | None = None
    work: Path | None = None
    warm: Mapping[str, Any] = field(default_factory=dict)
    recall_ms: int = 0
    channels: dict[str, Any] = field(default_factory=dict)
    fits: list[FitReport] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    purpose: str = ""
    _made: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def logs(self) -> list[InteractionLog]:
        """The older history, where there is one, and the log."""
        history, log = self.dataset.history, self.dataset.log
        return [log] if history is None else [history, log]

    @cached_property
    def store(self) -> FeatureStore:
        """The features of the dataset, for every model."""
        return FeatureStore.fit(self.dataset, self.features, self.warm.get("features"))

    def before(self, cut: int, purpose: str) -> Build:
        """A build on the rows before `cut` (ms) alone, with the features of this one and reporting to it: those tell
        of no moment what came after it."""
        log = self.dataset.log
        past = self.dataset.with_log(log.take(slice(0, int(np.searchsorted(log.time, cut)))))
        made = replace(self, dataset=past, purpose=purpose, channels={}, left_out={})
        made.store = self.store
        return made

    def once(self, make: Callable[Concatenate[Build, _P], _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """`make(self, ...)`, called once for all fits that ask for the same; the arguments can be hashed."""
        key = make, args, tuple(sorted(kwargs.items()))
        if key not in self._made:
            self._made[key] = make(self, *args, **kwargs)
        found: _T = self._made[key]
        return found

    @contextmanager
    def seeded(self) -> Iterator[None]:
        """Draws inside depend on the seed alone, and the caller's own draws go on as if there had been none."""
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.manual_seed(self.seed)
            yield

    def train(
        self,
        model: nn.Module,
        rows: int,
        loss_of: Callable[[Tensor], Tensor],
        settings: TrainSettings,
        label: str,
        *,
        begin: Callable[[int], None] | None = None,
        validate: Callable[[], Validated] | None = None,
        patience: int = 1,
        average: bool = False,
    ) -> FitReport:
        """`headrace.training.loop.fit` with the build's seed, progress and a checkpoint named by `label`, which no
        other training of the build has; what it reports is kept in `fits`."""
        label += self.purpose
        report = fit(
            model,
            rows,
            loss_of,
            settings,
            seed=self.seed,
            label=label,
            begin=begin,
            validate=validate,
            patience=patience,
            average=average,
            progress=self.progress,
            checkpoint=self.work / f"{label}.pt" if self.work else None,
        )
        self.fits.append(report)
        return report

    @contextmanager
    def step(self, label: str) -> Iterator[None]:
        """One bar for a piece of work without steps of its own."""
        task = self.progress.add_task(label, total=1) if self.progress else None
        yield
        if self.progress and task is not None:
            self.progress.advance(task)
