"""A snapshot of full size for the funnel's benchmark: the whole synthetic log is indexed and counted, but the networks
are trained on a small sample of it, because their cost depends on their sizes alone."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headrace.build import fit_channels, fit_exposure
from headrace.data import Dataset, generate
from headrace.exposure import Bars, Stock
from headrace.kernels import atomic
from headrace.ranking import train_ranker
from headrace.ranking.negatives import Unshown
from headrace.ranking.samples import Samples
from headrace.ranking.settings import RankerTrain
from headrace.reranking import Reranker
from headrace.settings import Settings
from headrace.storage import assemble, save
from headrace.training.build import Build
from headrace.training.loop import FitReport
from headrace.training.settings import TrainSettings
from headrace.version import __version__

CACHE = Path("runs/bench-cache")
USERS, EVENTS, SEED = 20_000, 2_000_000, 0
#: Rows that each network is trained on.
SAMPLE = 20_000
EXPOSURES = "exposures.npz"

#: The default funnel. So rare a false positive of the exposure filter costs it more than its default would, and lets
#: pages be compared with those of exact sets.
SETTINGS = Settings.model_validate({"exposure": {"fpr": 1e-5}})


@dataclass(eq=False)
class SampledBuild(Build):
    """A build that counts all rows and trains on at most `sample` of them, in large batches."""

    sample: int = SAMPLE

    def train(
        self,
        model: nn.Module,
        rows: int,
        loss_of: Callable[[Tensor], Tensor],
        settings: TrainSettings,
        label: str,
        **more: Any,
    ) -> FitReport:
        drawn = torch.randperm(rows, generator=torch.Generator().manual_seed(self.seed))[: self.sample]
        large = settings.model_copy(update={"batch_size": 4096})
        return super().train(model, len(drawn), lambda index: loss_of(drawn[index]), large, label, **more)


def snapshot_of(items: int) -> Path:
    """The folder of the snapshot with `items` items, made on the first call.

    That takes half a minute for 100k items, a minute or two for 1M. It lies in `runs/bench-cache`, and is made anew
    when the sizes, the settings or the release change.
    """
    sizes = f"{USERS} {items} {EVENTS} {SEED} {SAMPLE} {__version__} {SETTINGS.model_dump_json()}"
    folder = CACHE / f"{items}-{hashlib.sha256(sizes.encode()).hexdigest()[:12]}"
    if not folder.exists():
        started = time.monotonic()
        _say(f"making the funnel's snapshot of {items:,} items in {folder}")
        CACHE.mkdir(parents=True, exist_ok=True)
        with atomic.replace(folder) as part:
            write(generate(USERS, items, EVENTS, SEED).dataset, SETTINGS, part)
        _say(f"made in {time.monotonic() - started:.0f} s")
    return folder


def write(dataset: Dataset, settings: Settings, folder: Path, sample: int = SAMPLE) -> None:
    """Writes a snapshot of `dataset` into `folder`, and who was shown what into its `exposures.npz`.

    sample: rows of the log that the networks are trained on.
    """
    job = SampledBuild(dataset, settings.seed, settings.features, sample=sample)
    channels = fit_channels(job, settings.channels)
    _say("  channels made")
    bars = Bars(fit_exposure(dataset, settings), Stock.of(dataset, settings.exposure.recall_days))
    reranker = Reranker.from_catalogue(settings.reranking, dataset.catalogue)
    _say("  exposures indexed")
    every = np.arange(0, len(dataset.log), max(len(dataset.log) // sample, 1))
    unshown = Unshown(settings.unshown, len(dataset.catalogue), settings.seed)
    samples = Samples(job.store, dataset.log.take(every), unshown)
    train = {"train": RankerTrain(batch_size=4096, learning_rate=2e-3, embedding_learning_rate=1e-2)}
    whole = Build(dataset, settings.seed)
    whole.store = job.store
    preranker, ranker = (
        train_ranker(whole, one.model_copy(update=train), samples=samples, fusion=settings.fusion)
        for one in (settings.preranker, settings.ranker)
    )
    _say("  pre-ranking and ranking trained")
    funnel = assemble(channels, bars, whole.store, {"preranker": preranker, "ranker": ranker}, reranker, settings)
    save(funnel, dataset, int(dataset.log.time[-1]) + 1, settings, folder)
    np.savez(folder / EXPOSURES, user=dataset.log.user, item=dataset.log.item)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
