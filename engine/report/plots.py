"""Which charts each section of the page shows. One colour means one thing (a stage, a kind of list) on all of them."""

from __future__ import annotations

from headrace.report import formats as f
from headrace.report.charts import Bar, BarChart, Chart, Key, LineChart, Series, line_chart, linear_scale, log_scale
from headrace.report.model import Diversity, Exposure, Funnel, Quality, QualityRow, Recall, Report, Target, Training
from headrace.report.verdicts import baseline_recall

#: The first word found in a stage's name gives its colour; "rank" is in all three kinds of ranking, so it comes last.
STAGE_COLOURS = (
    ("merge", "merge"),
    ("exposure", "filter"),
    ("filter", "filter"),
    ("pre-rank", "prerank"),
    ("pre_rank", "prerank"),
    ("prerank", "prerank"),
    ("re-rank", "rerank"),
    ("re_rank", "rerank"),
    ("rerank", "rerank"),
    ("dpp", "rerank"),
    ("rank", "rank"),
    ("recall", "recall"),
    ("retriev", "recall"),
    ("channel", "recall"),
)
KINDS = {"channel": "recall", "merge": "merge", "ranking": "rank", "reranking": "rerank", "baseline": "baseline"}
KIND_NAMES = {
    "recall": "personalised channel",
    "recall faint": "channel that is the same for all users",
    "merge": "merge of all channels",
    "rank": "after ranking",
    "rerank": "after re-ranking",
    "baseline": "baseline",
}


def charts(report: Report) -> dict[str, list[Chart]]:
    """Section key -> its charts, in order."""
    out: dict[str, list[Chart]] = {}
    if report.funnel is not None and report.funnel.stages:
        out["funnel"] = [_sizes(report.funnel), _times(report.funnel)]
    if report.quality is not None and any(f.finite(row.recall) for row in report.quality.rows):
        out["quality"] = [_recall(report.quality)]
    if report.recall is not None:
        out["recall"] = _quota_curves(report.recall)
    out["targets"] = [_reliability(target) for target in report.targets if target.reliability]
    if report.diversity is not None:
        out["diversity"] = _variety(report.diversity) + _runs(report.diversity)
    if report.exposure is not None and report.exposure.filters:
        out["exposure"] = [_false_positives(report.exposure)]
    out["training"] = [chart for run in report.training for chart in _losses(run)]
    return out


def stage_colour(name: str) -> str:
    return next((colour for word, colour in STAGE_COLOURS if word in name.lower()), "other")


def _sizes(funnel: Funnel) -> BarChart:
    scale, ticks = log_scale(max(max(s.items_in, s.items_out) for s in funnel.stages), f.short_ticks)
    first = funnel.stages[0]
    bars = [Bar(f"into {first.name}", f.count(first.items_in), scale(first.items_in), "other")]
    bars += [Bar(s.name, f.count(s.items_out), scale(s.items_out), stage_colour(s.name)) for s in funnel.stages]
    return BarChart("How many items leave each stage", "items per request (logarithmic)", bars, ticks)


def _times(funnel: Funnel) -> BarChart:
    shares = [s.share if f.finite(s.share) else 0.0 for s in funnel.stages]
    scale, ticks = linear_scale(max(shares), f.percent_ticks)
    bars = [
        Bar(s.name, f.percent(s.share), scale(share), stage_colour(s.name))
        for s, share in zip(funnel.stages, shares, strict=True)
    ]
    return BarChart("Where the time goes", "share of the funnel's time", bars, ticks)


def _recall(quality: Quality) -> BarChart:
    known = [(row, row.recall) for row in quality.rows if f.finite(row.recall)]
    scale, ticks = linear_scale(max(value for _, value in known), f.percent_ticks)
    bars = [Bar(row.name, f.percent(value), scale(value), _row_colour(row)) for row, value in known]
    legend = [Key(KIND_NAMES[c], c) for c in dict.fromkeys(bar.colour for bar in bars)]
    references = []
    for name, style in (("popularity", "dashed"), ("random", "dotted")):
        recall = baseline_recall(quality, name)
        if recall is not None:
            references.append((scale(recall), style))
            legend.append(Key(f"{name}, {f.percent(recall)}", style, "tick"))
    title = f"How much of what users wanted is in the first {quality.k}"
    return BarChart(title, f"recall@{quality.k}", bars, ticks, references, legend)


def _quota_curves(recall: Recall) -> list[Chart]:
    colours = ("recall", "rerank", "rank", "merge", "filter", "prerank", "baseline")
    series = []
    for number, (row, curve) in enumerate(zip(recall.rows, recall.curves, strict=True)):
        points = [(float(x), y) for x, y in zip(recall.lengths, curve, strict=True) if f.finite(y)]
        turn, colour = divmod(number, len(colours))
        if points:
            series.append(Series(row.name, points, colours[colour], dots=turn % 2 == 1, dashed=turn > 0))
    if not series:
        return []
    title = "What a longer list of each channel would find"
    return [line_chart(title, "items asked for", "recall", series, f.short_ticks, f.percent_ticks, log="x")]


def _row_colour(row: QualityRow) -> str:
    return "recall faint" if row.kind == "channel" and not row.personalised else KINDS[row.kind]


def _reliability(target: Target) -> LineChart:
    points = [(b.predicted, b.observed) for b in target.reliability]
    top = max(max(p) for p in points) or 1.0
    series = [
        Series("predicted = observed", [(0.0, 0.0), (top, top)], "muted", dashed=True),
        Series(target.name, points, "rank", dots=True),
    ]
    title = f"{target.name}: does it happen as often as predicted?"
    return line_chart(title, "predicted rate", "observed rate", series, f.percent_ticks, f.percent_ticks, (0.0, top))


def _variety(diversity: Diversity) -> list[Chart]:
    known = [
        (row.name, row.mean_reward, row.intra_list_distance)
        for row in diversity.rows
        if row.mean_reward is not None and row.intra_list_distance is not None
    ]
    known = [k for k in known if f.finite(k[1]) and f.finite(k[2])]
    if len(known) < 2:
        return []
    points = [(reward, distance) for _, reward, distance in known]
    labels = [name for name, _, _ in known]
    series = [Series("", points, "rerank", dots=True, labels=labels)]
    title = "What variety costs: each dot is one way to make pages"
    return [line_chart(title, "mean reward of a page's items", "intra-list distance", series, f.ticks, f.ticks)]


def _runs(diversity: Diversity) -> list[Chart]:
    known = [(row.name, row.longest_run) for row in diversity.rows if f.finite(row.longest_run)]
    if not known:
        return []
    scale, ticks = linear_scale(max(run for _, run in known), f.ticks)
    plain = diversity.rows[0].name
    bars = [Bar(name, f.fixed(run, 2), scale(run), "rank" if name == plain else "rerank") for name, run in known]
    return [BarChart("The longest run of one category on a page", "items in a row, mean over pages", bars, ticks)]


def _false_positives(exposure: Exposure) -> BarChart:
    high = max(max(x.designed, x.measured) for x in exposure.filters)
    scale, ticks = linear_scale(high, f.percent_ticks)
    bars = [
        Bar(x.name, f.rate(x.measured), scale(x.measured), "filter", mark=scale(x.designed)) for x in exposure.filters
    ]
    legend = [Key("measured", "filter"), Key("designed", "mark", "tick")]
    title = "Unseen items wrongly held back"
    return BarChart(title, "false-positive rate", bars, ticks, legend=legend)


def _losses(run: Training) -> list[Chart]:
    colours = ("recall", "rerank", "rank", "merge", "filter")
    series = []
    for number, curve in enumerate(run.curves):
        pairs = zip(curve.steps, curve.values, strict=True)
        points = [(step, value) for step, value in pairs if f.finite(value)]
        if points:
            series.append(Series(curve.name, points, colours[number % len(colours)], dots=len(points) < 15))
    if not series:
        return []
    return [line_chart(f"{run.model}: loss while it trained", run.step_unit, run.loss, series, f.short_ticks, f.ticks)]
