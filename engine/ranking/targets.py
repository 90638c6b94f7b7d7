"""What the models learn to predict: labels from a log, and the rows that each target is trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import AfterValidator
from torch import Tensor

from headrace.data.dataset import InteractionLog
from headrace.data.signals import CLICK, COMPLETION, IMPRESSION, PLAY_TIME, POST_CLICK, SIGNALS, TARGETS
from headrace.section import one_of

COMPLETED = 0.8
#: All that ranking predicts, as columns of its candidates.
PREDICTIONS = (*(f"p_{signal}" for signal in SIGNALS), "p_finish", PLAY_TIME)

#: Names in settings.
Target = Annotated[str, AfterValidator(one_of(TARGETS))]
Prediction = Annotated[str, AfterValidator(one_of(PREDICTIONS))]


@dataclass(frozen=True)
class Labels:
    """names: the T targets. value: float32 [n, T]; the play time in seconds, 0 or 1 for the others. known: float32
    [n, T], 1 where the row is a sample of the target."""

    names: tuple[str, ...]
    value: Tensor
    known: Tensor

    def without(self, names: tuple[str, ...]) -> Labels:
        """The labels of the other targets; all of them when there is no other."""
        kept = [self.names.index(name) for name in remaining(self.names, names)]
        return Labels(tuple(self.names[c] for c in kept), self.value[:, kept], self.known[:, kept])


def remaining(names: tuple[str, ...], left_out: tuple[str, ...]) -> tuple[str, ...]:
    """The targets that are not left out; all of them when there is no other."""
    return tuple(name for name in names if name not in left_out) or names


def labels_of(log: InteractionLog, names: tuple[str, ...] | None = None) -> Labels:
    """Labels of every row of `log` for the targets it can teach (or for `names`).

    Impression is trained on all rows, where some were not shown. Click is trained on all impressions; like, collect,
    share, follow and comment on the clicked ones, as their rates are per click (a log without any click has them on
    all); play time and completion (at least 80 % played) on all rows that record them, where a row without a click and
    without a record counts as not played. A target without both outcomes in the log is left out, see `untaught`.
    """
    columns = {name: column for name, column in _columns(log).items() if names is None or name in names}
    if names is None:
        columns = {name: c for name, c in columns.items() if _varies(*c)}
    if not columns and names is None:
        raise ValueError("log: expected a click, another signal or play times to learn from, found none that varies")
    kept = tuple(columns) if names is None else names
    absent = (np.zeros(len(log), np.float32), np.zeros(len(log), bool))
    pairs = [columns.get(name, absent) for name in kept]
    value = torch.from_numpy(np.stack([v for v, _ in pairs], 1))
    return Labels(kept, value, torch.from_numpy(np.stack([k for _, k in pairs], 1)).float())


def taught(log: InteractionLog, drawn: bool = False) -> tuple[str, ...]:
    """The targets that `labels_of(log)` has, in order; none where it would raise.

    drawn: whether unshown items are drawn beside the log. They teach `told_by_draws` too, though the log has one
    outcome of each.
    """
    extra = told_by_draws(log) if drawn else ()
    return tuple(name for name, column in _columns(log).items() if name in extra or _varies(*column))


def untaught(log: InteractionLog, drawn: bool = False) -> dict[str, str]:
    """Target -> why the log cannot teach it, of those whose column it has; `drawn` as in `taught`."""
    extra = told_by_draws(log) if drawn else ()
    out = {}
    for name, (value, known) in _columns(log).items():
        if name not in extra and not _varies(value, known):
            only = f"only {value[known][0]:g} in {int(known.sum())} rows" if known.any() else "no row that records it"
            out[name] = f"log: {name}: expected two outcomes to learn from, got {only}"
    if IMPRESSION not in extra and extra:
        out.pop(IMPRESSION, None)
    return out


def told_by_draws(log: InteractionLog) -> tuple[str, ...]:
    """The targets that a drawn unshown item is a negative of.

    What is shown is one, where the log records it (see `as_shown`). So is interest of which the log holds positives
    alone, as logs of clicks, purchases or check-ins do: clicks or, without any click, whatever else there is. Where
    that is known of every row and every row was shown, it is the same question, and asked once.
    """
    columns = _columns(log)
    interest = (CLICK,) if log.gave(CLICK) else POST_CLICK
    found = {name: columns[name] for name in interest if name in columns}
    positive = tuple(name for name, (value, known) in found.items() if known.any() and value[known].min() == 1)
    whole = any(bool(found[name][1].all()) for name in positive)
    if IMPRESSION not in columns or (whole and not _varies(*columns[IMPRESSION])):
        return positive
    return (IMPRESSION, *positive)


def _columns(log: InteractionLog) -> dict[str, tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """name -> (float32 [n] label, bool [n] known)."""
    columns: dict[str, tuple[NDArray[np.float32], NDArray[np.bool_]]] = {}
    click = log.signals.get(CLICK)
    if IMPRESSION in log.signals:
        shown = log.signals[IMPRESSION]
        columns[IMPRESSION] = ((shown == 1).astype(np.float32), shown >= 0)
    for name in (CLICK, *POST_CLICK):
        if name in log.signals:
            signal = log.signals[name]
            known = signal >= 0
            if click is not None and name != CLICK and log.gave(CLICK):
                known = known & (click == 1)
            columns[name] = ((signal == 1).astype(np.float32), known)
    if log.play_time_ms is not None:
        known = log.play_time_ms >= 0
        if click is not None:
            known = known | (click == 0)
        seconds = (log.play_time_ms.clip(min=0) / 1000).astype(np.float32)
        columns[PLAY_TIME] = (seconds, known)
        if log.duration_ms is not None:
            timed = known & (log.duration_ms > 0)
            finished = log.play_time_ms.clip(min=0) >= COMPLETED * log.duration_ms.astype(np.float64)
            columns[COMPLETION] = ((finished & timed).astype(np.float32), timed)
    if COMPLETION not in columns and COMPLETION in log.signals:
        signal = log.signals[COMPLETION]
        columns[COMPLETION] = ((signal == 1).astype(np.float32), signal >= 0)
    return columns


def _varies(value: NDArray[np.float32], known: NDArray[np.bool_]) -> bool:
    seen = value[known]
    return len(seen) > 0 and bool(seen.min() < seen.max())


def sample_weights(labels: Labels, rates: dict[str, float], seed: int) -> Tensor:
    """float32 [n, T]: `labels.known` with only the share `rates[target]` of each target's negatives left.

    A play time is no probability that a rate could be calibrated back from its prediction: its y = t / (1 + t) lies
    between the outcomes. There, the negatives that are left weigh 1 / rate, so that the mean of y stays what it was.
    """
    rate = torch.tensor([rates.get(name, 1.0) for name in labels.names], dtype=torch.float32)
    if bool(((rate <= 0) | (rate > 1)).any()):
        raise ValueError(f"negative_rate: expected rates above 0 and at most 1, got {rates}")
    if bool((rate == 1).all()):
        return labels.known
    draw = torch.rand(labels.known.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)
    positive = labels.value > 0
    kept = labels.known * (positive | (draw < rate))
    timed = torch.tensor([name == PLAY_TIME for name in labels.names])
    return torch.where(timed & ~positive, kept / rate, kept)
