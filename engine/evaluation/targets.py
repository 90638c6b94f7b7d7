"""How well the ranker predicts each target on the rows after the cut, beside naive baselines."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from headrace.data import InteractionLog
from headrace.data.signals import IMPRESSION, PLAY_TIME
from headrace.evaluation.errors import rmse
from headrace.evaluation.ranking import auc, calibration, gauc, log_loss, reliability
from headrace.ranking.ranker import Ranker
from headrace.ranking.targets import labels_of
from headrace.report.model import ReliabilityBin, Target
from headrace.types import Candidates, Requests

_BATCH = 8192
#: Impressions' worth of prior in a smoothed rate.
_PRIOR = 20.0


def rows_as_requests(log: InteractionLog, rows: slice, at: int | None = None) -> tuple[Requests, Candidates]:
    """Each row of the log as a request with its one item; at: the same time for all instead of each row's own."""
    time = log.time[rows].copy() if at is None else np.full(len(log.user[rows]), at, np.int64)
    context = {name: torch.from_numpy(codes[rows].astype(np.int64)) for name, codes in log.context.items()}
    user = torch.from_numpy(log.user[rows].astype(np.int64))
    item = torch.from_numpy(log.item[rows].astype(np.int64))
    candidates = Candidates(
        torch.arange(len(item) + 1), item, torch.zeros(len(item), dtype=torch.float32), torch.zeros_like(item)
    )
    return Requests(user, torch.from_numpy(time), context), candidates


def measure_targets(ranker: Ranker, train: InteractionLog, test: InteractionLog, n_items: int) -> list[Target]:
    """AUC, GAUC, calibration and reliability of each yes/no target, with statistics frozen at the cut.

    Baselines: the smoothed rate of the item and of the user before the cut, each alone.
    """
    parts: dict[str, list[NDArray[np.float32]]] = {}
    for start in range(0, len(test), _BATCH):
        requests, candidates = rows_as_requests(test, slice(start, start + _BATCH))
        for key, values in ranker.score(requests, candidates).columns.items():
            parts.setdefault(key, []).append(values.numpy())
    names = ranker.heads.targets
    labels, past = labels_of(test, names), labels_of(train, names)
    targets = []
    for place, name in enumerate(names):
        if name == IMPRESSION:  # the rows after the cut are all shown
            continue
        known = labels.known[:, place].numpy() > 0
        value = labels.value[:, place].numpy()[known]
        column = PLAY_TIME if name == PLAY_TIME else f"p_{name}"
        predicted = np.concatenate(parts[column])[known]
        if name == PLAY_TIME:
            # exp(z) orders play times but is no mean of them, so it is judged by order alone.
            value = (value > np.median(value)).astype(np.float32)
        seen = past.known[:, place].numpy() > 0
        outcome = past.value[:, place].numpy()[seen]
        baselines: dict[str, float | None] = {}
        for words, before, after, size in (
            ("item popularity", train.item, test.item, n_items),
            ("user mean", train.user, test.user, 1 + int(max(train.user.max(), test.user.max()))),
        ):
            baselines[words] = auc(value, _rate(before[seen], outcome, size)[after[known]])
        if name == PLAY_TIME:
            users, positives = test.user[known], int(value.sum())
            scores = auc(value, predicted), gauc(value, predicted, users)
            targets.append(Target("play time over median", *scores, None, positives, len(value), baselines))
        else:
            targets.append(_target(name, value, predicted, test.user[known], baselines))
    return targets


def _target(
    name: str,
    label: NDArray[np.float32],
    predicted: NDArray[np.float32],
    user: NDArray[np.int32],
    baselines: dict[str, float | None],
) -> Target:
    bins = reliability(label, predicted)
    columns = zip(bins.predicted.tolist(), bins.observed.tolist(), bins.rows.tolist(), strict=True)
    return Target(
        name,
        auc(label, predicted),
        gauc(label, predicted, user),
        calibration(label, predicted),
        int(label.sum()),
        len(label),
        baselines,
        [ReliabilityBin(*column) for column in columns],
        log_loss(label, predicted),
        rmse(label, predicted),
    )


def _rate(entity: NDArray[np.int32], outcome: NDArray[np.float32], size: int) -> NDArray[np.float64]:
    """float64 [size]: each entity's rate of yes, smoothed towards the mean by _PRIOR rows."""
    rows = np.bincount(entity, minlength=size)
    yes = np.bincount(entity, outcome, minlength=size)
    mean = outcome.mean(dtype=np.float64) if len(outcome) else 0.0
    return (yes + _PRIOR * mean) / (rows + _PRIOR)
