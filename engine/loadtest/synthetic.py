"""A small engine built on the spot, for a load run without a snapshot."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rich.progress import Progress

from headrace.build import build
from headrace.data import generate
from headrace.serving import Engine
from headrace.settings import Settings

#: Users, items and events: seconds to build, and every stage of the funnel at its full width.
SIZE = (2_000, 10_000, 60_000)


def synthetic_engine(seed: int = 0, progress: Progress | None = None) -> Engine:
    """An engine on a synthetic log of `SIZE`, the same for the same seed, trained only briefly."""
    dataset = generate(*SIZE, seed=seed).dataset
    once = {"train": {"epochs": 1, "batch_size": 512, "embedding_learning_rate": 5e-3}}
    settings = Settings.model_validate({"seed": seed, "unshown": 0.2, "preranker": once, "ranker": once})
    with tempfile.TemporaryDirectory() as folder:
        return build(dataset, settings, Path(folder), progress).engine
