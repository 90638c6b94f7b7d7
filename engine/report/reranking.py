"""Re-ranking for people: explained pages and the theta sweep, as tables for a terminal and one HTML page."""

from __future__ import annotations

import datetime
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from headrace.report import formats as f
from headrace.report.charts import Chart, Series, line_chart
from headrace.report.heatmap import HeatMap, draw
from headrace.report.html import machine_facts
from headrace.report.model import Machine
from headrace.report.page import Page, Section, Table
from headrace.report.sweep import Sweep, SweepRow
from headrace.reranking import Reranker
from headrace.reranking.explain import Explained
from headrace.reranking.variety import distinct_per_page, intra_list_distance, longest_run
from headrace.version import __version__

#: Of the methods, in turn.
_COLOURS = ("rerank", "recall", "rank", "merge", "filter", "prerank", "baseline")
_NOTES = [
    "Likeness is the cosine of two items' content vectors; a full colour is 1, and 0 or less is blank.",
    "Gain is the objective when the item was picked: DPP's gain is below 0 once every direction is taken.",
]
#: Of the sweep's table; the chart has all.
_SHOWN = (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
#: Reward given up, in standard deviations, that the second chart goes to.
_NEAR = 0.16


@dataclass(frozen=True)
class Names:
    """Texts of the catalogue's rows: external ids, and the names of category and author ("" unknown)."""

    item: Callable[[Tensor], list[str]]
    category: Callable[[Tensor], list[str]]
    author: Callable[[Tensor], list[str]]


def rerank_page(headline: str, reranker: Reranker, sections: list[Section], machine: Machine) -> Page:
    """The page of these sections, with the settings that the pages were made by."""
    chosen = reranker.settings
    window = "all picks" if chosen.window is None else f"the last {chosen.window} picks"
    facts = [
        ("Method", f"{chosen.method}, theta {chosen.theta:g}, against {window}"),
        ("Rules", "; ".join(rule.words for rule in chosen.rules) or "none"),
        ("Positions given away", _given_away(reranker)),
        *machine_facts(machine),
    ]
    notes = _NOTES if any(section.drawings for section in sections) else []
    created = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    return Page("Re-ranking", headline, facts, sections, f"Headrace {__version__}, {created}", notes=notes)


def _given_away(reranker: Reranker) -> str:
    chosen = reranker.settings
    parts = [f"item {pin.item} at {pin.position}" for pin in chosen.pins]
    parts += [f"{slot.kind} at {', '.join(map(str, slot.positions))}" for slot in chosen.slots]
    return "; ".join(parts) or "none"


def explained_headline(told: Sequence[Explained], reranker: Reranker) -> str:
    """What the first page gave up, and what for."""
    shown = [one for one in told if len(one.after) > 1]
    if not shown:
        return "No page to explain."
    one = shown[0]
    window = reranker.settings.window
    before, after = _near(one.before, reranker), _near(one.after, reranker)
    words = "two items" if window is None else f"two items within {window} positions"
    share = one.given_up / float(one.before_score.double().mean())
    return (
        f"Re-ranking gives up {f.percent(share)} of the mean score and takes the mean distance of {words} from "
        f"{before:.3f} to {after:.3f}."
    )


def sweep_headline(found: Sweep) -> str:
    """The distance that each method has for a tenth of a standard deviation of reward, read off its line."""
    alone = max(found.rows, key=lambda row: row.reward)
    parts = []
    for method in dict.fromkeys(row.method for row in found.rows):
        points = sorted((row.reward, row.distance) for row in found.rows if row.method == method)
        rewards, distances = zip(*points, strict=True)
        parts.append(f"{np.interp(alone.reward - 0.1, rewards, distances):.3f} ({method})")
    return (
        "A tenth of a standard deviation of reward takes the mean distance of two items of a page from "
        f"{alone.distance:.3f} to {', '.join(parts)}."
    )


def explained_sections(
    users: Sequence[str], told: Sequence[Explained], reranker: Reranker, names: Names
) -> list[Section]:
    """Two sections a user: the page before and after as drawings, then what each position is about."""
    out = []
    for number, (user, one) in enumerate(zip(users, told, strict=True)):
        if not len(one.after):
            out.append(Section(f"user-{number}", f"User {user}", [Table("No candidates, so no page", ["page"], [])]))
            continue
        drawings = [draw([_map("By score alone", one.before, reranker, names), _after(one, reranker, names)])]
        out.append(Section(f"user-{number}", f"User {user}", [_summary(one, reranker)], drawings=drawings))
        out.append(
            Section(f"picks-{number}", f"User {user}, pick by pick", [_rules(one, reranker), _picks(one, names)])
        )
    return out


def _map(title: str, rows: Tensor, reranker: Reranker, names: Names) -> HeatMap:
    vectors = reranker.vectors[rows].double()
    groups = [text or "no category" for text in names.category(rows)]
    return HeatMap(title, (vectors @ vectors.T).tolist(), names.item(rows), groups, "in order of score")


def _after(one: Explained, reranker: Reranker, names: Names) -> HeatMap:
    bound = [t for t, rules in enumerate(one.bound) if rules]
    note = "dots: a rule kept a better item away" if bound else "no rule stepped in"
    return replace(_map("Re-ranked", one.after, reranker, names), note=note, marks=bound)


def _summary(one: Explained, reranker: Reranker) -> Table:
    pages = [one.before, one.after]
    scores = [one.before_score.double(), one.after_score.double()]
    rows = [["mean ranking score", *(f.significant(float(score.mean())) for score in scores)]]
    rows.append(["mean distance of two items", *(f.fixed(_distance(page, reranker)) for page in pages)])
    if reranker.settings.window is not None:
        words = f"within {reranker.settings.window} positions of each other"
        rows.append([words, *(f.fixed(_near(page, reranker)) for page in pages)])
    for name, words in (("category", "categories"), ("author", "authors")):
        codes = reranker.kinds.get(name)
        if codes is None or not bool((codes >= 0).any()):
            continue
        rows.append([words, *(str(int(distinct_per_page(page[None], codes)[0])) for page in pages)])
        rows.append([f"longest run of one {name}", *(str(int(longest_run(page[None], codes)[0])) for page in pages)])
    share = one.given_up / float(scores[0].mean()) if float(scores[0].mean()) else float("nan")
    same = len(set(one.before.tolist()) & set(one.after.tolist()))
    note = (
        f"Re-ranking gives up {f.significant(one.given_up)} of the mean score ({f.percent(share)}). "
        f"{same} of {len(one.after)} items are on both pages; {f.count(one.candidates)} candidates were ranked."
    )
    return Table("One page, before and after", ["", "by score alone", "re-ranked"], rows, note=note)


def _distance(page: Tensor, reranker: Reranker) -> float:
    return float(intra_list_distance(page[None].numpy(), reranker.vectors.numpy())[0])


def _near(page: Tensor, reranker: Reranker) -> float:
    """The mean distance of two items that are compared: within the window of each other."""
    vectors, place = reranker.vectors[page].double(), torch.arange(len(page))
    back = place[:, None] - place
    return float((1 - vectors @ vectors.T)[(back > 0) & (back <= (reranker.settings.window or len(page)))].mean())


def _rules(one: Explained, reranker: Reranker) -> Table:
    bound = Counter(name for names in one.bound for name in names)
    broken = Counter(name for names in one.broken for name in names)
    every = [f"rules[{r}] {rule.words}" for r, rule in enumerate(reranker.settings.rules)]
    rows = [[name, str(bound[name]), str(broken[name]), _places(one.bound, name)] for name in every]
    note = "Rules in order of priority: when they leave nothing to pick, the last is dropped first."
    columns = ["rule", "kept a better item away", "broken", "at positions"]
    return Table("What the rules did", columns, rows or [["no rules", f.DASH, f.DASH, f.DASH]], note=note)


def _places(bound: Sequence[Sequence[str]], name: str) -> str:
    places = [str(t + 1) for t, names in enumerate(bound) if name in names]
    return ", ".join(places[:12]) + (f" and {len(places) - 12} more" if len(places) > 12 else "") or f.DASH


def _picks(one: Explained, names: Names) -> Table:
    texts = zip(names.item(one.after), names.category(one.after), names.author(one.after), strict=True)
    rows = []
    for t, (item, category, author) in enumerate(texts):
        notes = ["pinned"] if one.pinned[t] else []
        notes += [f"held by {_numbers(one.bound[t])}"] if one.bound[t] else []
        notes += [f"breaks {_numbers(one.broken[t])}"] if one.broken[t] else []
        rank = int(one.rank[t])
        rows.append(
            [
                str(t + 1), item, category or f.DASH, author or f.DASH, "; ".join(notes),
                str(rank) if rank else f.DASH, f.significant(float(one.after_score[t])), f.fixed(float(one.gain[t]), 2),
            ]
        )  # fmt: skip
    columns = ["position", "item", "category", "author", "notes", "rank by score", "score", "gain"]
    note = "held by: these rules kept an item of a higher gain away from the position."
    return Table("The re-ranked page", columns, rows, text_columns=5, note=note)


def _numbers(names: Sequence[str]) -> str:
    """The places of rules: `rules[0], rules[2]`."""
    return ", ".join(name.split()[0] for name in names)


def sweep_section(found: Sweep) -> Section:
    """The chart of reward against distance, one line a method, and the table under it."""
    return Section("sweep", "What variety costs", _sweep_tables(found), _charts(found))


def _charts(found: Sweep) -> list[Chart]:
    """The whole sweep, then its end near the best reward, where the points of the whole lie on top of each other."""
    best = max(row.reward for row in found.rows)
    return [
        _chart(found, -np.inf, "Pages at theta from 0.05 to 1: up is more varied, right is better liked"),
        _chart(found, best - _NEAR, f"The same, where at most {_NEAR:g} of reward is given up"),
    ]


def _chart(found: Sweep, least: float, title: str) -> Chart:
    """The rows of a reward of `least` or more."""
    series = []
    colours = itertools.cycle(_COLOURS)
    for method in dict.fromkeys(row.method for row in found.rows):
        points = [(row.reward, row.distance) for row in found.rows if row.method == method and row.reward >= least]
        series.append(Series(method, points, next(colours), dots=True))
    return line_chart(
        title, "mean reward (standard deviations)", "mean distance of two items of a page", series, f.ticks, f.ticks
    )


def _sweep_tables(found: Sweep) -> list[Table]:
    window = "all picks" if found.window is None else f"the last {found.window} picks"
    note = (
        f"{f.count(found.requests)} requests of {f.count(found.candidates)} candidates on average, pages of {found.k}, "
        f"no rules; MSD compares with all picks, the others with {window}. Reward: standard deviations above the mean "
        "of a request's candidates."
    )
    shown = [row for row in found.rows if row.theta in _SHOWN]
    columns = ["method", "theta", "reward", "distance", "categories"]
    columns += ["held-out clicks a page"] if found.held_out else []
    rows = [[row.method, f"{row.theta:g}", *_measures(row, found.held_out)] for row in shown]
    return [Table("Reward and variety", columns, rows, note=note), _searched(found), _times(found)]


def _searched(found: Sweep) -> Table:
    note = (
        "Value of a page: theta times its summed reward, plus (1 - theta) times the log-determinant (DPP) or each "
        "item's mean distance to the others, summed (MSD); no window. The search exchanges items while that rises."
    )
    rows = [
        [row.method, f"{row.theta:g}", f.fixed(row.greedy), f.fixed(row.searched), f.fixed(row.exchanged, 2)]
        for row in found.search
    ]
    columns = ["objective", "theta", "greedy", "after exchanges", "items exchanged"]
    return Table("The greedy against local search", columns, rows, note=note)


def _measures(row: SweepRow, held_out: bool) -> list[str]:
    out = [f.fixed(row.reward), f.fixed(row.distance), f.fixed(row.categories, 2)]
    return [*out, f.fixed(row.hits)] if held_out else out


def _times(found: Sweep) -> Table:
    methods = list(dict.fromkeys((row.method, row.yardstick) for row in found.rows))
    ms = [min(row.ms for row in found.rows if row.method == name and 0 < row.theta < 1) for name, _ in methods]
    kinds = ["yardstick in torch" if yardstick else "re-ranking method" for _, yardstick in methods]
    rows = [[name, kind, text] for (name, _), kind, text in zip(methods, kinds, f.milliseconds(list(ms)), strict=True)]
    note = f"The fastest theta's fastest pass, {torch.get_num_threads()} threads. Yardsticks are written to be read."
    return Table("Time", ["method", "how", "ms/request"], rows, text_columns=2, note=note)
