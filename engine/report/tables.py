"""The report's sections as tables of text, made once for the terminal and the page."""

from __future__ import annotations

from pydantic import JsonValue

from headrace.report import formats as f
from headrace.report.matrix import draw_matrix
from headrace.report.model import Machine, Quality, Rehearsal, Report, Target
from headrace.report.page import Section, Table
from headrace.report.verdicts import reward_given_up


def sections(report: Report) -> list[Section]:
    """The parts that were measured, in reading order."""
    made = [
        Section("funnel", "The funnel", [_funnel(report)] if report.funnel else []),
        Section("quality", "Retrieval quality", _qualities(report)),
        _recall(report),
        Section("rehearsal", "Rehearsal", _rehearsal(report.rehearsal) if report.rehearsal else []),
        Section("targets", "Ranking targets", [targets_table(report.targets)] if report.targets else []),
        Section("diversity", "Diversity", [_diversity(report)] if report.diversity else []),
        Section("exposure", "Exposure filter", _exposure(report) if report.exposure else []),
        Section("training", "Training", [_training(report)] if report.training else []),
        Section("dataset", "Dataset", _dataset(report) if report.dataset else []),
        Section("machine", "Machine", [machine_table(report.machine)]),
        Section("settings", "Settings", [_settings(report)] if report.settings else []),
    ]
    return [section for section in made if section.tables]


def _funnel(report: Report) -> Table:
    funnel = report.funnel
    assert funnel is not None
    times = f.milliseconds([t for s in funnel.stages for t in (s.p50_ms, s.p99_ms)])
    rows = [
        [s.name, f.count(s.items_in), f.count(s.items_out), p50, p99, f.percent(s.share)]
        for s, p50, p99 in zip(funnel.stages, times[::2], times[1::2], strict=True)
    ]
    note = (
        f"{f.count(funnel.requests)} requests in batches of {funnel.batch_size}: "
        f"{f.count(round(funnel.requests_per_second))} requests/s. "
        "Milliseconds are a batch's time divided by its requests."
    )
    columns = ["stage", "items in", "items out", "p50 ms/request", "p99 ms/request", "share of time"]
    return Table("Stages: mean items per request, and time", columns, rows, note=note)


def _qualities(report: Report) -> list[Table]:
    if report.quality is None:
        return []
    return [_quality(report.quality), *([_gains(report.quality)] if report.quality.gains else [])]


def _quality(quality: Quality) -> Table:
    rows = [
        [
            row.name,
            row.kind,
            "yes" if row.personalised else "no",
            f.percent(row.recall),
            f.between(row.recall_95),
            f.fixed(row.ndcg),
            f.percent(row.hit_rate),
            f.percent(row.coverage),
            f.fixed(row.novelty, 1),
        ]
        for row in quality.rows
    ]
    k = quality.k
    columns = ["lists from", "kind", "personal", f"recall@{k}", "95 %", f"NDCG@{k}", f"hit@{k}", "coverage", "novelty"]
    truth = f" A request's truth: {quality.truth}." if quality.truth else ""
    note = f"Held out: {quality.held_out}. Means over {f.count(quality.requests)} requests with a truth.{truth}"
    best = _largest([row.recall for row in quality.rows])
    return Table(f"Lists of {k} on held-out days", columns, rows, 3, best, f"best recall@{k}", note)


def _recall(report: Report) -> Section:
    recall = report.recall
    if recall is None:
        return Section("recall", "Recall channels")
    quotas = [
        [row.name, f.count(row.quota), f.count(row.brought), f.percent(row.found), f.percent(row.unique, 2)]
        for row in recall.rows
    ]
    columns = ["channel", "quota", "brought", "found", "found by no other"]
    best = _largest([row.unique for row in recall.rows])
    note = (
        f"brought: items a request, of the quota. found: of all that {f.count(recall.requests)} requests wanted, what "
        f"is among them; all channels together: {f.percent(recall.together)}."
    )
    table = Table("What each brings for its quota", columns, quotas, 1, best, "would be missed most", note)
    names = [row.name for row in recall.rows]
    drawing = draw_matrix(
        "How much of a channel's items another finds too",
        names,
        recall.overlap,
        "percent of the row's items, within the quotas, that the column has for the same request",
    )
    return Section("recall", "Recall channels", [table], drawings=[drawing] if len(names) > 1 else [])


def _gains(quality: Quality) -> Table:
    k = quality.k
    rows = [
        [one.stage, one.before, *_difference(one.recall, one.recall_95), *_difference(one.ndcg, one.ndcg_95)]
        for one in quality.gains
    ]
    columns = ["stage", "against", f"recall@{k}", "95 % interval", f"NDCG@{k}", "95 % interval"]
    note = "Differences of the same users' values, in hundredths; intervals by the bootstrap over users."
    return Table("What each stage adds", columns, rows, 2, note=note)


def _difference(value: float | None, bounds: tuple[float | None, float | None]) -> list[str]:
    def points(x: float | None) -> str:
        return f"{100 * x:+.2f}" if f.finite(x) else f.DASH

    return [points(value), f"{points(bounds[0])} to {points(bounds[1])}"]


def _rehearsal(rehearsal: Rehearsal) -> list[Table]:
    parts = list(rehearsal.quality)
    ways = list(dict.fromkeys(way for part in parts for way in rehearsal.quality[part]))
    rows = [[way, *(f.fixed(rehearsal.quality[part].get(way), 4) for part in parts)] for way in ways]
    note = (
        f"The funnel as it stood before {f.day(rehearsal.day_ms)}, asked for {f.count(rehearsal.requests)} users, who "
        f"chose {f.count(rehearsal.chosen)} of its candidates. The blend is judged on users that it was not taught by."
    )
    if f.finite(rehearsal.lost):
        note += f" Pre-ranking leaves out {f.percent(rehearsal.lost)} of the ranker's first 50."
    tables = [Table("Ways to score the candidates, mean NDCG@50", ["scored by", *parts], rows, note=note)]
    inputs = list(dict.fromkeys(name for part in rehearsal.weights.values() for name in part))
    if inputs:
        learnt = list(rehearsal.weights)
        weights = [[name, *(f.fixed(rehearsal.weights[part].get(name), 3) for part in learnt)] for name in inputs]
        tables.append(Table("Weights of the learnt blend", ["input", *learnt], weights))
    return tables


def targets_table(targets: list[Target]) -> Table:
    """How well each target is predicted, beside its baselines."""
    names = list(dict.fromkeys(name for target in targets for name in target.baselines))
    rows = [
        [
            target.name,
            f.fixed(target.auc),
            f.fixed(target.gauc),
            *(f.fixed(target.baselines.get(name)) for name in names),
            f.fixed(target.calibration),
            f.fixed(target.log_loss),
            f.count(target.positives),
            f.count(target.rows),
        ]
        for target in targets
    ]
    columns = ["target", "AUC", "GAUC", *(f"AUC {name}" for name in names)]
    columns += ["pred./obs.", "log loss", "positives", "rows"]
    note = "GAUC: mean AUC inside a user's rows, weighted by rows. pred./obs.: mean prediction over observed rate."
    return Table("Ranking targets on held-out rows", columns, rows, note=note)


def _diversity(report: Report) -> Table:
    diversity = report.diversity
    assert diversity is not None
    rows = [
        [
            row.name,
            f.fixed(row.intra_list_distance),
            f.fixed(row.categories, 2),
            f.fixed(row.authors, 2),
            f.fixed(row.longest_run, 2),
            f.significant(row.mean_reward, 4),
            f.percent(reward_given_up(row, diversity.rows[0])),
        ]
        for row in diversity.rows
    ]
    columns = ["pages", "distance", "categories", "authors", "longest run", "mean reward", "reward given up"]
    note = (
        f"Means over {f.count(diversity.pages)} pages of {diversity.page_size} items. distance: 1 - mean cosine over a "
        "page's pairs. longest run: neighbours of one category in a row."
    )
    best = _largest([row.intra_list_distance for row in diversity.rows])
    return Table("Pages with and without re-ranking", columns, rows, 1, best, "most varied", note)


def _exposure(report: Report) -> list[Table]:
    exposure = report.exposure
    assert exposure is not None
    rates = [
        [x.name, f.rate(x.designed), f.rate(x.measured), f.count(x.probes), f.count(x.bits_per_user)]
        for x in exposure.filters
    ]
    columns = ["filter", "designed", "measured", "unseen pairs asked", "bits per user"]
    checks = [
        ["seen items shown again", f.count(exposure.seen_shown), f"{f.count(exposure.shown)} items shown"],
        ["false negatives", f.count(exposure.false_negatives), f"{f.count(exposure.seen_probes)} seen pairs asked"],
    ]
    return [
        Table("False-positive rate", columns, rates),
        Table("Must be zero", ["check", "count", "among"], checks),
    ]


def _training(report: Report) -> Table:
    named = list(dict.fromkeys(name for run in report.training for name in run.validation))
    rows = [
        [
            run.model.replace("_", " "),
            run.network or f.DASH,
            f.count(run.parameters),
            f.count(run.rows),
            f.duration(run.seconds),
            f"{f.fixed(run.kept_epochs, 1)} of {f.fixed(run.epochs, 1)}" if f.finite(run.epochs) else f.DASH,
            f.fixed(run.final_loss, 4),
            *(f.fixed(run.validation.get(name), 4) for name in named),
        ]
        for run in report.training
    ]
    columns = ["model", "network", "weights", "rows seen", "time", "epochs kept", "loss"]
    note = "held: on the rows that training was watched by." if named else ""
    return Table("Trained models", [*columns, *(f"held {name}" for name in named)], rows, note=note)


def _dataset(report: Report) -> list[Table]:
    data = report.dataset
    assert data is not None
    facts = [
        ["name", data.name],
        ["users", f.count(data.users)],
        ["items", f.count(data.items)],
        ["events", f.count(data.events)],
        ["first and last day", f"{f.day(data.first_ms)} to {f.day(data.last_ms)}"],
        ["rows read", f.count(data.rows_read)],
        ["rows kept", f.count(data.rows_kept)],
        *([f"dropped: {reason}", f.count(rows)] for reason, rows in data.dropped.items()),
    ]
    tables = [Table("The log as read", ["fact", "value"], facts, text_columns=2)]
    if data.signals:
        rows = [[s, f.count(n), f.rate(n / data.events if data.events else None)] for s, n in data.signals.items()]
        tables.append(Table("Signals in the log", ["signal", "rows with a yes", "of all events"], rows))
    return tables


def machine_table(m: Machine) -> Table:
    """The machine and the libraries' versions."""
    facts = [
        ["processor", m.cpu],
        ["cores", f.count(m.cores)],
        ["memory", f"{f.significant(m.memory_gb)} GB" if f.finite(m.memory_gb) else f.DASH],
        ["device", m.device],
        ["instruction set", m.isa or f.DASH],
        ["threads", f.count(m.threads)],
        *([name, version] for name, version in m.versions.items()),
    ]
    return Table("Where it ran", ["fact", "value"], facts, text_columns=2)


def _settings(report: Report) -> Table:
    rows = [[name, value] for key, setting in report.settings.items() for name, value in _flat(key, setting)]
    return Table("Settings used", ["setting", "value"], rows, text_columns=2)


def _flat(key: str, value: JsonValue) -> list[tuple[str, str]]:
    if isinstance(value, dict) and value:
        return [pair for name, inner in value.items() for pair in _flat(f"{key}.{name}", inner)]
    if isinstance(value, list):
        return [(key, ", ".join(str(v) for v in value) or f.DASH)]
    return [(key, f.DASH if value is None or value == {} else str(value))]


def _largest(values: list[float | None]) -> list[int]:
    """The rows that hold the largest value; none where nothing is known or nothing is compared."""
    known = [v for v in values if f.finite(v)]
    return [row for row, v in enumerate(values) if v == max(known)] if len(known) > 1 else []
