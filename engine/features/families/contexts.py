"""What is known when a request arrives: the contexts of the log, and the clock."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from headrace.data.dataset import Dataset
from headrace.features.codes import HOURS, WEEKDAYS, hour_of, shifted, size_of, weekday_of
from headrace.features.columns import Column
from headrace.features.family import Asked, Family, Made, family
from headrace.features.settings import FeatureSettings
from headrace.features.windows import HOUR_MS
from headrace.state import State

#: Contexts that are read from the clock instead: they never go missing at serving.
CLOCK = ("hour", "weekday")


@family
class Contexts(Family):
    """sizes: context -> its codes. utc_offset_ms: of the log's own clock."""

    name = "contexts"

    def __init__(self, sizes: dict[str, int], utc_offset_ms: int) -> None:
        self.sizes = sizes
        self.utc_offset_ms = utc_offset_ms
        self.columns = (
            *(Column(f"context_{name}", "request", "code", size) for name, size in sizes.items()),
            Column("hour", "request", "code", HOURS),
            Column("weekday", "request", "code", WEEKDAYS),
        )

    @classmethod
    def fit(cls, dataset: Dataset, settings: FeatureSettings, earlier: Family | None = None) -> Contexts:
        known = {name: codes for name, codes in dataset.log.context.items() if name not in CLOCK}
        sizes = {name: size_of(codes) for name, codes in known.items()}
        for name, size in sizes.items():
            if name not in dataset.context_names and size - 1 > settings.context_codes:
                most = settings.context_codes
                rows = int((known[name] >= most).sum())
                raise ValueError(
                    f"log: context_{name}: expected codes below {most} (features.context_codes), got {size - 2}; "
                    f"{rows} of {len(dataset.log)} rows have such"
                )
        return cls(sizes, _utc_offset(dataset))

    def request(self, asked: Asked) -> Made:
        requests = asked.requests
        local = requests.time + self.utc_offset_ms
        unknown = torch.full_like(requests.time, -1)
        made = {
            f"context_{name}": shifted(requests.context.get(name, unknown), size) for name, size in self.sizes.items()
        }
        return {**made, "hour": hour_of(local), "weekday": weekday_of(local)}

    def state(self) -> State:
        return State.of(sizes=self.sizes, utc_offset_ms=self.utc_offset_ms)

    @classmethod
    def from_state(cls, state: State) -> Contexts:
        sizes = state.fact("sizes", dict[str, Annotated[int, Field(ge=1, lt=1 << 31)]])
        return cls(sizes, state.fact("utc_offset_ms", Annotated[int, Field(ge=-24 * HOUR_MS, le=24 * HOUR_MS)]))


def _utc_offset(dataset: Dataset) -> int:
    """The offset of the log's own hour from UTC in ms, as most of its rows have it; 0 where it has none."""
    log = dataset.log
    if "hour" not in log.context or "hour" in dataset.context_names:  # words are no hours of a clock
        return 0
    known = log.context["hour"] >= 0
    hours = (log.context["hour"][known] - log.time[known] // HOUR_MS) % 24
    if len(hours) == 0:
        return 0
    offset = int(np.bincount(hours).argmax())
    return (offset if offset <= 12 else offset - 24) * HOUR_MS
