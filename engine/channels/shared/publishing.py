"""When items were published, as far as the catalogue and the logs can tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headrace.data import UNKNOWN, Catalogue, InteractionLog
from headrace.training.build import Build


def publish_times(catalogue: Catalogue, logs: Sequence[InteractionLog]) -> NDArray[np.int64]:
    """int64 [N]: publish time, else the first appearance in the logs, else -1."""
    never = np.iinfo(np.int64).max
    first = np.full(len(catalogue), never, np.int64)
    for log in logs:
        np.minimum.at(first, log.item, log.time)
    first[first == never] = UNKNOWN
    if catalogue.publish_time is None:
        return first
    return np.where(catalogue.publish_time == UNKNOWN, first, catalogue.publish_time)


def recalled(build: Build) -> NDArray[np.bool_]:
    """bool [N]: the items that may be recalled from the end of the log on; the others are too old by then, for ever."""
    published, log = build.dataset.catalogue.publish_time, build.dataset.log
    if published is None or not build.recall_ms or not len(log):
        return np.ones(len(build.dataset.catalogue), np.bool_)
    return np.asarray((published == UNKNOWN) | (published >= log.time[-1] + 1 - build.recall_ms))
