"""What every fit of a build is given, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import torch
from rich.progress import Progress
from torch import Tensor, nn

from headrace.data.dataset import Dataset, InteractionLog
from headrace.training.loop import FitReport, TrainSettings, fit

if TYPE_CHECKING:
    from headrace.serving.engine import Engine
    from headrace.settings import Settings

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(eq=False)
class Build:
    """The dataset, the settings of the whole build, and how its models are trained.

    device: where models train. progress: where bars are shown. work: the folder of the trainings' checkpoints; None:
    none are written. warm: an engine whose parts training starts from; its users and items are matched by id. fits:
    what the trainings so far reported. left_out: what could not be built -> why.
    """

    dataset: Dataset
    settings: Settings
    device: str = "cpu"
    progress: Progress | None = None
    work: Path | None = None
    warm: Engine | None = None
    fits: list[FitReport] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    _made: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def seed(self) -> int:
        """Of every draw of the build."""
        return self.settings.seed

    @property
    def logs(self) -> list[InteractionLog]:
        """The older history, where there is one, and the log."""
        history, log = self.dataset.history, self.dataset.log
        return [log] if history is None else [history, log]

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
        self, model: nn.Module, rows: int, loss_of: Callable[[Tensor], Tensor], settings: TrainSettings, label: str
    ) -> FitReport:
        """`headrace.training.loop.fit` with the build's seed, progress and a checkpoint named by `label`, which no
        other training of the build has; what it reports is kept in `fits`."""
        report = fit(
            model,
            rows,
            loss_of,
            settings,
            seed=self.seed,
            label=label,
            progress=self.progress,
            checkpoint=self.work / f"{label}.pt" if self.work else None,
        )
        self.fits.append(report)
        return report

    def earlier(self, channel: type[_T]) -> _T | None:
        """The channel of that class in the engine that training starts from, None where there is none."""
        channels = self.warm.funnel.channels if self.warm else []
        return next((one for one in channels if isinstance(one, channel)), None)

    @contextmanager
    def step(self, label: str) -> Iterator[None]:
        """One bar for a piece of work without steps of its own."""
        task = self.progress.add_task(label, total=1) if self.progress else None
        yield
        if self.progress and task is not None:
            self.progress.advance(task)
