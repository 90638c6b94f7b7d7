"""One evaluation from logs to a record: what `headrace evaluate` does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timezone

import numpy as np
import torch
from rich.progress import Progress

from headrace.data import Catalogue, Dataset, InteractionLog, Users
from headrace.data.clock import DAY_MS
from headrace.data.positive import Positive
from headrace.evaluation.evaluate import evaluate, without_filter, yardsticks
from headrace.evaluation.held_out import HeldOut, held_out, known_pairs
from headrace.evaluation.rows import aligned
from headrace.evaluation.targets import measure_targets
from headrace.report.evaluation import Evaluation
from headrace.report.model import Target
from headrace.serving import Engine
from headrace.serving.arguments import request_time
from headrace.version import __version__

_WIDEST = 1000


@dataclass(frozen=True)
class Asked:
    """ks: lengths of the lists, rising. days: of the requests after the end of the training log, or None.
    moment: of the requests, ms since the epoch, where days is None. users: how many are asked at most, None all."""

    ks: tuple[int, ...]
    positive: Positive
    days: float | None
    moment: int | None
    users: int | None
    seed: int

    @classmethod
    def of(cls, k: str, positive: str, at: str, users: int | None, seed: int) -> Asked:
        """Of the words of a command line. Raises ValueError, naming the argument."""
        days = 0.0 if at == "end" else _number("at", at, "days after the end, as +7") if at.startswith("+") else None
        when = moment("at", at) if days is None else None
        return cls(_lengths(k), Positive.parse(positive), days, when, users, seed)

    def time(self, engine: Engine) -> int:
        """ms since the epoch. Raises ValueError for one that the engine would refuse."""
        if self.moment is not None:
            return request_time(self.moment, engine.as_of)
        return request_time(engine.as_of + round((self.days or 0.0) * DAY_MS), engine.as_of)


def moment(name: str, text: str) -> int:
    """ms since the epoch of an ISO 8601 date or time, UTC where it has no offset. Raises ValueError, naming it."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{name}: expected a date or time, as 2022-05-07 or 2022-05-07T12:00, got {text!r}") from None
    return round((found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp() * 1000)


def run(
    engine: Engine,
    snapshot: str,
    train: Dataset | None,
    test: Dataset,
    split: str,
    asked: Asked,
    progress: Progress | None = None,
) -> Evaluation:
    """Judges the engine's lists on what the users of `test` want of what they do not know from `train`.

    snapshot, split: in words. Without `train`, what users know is left to the snapshot's own exposure filter, and
    yardsticks are left out. Raises ValueError for a test without rows, without positives, or with nothing to ask for.
    """
    if not len(test.log):
        raise ValueError(f"test: expected at least 1 row in {test.name}, got 0 of {test.rows.read} that were read")
    future, unknown = aligned(test, engine, "test")
    if not len(future):
        lost = ", ".join(f"{count:,} {what}" for what, count in unknown.items())
        raise ValueError(
            f"test: expected rows of the snapshot's users and items, got none of {len(test.log):,} ({lost})"
        )
    wanted = int(asked.positive.of(future).sum())
    if not wanted:
        raise ValueError(f"test: expected at least 1 row that is {asked.positive}, got none of {len(future):,}")
    past = None if train is None else _training(train, engine)
    items, at = len(engine.items), asked.time(engine)
    before = future.take(slice(0, 0)) if past is None else past
    question = held_out(before, future, items, asked.users, asked.seed, asked.positive, at)
    if not len(question.requests):
        raise ValueError(
            f"test: expected positives that users do not know from training, got {wanted:,} that they know"
        )
    known = known_pairs(before, items)
    notes, counts = [], {"test rows": len(test.log)} | {f"test {what}": n for what, n in unknown.items() if n}
    counts |= {"positive test rows": wanted, "users asked": len(question.requests), "items wanted": len(question.items)}
    if unknown["rows of unknown users"] or unknown["rows of unknown items"]:
        notes.append("Rows of users or items that the snapshot does not have were left out of the test.")
    if past is None:
        notes.append(
            "No training log was given: what users know was left to the snapshot's exposure filter, which is not "
            "exact, and popularity, ItemCF and EASE are judged only where the snapshot has them."
        )
        judged = evaluate(engine, question, asked.ks, {}, progress=progress)
        targets: list[Target] = []
    else:
        notes += _overlap(known, future, items)
        assert train is not None
        older = None if train.history is None else aligned(train.with_log(train.history), engine, "log").log
        learnt = Dataset("training", Users(engine.users), Catalogue(engine.items), past, history=older)
        beside, masked = yardsticks(engine.funnel, learnt, asked.seed), question.blocking(known)
        judged = evaluate(engine, masked, asked.ks, beside, without_filter(engine.funnel), progress)
        ranker = engine.funnel.ranker
        targets = measure_targets(ranker, past, future, items) if len(past) and ranker is not None else []
    notes += _too_old(engine, question, at)
    if asked.ks[-1] > items:
        notes.append(
            f"Lists of {asked.ks[-1]:,} were asked for of a catalogue of {items:,} items: none can be that long."
        )
    return Evaluation(
        version=__version__,
        dataset=test.name if train is None else train.name,
        snapshot=snapshot,
        split=split,
        positive=str(asked.positive),
        truth="positive test items that the user does not know from training",
        at_ms=at,
        ks=list(asked.ks),
        requests=len(question.requests),
        seed=asked.seed,
        rows=judged.rows,
        against=judged.against,
        targets=targets,
        counts=counts,
        notes=[f"Held out: {split}. Wanted: {asked.positive}.", *notes],
    )


def _training(train: Dataset, engine: Engine) -> InteractionLog:
    """The training log in the snapshot's rows. Raises ValueError for one that the snapshot cannot be built on."""
    past, unknown = aligned(train, engine, "log")
    if lost := sum(unknown.values()):
        raise ValueError(
            f"log: expected the log that the snapshot was built on, got {train.name}, in which {lost:,} of "
            f"{len(train.log):,} rows are of users or items that the snapshot does not have"
        )
    return past


def _too_old(engine: Engine, question: HeldOut, at: int) -> list[str]:
    stock = engine.funnel.bars.stock
    every = torch.tensor([0, len(question.items)])
    old = int(stock.old(torch.tensor([at]), every, question.items).sum()) if stock.recall_ms else 0
    if not old:
        return []
    return [
        f"{old:,} of the {len(question.items):,} items wanted are then older than the {stock.recall_ms // DAY_MS} days "
        "that the snapshot recalls items (exposure.recall_days): no list can hold them."
    ]


def _overlap(known: np.ndarray, future: InteractionLog, items: int) -> list[str]:
    """A sentence on a test that shares pairs with the training log."""
    pairs = np.unique(future.user.astype(np.int64) * items + future.item)
    shared = int(np.isin(pairs, known, assume_unique=True).sum())
    if not shared:
        return []
    return [
        f"{shared:,} of the {len(pairs):,} pairs of user and item in the test are in training too: they are known, so "
        "they are neither shown nor asked for."
    ]


def _lengths(text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and 1 <= int(word) <= _WIDEST for word in words):
        raise ValueError(f"k: expected whole numbers from 1 to {_WIDEST} separated by commas, got {text!r}")
    return tuple(sorted({int(word) for word in words}))


def _number(name: str, text: str, expected: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise ValueError(f"{name}: expected {expected}, got {text!r}")
    return found
