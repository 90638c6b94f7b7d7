"""What counts as wanted in a log: a signal, or a number from a threshold on."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.data.dataset import InteractionLog
from headrace.data.signals import IMPRESSION, INTEREST, SIGNALS

#: What a build calls interest: one point for each of `INTEREST`.
ANY = "interest"
_SPANS = ("play_time_ms", "duration_ms")
_FORM = re.compile(r"([a-z_]+)(?:>=([0-9]+(?:\.[0-9]+)?))?")


@dataclass(frozen=True)
class Positive:
    """Rows whose column `name` is at least `least`.

    name: "interest" (one point for each of click, like, collect, share, follow, comment), one of `SIGNALS`,
    "play_time_ms" or "duration_ms". In a log that records none of what makes interest, every row is of interest, but
    for those that say that nothing was shown.
    """

    name: str = ANY
    least: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Positive:
        """Of `NAME` or `NAME>=NUMBER`. Raises ValueError for another form or an unknown name."""
        found = _FORM.fullmatch(text.replace(" ", ""))
        if not found or found[1] not in (ANY, *SIGNALS, *_SPANS):
            known = ", ".join((ANY, *SIGNALS, *_SPANS))
            raise ValueError(f"positive: expected NAME or NAME>=NUMBER with a name of {known}, got {text!r}")
        return cls(found[1], float(found[2]) if found[2] else 1.0)

    def __str__(self) -> str:
        return self.name if self.least == 1 else f"{self.name}>={self.least:g}"

    def values(self, log: InteractionLog) -> NDArray[np.float64]:
        """float64 [n]: the column, 0 where a row does not record it.

        Raises ValueError for a column that the log does not have.
        """
        if self.name == ANY and not any(name in log.signals for name in INTEREST):
            shown = log.signals.get(IMPRESSION)
            return np.ones(len(log)) if shown is None else (shown != 0).astype(np.float64)
        if self.name == ANY:
            column: NDArray[np.integer] | None = log.interest()
        else:
            column = getattr(log, self.name) if self.name in _SPANS else log.signals.get(self.name)
        if column is None:
            held = [ANY, *log.signals, *(name for name in _SPANS if getattr(log, name) is not None)]
            raise ValueError(f"positive: expected one of {', '.join(held)}, which the log has, got {self.name}")
        return column.clip(min=0).astype(np.float64)

    def of(self, log: InteractionLog) -> NDArray[np.bool_]:
        """bool [n]: whether each row is one."""
        return self.values(log) >= self.least


#: What is wanted where nobody says otherwise.
INTERESTED = Positive()
