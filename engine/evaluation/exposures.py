"""The exposure filter against its design: false positives measured, and no seen item shown."""

from __future__ import annotations

import numpy as np
import torch

from headrace.data import InteractionLog
from headrace.evaluation.held_out import HeldOut
from headrace.evaluation.offline import Pass
from headrace.funnel import Funnel
from headrace.report.model import Exposure, FalsePositives


def measure_exposure(
    served: Pass, funnel: Funnel, train: InteractionLog, question: HeldOut, n_items: int, probes: int = 500_000
) -> Exposure:
    """Asks the filter of pairs that the log does not hold (false positives) and of pairs it does (false negatives).

    The log's last `window_ms` count: what was shown before may be shown again.
    """
    rng = np.random.default_rng(0)
    filter_, now = funnel.exposure, int(train.time[-1])
    every = np.unique(train.user.astype(np.int64) * n_items + train.item)
    late = train.time > now - filter_.window_ms
    pairs = np.unique(train.user[late].astype(np.int64) * n_items + train.item[late])
    users = np.unique(train.user)
    asked = users[rng.integers(0, len(users), probes)].astype(np.int64) * n_items + rng.integers(0, n_items, probes)
    unseen = asked[~_holds(every, asked)]
    false_positives = int(filter_.seen(*_split(unseen, n_items), now).sum())
    seen = pairs if len(pairs) <= probes else rng.choice(pairs, probes, replace=False)
    false_negatives = int((~filter_.seen(*_split(seen, n_items), now)).sum())
    shown = (question.requests.user.numpy()[:, None] * n_items + served.page)[served.page >= 0]
    measured = false_positives / max(len(unseen), 1)
    row = FalsePositives("whole bank", filter_.designed_fpr, measured, len(unseen), filter_.bits_per_user)
    return Exposure([row], int(_holds(pairs, shown).sum()), len(shown), false_negatives, len(seen))


def _holds(pairs: np.ndarray, asked: np.ndarray) -> np.ndarray:
    place = np.searchsorted(pairs, asked).clip(max=len(pairs) - 1)
    return pairs[place] == asked  # type: ignore[no-any-return]


def _split(pairs: np.ndarray, n_items: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(pairs // n_items), torch.from_numpy(pairs % n_items)
