"""An engine's lists judged on a question: each channel alone, every stage, and yardsticks under the same masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from headrace.channels import Channel
from headrace.channels.ease import Ease
from headrace.channels.itemcf import ItemCF
from headrace.channels.popular import Popular
from headrace.data import Dataset
from headrace.evaluation.bootstrap import intervals
from headrace.evaluation.held_out import HeldOut
from headrace.evaluation.offline import named_lists, run_held_out
from headrace.evaluation.retrieval import RetrievalQuality
from headrace.exposure import Bars, ExposureFilter
from headrace.features import FeatureSettings
from headrace.funnel import Funnel
from headrace.report.evaluation import Against, Estimate, ListRow
from headrace.serving import Engine
from headrace.training.build import Build

#: Items of a catalogue for which EASE is fitted as a yardstick: a larger one has much beyond the items that EASE takes.
_EASE = 8192
#: Longer than any history.
_WHOLE = 1 << 30
ALL_TIME = "popularity, all time"
#: The metrics of which the page is held against other lists.
_COMPARED = ("recall", "ndcg")
_PAGE = "after re-ranking"


class Judged(NamedTuple):
    """Every maker's lists, and the page against the best single channel and each yardstick."""

    rows: list[ListRow]
    against: list[Against]


def without_filter(funnel: Funnel) -> Funnel:
    """The funnel with an empty exposure filter: what requests block is all that is barred as known, exactly."""
    return replace(funnel, bars=Bars(ExposureFilter(), funnel.bars.stock))


def yardsticks(funnel: Funnel, dataset: Dataset, seed: int) -> dict[str, Channel]:
    """Name -> a channel fitted on `dataset`, its training log, of those that the funnel lacks: popularity without
    decay, ItemCF with its defaults, and EASE of whole histories where the catalogue has at most 8,192 items."""
    build = Build(dataset, seed, FeatureSettings())
    out: dict[str, Channel] = {ALL_TIME: Popular.fit(build, Popular.Settings(half_life_days=float("inf")))}
    had, items = {channel.name for channel in funnel.channels}, len(dataset.catalogue)
    if ItemCF.name not in had:
        out["itemcf"] = ItemCF.fit(build, ItemCF.Settings())
    if Ease.name not in had and items <= _EASE:
        out["EASE"] = Ease.fit(build, Ease.Settings(last=_WHOLE))
    return out


def evaluate(
    engine: Engine,
    question: HeldOut,
    ks: Sequence[int],
    beside: Mapping[str, Channel],
    funnel: Funnel | None = None,
    progress: Progress | None = None,
) -> Judged:
    """Asks for lists of the longest of `ks` and judges them at each. funnel: instead of the engine's own."""
    asked = funnel or engine.funnel
    seen = run_held_out(asked, question, engine.settings.page.shown, max(ks), progress, beside)
    lists = named_lists(seen, asked, beside)
    found = {one.name: question.judge(one.lists, ks) for one in lists}
    estimates = _estimates(found)
    rows = [ListRow(one.name, one.kind, one.personalised, estimates[one.name]) for one in lists]
    channels = [row for row in rows if row.kind == "channel" or row.name == "popularity"]
    best = max(channels, key=lambda row: row.at[min(ks)]["recall"].mean or 0.0, default=None)
    others = {"popularity", "itemcf", "ease", *beside} & set(found)
    named = [(f"the best single channel, {best.name}", best.name)] if best else []
    named += [(name, name) for name in found if name in others and not (best and name == best.name)]
    return Judged(rows, _against(found, named))


def _estimates(found: Mapping[str, list[RetrievalQuality]]) -> dict[str, dict[int, dict[str, Estimate]]]:
    """Maker -> k -> metric -> estimate, all from the same resamples of the users."""
    keys = [(name, at.k, metric) for name, each in found.items() for at in each for metric in at.values]
    values = [at.values[metric] for each in found.values() for at in each for metric in at.values]
    out: dict[str, dict[int, dict[str, Estimate]]] = {
        name: {at.k: {"coverage": Estimate(at.coverage)} for at in each} for name, each in found.items()
    }
    for (name, k, metric), one in zip(keys, intervals(np.stack(values)), strict=True):
        out[name][k][metric] = Estimate(*one)
    return out


def _against(found: Mapping[str, list[RetrievalQuality]], named: Sequence[tuple[str, str]]) -> list[Against]:
    keys: list[tuple[str, str, int]] = []
    values: list[NDArray[np.float64]] = []
    for words, name in named:
        for page, other in zip(found[_PAGE], found[name], strict=True):
            for metric in _COMPARED:
                keys.append((words, metric, page.k))
                values.append(page.values[metric] - other.values[metric])
    if not keys:
        return []
    differences = intervals(np.stack(values))
    return [Against(*key, Estimate(*one)) for key, one in zip(keys, differences, strict=True)]
