"""Random logs: built and served, or refused by name before training."""

from __future__ import annotations

import atexit
import functools
import tempfile
from pathlib import Path
from typing import Any

import dirty
import hypothesis
import tiny


@functools.cache
def _folder() -> Path:
    made = tempfile.TemporaryDirectory()
    atexit.register(made.cleanup)
    return Path(made.name)


def attempt(seed: int) -> str:
    built = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        # The first that is drawn is the plainest.
        max_examples=3,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(drawn=dirty.logs())
    def tried(drawn: dict[str, Any]) -> None:
        built.append(dirty.held(drawn, _folder(), tiny.TINY, []))

    tried()
    return "three logs"
