"""A snapshot of full size for the funnel's benchmark: the whole synthetic log is indexed and counted, but the networks
are trained on a small sample of it, because their cost depends on their sizes alone."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import torch

import headrace
from headrace.build import fit_channels, fit_exposure
from headrace.data import Dataset, generate
from headrace.features import FeatureStore
from headrace.ranking import train_preranker, train_ranker
from headrace.ranking.negatives import with_unshown
from headrace.reranking import Reranker
from headrace.retrieval.two_tower import TwoTower
from headrace.serving.engine import Engine
from headrace.serving.storage import assemble, save_engine
from headrace.settings import Settings
from headrace.training.loop import TrainSettings, fit
from headrace.training.two_tower import Objective

CACHE = Path("runs/bench-cache")
USERS, EVENTS, SEED = 20_000, 2_000_000, 0
#: Rows that each network is trained on.
SAMPLE = 20_000
EXPOSURES = "exposures.npz"

#: The default funnel. So rare a false positive of the exposure filter costs it more than its default would, and lets
#: pages be compared with those of exact sets.
SETTINGS = Settings.model_validate({"exposure": {"fpr": 1e-5}})


def snapshot_of(items: int) -> Path:
    """The folder of the snapshot with `items` items, made on the first call.

    That takes half a minute for 100k items, a minute or two for 1M. It lies in `runs/bench-cache`, and is made anew
    when the sizes, the settings or the release change.
    """
    sizes = f"{USERS} {items} {EVENTS} {SEED} {SAMPLE} {headrace.__version__} {SETTINGS.model_dump_json()}"
    folder = CACHE / f"{items}-{hashlib.sha256(sizes.encode()).hexdigest()[:12]}"
    if not folder.exists():
        started = time.monotonic()
        _say(f"making the funnel's snapshot of {items:,} items in {folder}")
        part = folder.with_name(f".{folder.name}.{os.getpid()}")
        try:
            write(generate(USERS, items, EVENTS, SEED).dataset, SETTINGS, part)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        _say(f"made in {time.monotonic() - started:.0f} s")
    return folder


def write(dataset: Dataset, settings: Settings, folder: Path, sample: int = SAMPLE) -> None:
    """Writes a snapshot of `dataset` into `folder`, and who was shown what into its `exposures.npz`.

    sample: rows of the log that the networks are trained on.
    """
    channels = fit_channels(dataset, settings)
    exposure = fit_exposure(dataset, settings)
    reranker = Reranker.from_catalogue(settings.reranking, dataset.catalogue)
    _say("  channels and exposures indexed")
    channels.insert(1, _two_tower(dataset, settings, sample))
    _say("  two towers trained")
    store = FeatureStore.fit(dataset, settings.features)
    every = np.arange(0, len(dataset.log), max(len(dataset.log) // sample, 1))
    taught = with_unshown(dataset.log.take(every), len(dataset.catalogue), settings.unshown, settings.seed)
    train = {"train": TrainSettings(batch_size=4096, learning_rate=2e-3, embedding_learning_rate=1e-2)}
    rows = dataset.with_log(taught)
    preranker, _ = train_preranker(rows, store, settings.preranker.model_copy(update=train), fusion=settings.fusion)
    ranker, _ = train_ranker(rows, store, settings.ranker.model_copy(update=train), fusion=settings.fusion)
    _say("  pre-ranking and ranking trained")
    funnel = assemble(channels, exposure, preranker, ranker, reranker, settings)
    as_of = int(dataset.log.time[-1]) + 1
    save_engine(Engine(funnel, dataset.users.ids, dataset.catalogue.ids, as_of, settings), dataset, folder)
    np.savez(folder / EXPOSURES, user=dataset.log.user, item=dataset.log.item)


def _two_tower(dataset: Dataset, settings: Settings, sample: int) -> TwoTower:
    """The towers after a few steps, with the vectors of every item and the last items of every user."""
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        objective = Objective(dataset, settings.two_tower)
    rows = torch.randperm(len(objective.positives), generator=torch.Generator().manual_seed(settings.seed))[:sample]
    short = settings.two_tower.model_copy(update={"batch_size": 4096})
    fit(objective.model, len(rows), lambda index: objective(rows[index]), short, label="two_tower")
    return objective.channel(dataset)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
