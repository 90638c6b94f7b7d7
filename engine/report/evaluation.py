"""What an evaluation finds, as plain records and as tables: whoever measures fills the records in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from pydantic import TypeAdapter

from headrace.data import InteractionLog
from headrace.report import formats as f
from headrace.report.model import Kind, Number, Target
from headrace.report.page import Section, Table, Verdict
from headrace.report.tables import targets_table


@dataclass(frozen=True)
class Estimate:
    """A mean over users and its 95 % interval; coverage has no interval, as it is no mean."""

    mean: Number
    low: Number = None
    high: Number = None


@dataclass(frozen=True)
class ListRow:
    """The lists of one maker. at: k -> metric -> its estimate."""

    name: str
    kind: Kind
    personalised: bool
    at: dict[int, dict[str, Estimate]]


@dataclass(frozen=True)
class Against:
    """A metric of the page less that of another list, user by user: positive where the page is better."""

    other: str
    metric: str
    k: int
    difference: Estimate


@dataclass(frozen=True)
class Evaluation:
    """Lists of one engine on one question. dataset, snapshot, split, positive, truth: in words. at_ms: request time.
    requests: users asked. counts: what was read and left out. notes: whole sentences."""

    version: str
    dataset: str
    snapshot: str
    split: str
    positive: str
    truth: str
    at_ms: int
    ks: list[int]
    requests: int
    seed: int
    rows: list[ListRow]
    against: list[Against] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        """As indented JSON; NaN and infinities become null."""
        return _ADAPTER.dump_json(self, indent=1).decode()


_ADAPTER = TypeAdapter(Evaluation)


def evaluation_sections(found: Evaluation) -> list[Section]:
    """Two tables for each k, and the ranking targets where there are any."""
    tables = [table for k in found.ks for table in _tables(found, k)]
    out = [Section("lists", f"What {f.count(found.requests)} users wanted, and what lists hold of it", tables)]
    if found.against:
        out.append(Section("against", "The page against other lists", [_against(found.against)]))
    if found.targets:
        out.append(Section("targets", "Ranking targets", [targets_table(found.targets)]))
    facts = [[name, f.count(count)] for name, count in found.counts.items()]
    return [Section("counts", "What was asked", [Table("Rows, users and items", ["", "count"], facts)]), *out]


def split_table(words: str, train: InteractionLog, test: InteractionLog, wanted: Sequence[int]) -> Table:
    """Counts of both sides of a split. wanted: positive rows of each."""
    rows = []
    for name, log, positive in zip(("training", "test"), (train, test), wanted, strict=True):
        counts = (len(log), positive, len(np.unique(log.user)), len(np.unique(log.item)))
        first, last = (f.minute(int(log.time[place])) for place in (0, -1))
        rows.append([name, *map(f.count, counts), first, last])
    columns = ["side", "rows", "positive", "users", "items", "first", "last (UTC)"]
    return Table(f"Held out: {words}", columns, rows)


def evaluation_verdicts(found: Evaluation) -> list[Verdict]:
    """The page against each list beside it, by recall at the first k."""
    return [_verdict(one) for one in found.against if one.metric == "recall" and one.k == found.ks[0]]


def interval(one: Estimate) -> str:
    """ ".213-.221"."""
    return f"{_short(one.low)}-{_short(one.high)}" if f.finite(one.low) and f.finite(one.high) else f.DASH


def _tables(found: Evaluation, k: int) -> list[Table]:
    first, second = [], []
    for row in found.rows:
        at = row.at[k]
        recall, ndcg = at["recall"], at["ndcg"]
        first.append([row.name, _short(recall.mean), interval(recall), _short(ndcg.mean), interval(ndcg)])
        first[-1] += [_short(at[name].mean) for name in ("hit_rate", "precision", "f1")]
        second.append([row.name, *(_short(at[name].mean) for name in ("graded_ndcg", "map", "mrr", "coverage"))])
        second[-1].append(f.fixed(at["novelty"].mean, 2) if "novelty" in at else f.DASH)
    recalls = [row.at[k]["recall"].mean for row in found.rows]
    known = [value for value in recalls if f.finite(value)]
    best = [place for place, value in enumerate(recalls) if known and value == max(known) > 0]
    columns = ["lists from", f"recall@{k}", "95 %", f"NDCG@{k}", "95 %", "hit", "precision", "F1"]
    more = ["lists from", f"graded NDCG@{k}", "MAP", "MRR", "coverage", "novelty, bits"]
    return [Table(f"Lists of {k}", columns, first, 1, best, "best recall"), Table(f"Lists of {k}, more", more, second)]


def _against(differences: Sequence[Against]) -> Table:
    rows = []
    for one in differences:
        mean, low, high = one.difference.mean, one.difference.low, one.difference.high
        rows.append([one.other, f"{one.metric}@{one.k}", _signed(mean), _signed(low), _signed(high)])
    columns = ["the page less", "metric", "difference", "95 % from", "to"]
    return Table("Differences, user by user", columns, rows, 2)


def _verdict(one: Against) -> Verdict:
    mean, low, high = one.difference.mean, one.difference.low, one.difference.high
    bounds = f"{_signed(low)} to {_signed(high)}"
    what = f"{one.metric}@{one.k} of the page less that of {one.other}: {_signed(mean)} ({bounds})"
    if not f.finite(low) or not f.finite(high) or low <= 0 <= high:
        return Verdict(f"{what}; these users can't tell them apart.", None)
    return Verdict(f"{what}.", low > 0)


def _signed(value: Number) -> str:
    return f"{value:+.4f}" if f.finite(value) else f.DASH


def _short(value: Number) -> str:
    """.2174: four decimals, no zero before the point."""
    text = f.fixed(value, 4)
    return text.removeprefix("0") if text.startswith("0.") else text
