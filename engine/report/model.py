"""Everything a run reports, as plain records: whoever measures fills them in, the report only shows them.

A part that wasn't measured stays None (or an empty list) and is left out of the report; a single number that isn't
defined is None or NaN and is shown as a dash. Shares and rates are fractions of 1, never percentages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue, TypeAdapter

from headrace.data.dataset import Dataset

Number = float | None
Kind = Literal["channel", "merge", "ranking", "reranking", "baseline"]


@dataclass(frozen=True)
class Machine:
    """Where it ran. device: "cpu" or the GPU's name. isa: instruction set the kernels chose. versions: by package."""

    cpu: str
    cores: int
    threads: int
    device: str = "cpu"
    isa: str = ""
    memory_gb: Number = None
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """One stage of the funnel. items_in, items_out: mean per request. p50_ms, p99_ms: milliseconds per request (a
    batch's time divided by its requests). share: of the funnel's whole time."""

    name: str
    items_in: float
    items_out: float
    p50_ms: Number
    p99_ms: Number
    share: Number


@dataclass(frozen=True)
class Funnel:
    """The stages in order, over `requests` requests in batches of `batch_size`."""

    stages: list[Stage]
    requests: int
    batch_size: int
    requests_per_second: float


@dataclass(frozen=True)
class QualityRow:
    """Retrieval metrics at the quality's `k` of one list-maker. kind: what it is; `personalised`: whether two users
    can get different lists. The rows named "popularity" and "random" that aren't set the mark for the others.
    novelty: mean bits of surprise of an item. recall_95, ndcg_95: the bounds of 95 % intervals of the means, by the
    bootstrap over users."""

    name: str
    kind: Kind
    personalised: bool
    recall: Number
    ndcg: Number
    hit_rate: Number
    coverage: Number
    novelty: Number = None
    recall_95: tuple[Number, Number] | None = None
    ndcg_95: tuple[Number, Number] | None = None


@dataclass(frozen=True)
class Gain:
    """What a stage adds to the one `before` it: the differences of recall and NDCG at the quality's `k`, with the
    bounds of 95 % intervals of the users' mean differences."""

    stage: str
    before: str
    recall: Number
    recall_95: tuple[Number, Number]
    ndcg: Number
    ndcg_95: tuple[Number, Number]


@dataclass(frozen=True)
class Quality:
    """Retrieval on held-out days. held_out: which, in words. requests: those with a truth. truth: what is one. gains:
    of each stage after the merge."""

    rows: list[QualityRow]
    requests: int
    held_out: str
    k: int = 50
    truth: str = ""
    gains: list[Gain] = field(default_factory=list)


@dataclass(frozen=True)
class Rehearsal:
    """The funnel as it would have stood before the last days of its own log. day_ms: the first moment of those.
    requests: users asked for. chosen: items among their candidates that they chose. quality: ranker -> way to score ->
    mean NDCG@50. weights: ranker -> input -> weight of the blend; none where the plain fusion is used. lost: the share
    of the ranker's first 50 that pre-ranking leaves out."""

    day_ms: int
    requests: int
    chosen: int
    quality: dict[str, dict[str, Number]]
    weights: dict[str, dict[str, float]]
    power: float
    lost: Number = None


@dataclass(frozen=True)
class RecallRow:
    """One channel. quota: items it may bring; brought: mean of what it does. found, unique: of all that was wanted, the
    share in its quota, and in its quota and no other channel's."""

    name: str
    quota: int
    brought: Number
    found: Number
    unique: Number


@dataclass(frozen=True)
class Recall:
    """The channels on held-out days, over `requests` requests. together: the share of all that was wanted in any quota.
    overlap: a row a channel: the part of its items that each channel found too. curves: a row a channel: the mean
    recall of lists of each of `lengths`."""

    rows: list[RecallRow]
    requests: int
    together: Number
    overlap: list[list[Number]]
    lengths: list[int]
    curves: list[list[Number]]


@dataclass(frozen=True)
class ReliabilityBin:
    """Mean prediction, mean label and rows of one bin."""

    predicted: float
    observed: float
    rows: int


@dataclass(frozen=True)
class Target:
    """One head of the ranking model on held-out rows. baselines: name -> AUC (say, "item popularity", "user mean").
    calibration: mean prediction over mean label. log_loss: in nats. rmse: of predicted probabilities."""

    name: str
    auc: Number
    gauc: Number
    calibration: Number
    positives: int
    rows: int
    baselines: dict[str, Number] = field(default_factory=dict)
    reliability: list[ReliabilityBin] = field(default_factory=list)
    log_loss: Number = None
    rmse: Number = None


@dataclass(frozen=True)
class DiversityRow:
    """Means over pages of one re-ranking setting; pages of every row have the same size."""

    name: str
    intra_list_distance: Number
    categories: Number
    longest_run: Number
    mean_reward: Number
    authors: Number = None


@dataclass(frozen=True)
class Diversity:
    """Pages of `page_size` items: the first row is without re-ranking, and the others are measured against it."""

    rows: list[DiversityRow]
    page_size: int
    pages: int


@dataclass(frozen=True)
class FalsePositives:
    """Unseen pairs asked of one filter. designed, measured: false-positive rates. probes: pairs asked."""

    name: str
    designed: float
    measured: float
    probes: int
    bits_per_user: Number = None


@dataclass(frozen=True)
class Exposure:
    """The exposure filter. seen_shown: items shown to a user who had seen them. false_negatives: seen pairs that the
    filter called unseen, of seen_probes asked. Both must be 0."""

    filters: list[FalsePositives]
    seen_shown: int
    shown: int
    false_negatives: int
    seen_probes: int


@dataclass(frozen=True)
class DatasetSummary:
    """The log as read. Times in milliseconds since the epoch. signals: name -> rows where it is yes."""

    name: str
    users: int
    items: int
    events: int
    first_ms: int | None
    last_ms: int | None
    rows_read: int
    rows_kept: int
    dropped: dict[str, int] = field(default_factory=dict)
    signals: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, dataset: Dataset) -> DatasetSummary:
        log = dataset.log
        return cls(
            name=dataset.name,
            users=len(dataset.users),
            items=len(dataset.catalogue),
            events=len(log),
            first_ms=int(log.time[0]) if len(log) else None,
            last_ms=int(log.time[-1]) if len(log) else None,
            rows_read=dataset.rows.read,
            rows_kept=dataset.rows.kept,
            dropped=dict(dataset.rows.dropped),
            signals={name: int((column == 1).sum()) for name, column in log.signals.items()},
        )


@dataclass(frozen=True)
class Curve:
    """A line of a loss plot: `values` at `steps`, equally many."""

    name: str
    steps: list[float]
    values: list[Number]

    def __post_init__(self) -> None:
        if len(self.steps) != len(self.values):
            raise ValueError(f"values: expected {len(self.steps)}, one for each of steps, got {len(self.values)}")


@dataclass(frozen=True)
class Training:
    """One trained model. rows: samples seen, over all epochs. step_unit: what the curves' steps count. network: its
    class. epochs: passes over the rows that were made; kept_epochs: those after which its weights were kept, the best
    by validation. validation: what that said then, by name."""

    model: str
    parameters: int
    rows: int
    seconds: float
    final_loss: Number
    curves: list[Curve] = field(default_factory=list)
    step_unit: str = "step"
    loss: str = "loss"
    network: str = ""
    epochs: Number = None
    kept_epochs: Number = None
    validation: dict[str, Number] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """One run. title: what was run. created: date and time in ISO 8601. settings: name -> value, may be nested.
    notes: whole sentences."""

    title: str
    created: str
    version: str
    machine: Machine
    dataset: DatasetSummary | None = None
    funnel: Funnel | None = None
    quality: Quality | None = None
    recall: Recall | None = None
    rehearsal: Rehearsal | None = None
    targets: list[Target] = field(default_factory=list)
    diversity: Diversity | None = None
    exposure: Exposure | None = None
    training: list[Training] = field(default_factory=list)
    settings: dict[str, JsonValue] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        """The report as indented JSON; NaN and infinities become null."""
        return _ADAPTER.dump_json(self, indent=1).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Report:
        """The report that `to_json` wrote. A ValueError says which field is missing or wrong."""
        return _ADAPTER.validate_json(text)


_ADAPTER = TypeAdapter(Report)
