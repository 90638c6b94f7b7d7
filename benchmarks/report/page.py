"""One page for a results file: what was found, every chart with its table under it, the machine."""

from __future__ import annotations

import math
from collections.abc import Sequence

from headrace.benchmarks.harness.results import Results, Row
from headrace.benchmarks.report import charts
from headrace.benchmarks.report.cases import Answers, Curve, answers, curves
from headrace.report import formats as f
from headrace.report.page import Page, Section, Table


def page_of(results: Results) -> Page:
    """The page; `headrace.report.page.write` makes it a file. Raises ValueError when nothing was timed."""
    answered = answers(results)
    if not answered:
        raise ValueError("results: expected at least one row with a time, got none")
    first = answered[0].rows[0]
    sections = [_overview(answered), _roofline(results, first.threads)]
    for op in dict.fromkeys(one.op for one in answered):
        sections.append(_op(op, [one for one in answered if one.op == op], results))
    sections += [_ceilings(results), _left_out(results)]
    return Page(
        title="Headrace, measured",
        headline=_headline(answered),
        facts=_facts(results),
        sections=[section for section in sections if section.tables or section.charts],
        footer=f"Headrace {first.versions.get('headrace', '')}, {first.time}",
        notes=[
            "Every answer was checked before it was timed; one that was wrong has no time.",
            "Providers of a case were timed in turns, round by round, in an order drawn anew for each round, all with "
            f"{first.threads} threads.",
            "The limit of a case is the time that the machine needs at least for its operations or its bytes, at the "
            "rates measured in the same run; data that fits a cache can be faster than memory.",
        ],
    )


def _headline(answered: Sequence[Answers]) -> str:
    ratios = {}
    for op in dict.fromkeys(one.op for one in answered):
        known = [math.log(one.speedup) for one in answered if one.op == op and one.speedup]
        if known:
            ratios[op] = math.exp(sum(known) / len(known))
    parts = [f"{op} {f.significant(ratio, 2)}x" for op, ratio in ratios.items()]
    return f"Against the best peer of each case, geometric mean: {', '.join(parts)}." if parts else "Headrace, measured"


def _facts(results: Results) -> list[tuple[str, str]]:
    machine, row = results.machine, results.rows[0]
    caches = ", ".join(f"{name} {_size(size)}" for name, size in machine.get("caches", {}).items())
    facts = [
        ("Machine", str(machine.get("cpu", row.device))),
        ("Cores, memory", f"{machine.get('cores')} cores, {machine.get('memory_gb')} GiB"),
        ("Caches", caches),
        ("Ran on", f"{row.device}, {row.isa}, {row.threads} threads"),
        ("Suite", row.suite),
        ("Revision", row.commit[:12] or "unknown"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in row.versions.items())),
    ]
    return [(name, value) for name, value in facts if value]


def _overview(answered: Sequence[Answers]) -> Section:
    known = [one for one in answered if one.speedup is not None]
    rows = []
    for one in known:
        ours, peer = one.ours, one.best_peer
        assert ours is not None
        assert peer is not None
        times = [_ms(ours.median), _ms(peer.median), f"{f.significant(one.speedup)}x", f.percent(ours.fraction, 0)]
        rows.append([one.op, one.case, peer.provider, *times])
    columns = ["op", "case", "best peer", "Headrace ms", "peer ms", "speed-up", "of limit"]
    table = Table("Every case, medians", columns, rows, text_columns=3)
    shown = [charts.speedups(op, [o for o in known if o.op == op]) for op in dict.fromkeys(o.op for o in known)]
    return Section("speedups", "Against the best peer", [table], [chart for chart in shown if chart])


def _roofline(results: Results, threads: int) -> Section:
    chart = charts.roofline(results.rows, results.ceilings, threads)
    rows = [
        [
            row.op,
            row.case + row.provider.removeprefix("headrace"),
            _ms(row.median),
            f.significant((row.flops or 0) / (row.median * 1e6)),
            f.significant((row.bytes or 0) / (row.median * 1e6)),
            row.limit or "",
            f.percent(row.fraction, 0),
        ]
        for row in results.rows
        if row.kind == "headrace" and row.median and row.flops is not None
    ]
    columns = ["op", "case", "ms", "GFLOP/s", "GB/s", "limit", "of limit"]
    note = "Kernels without arithmetic (look-ups, filters, selection) have no place on the roofline."
    return Section(
        "roofline",
        "How near the machine's limits",
        [Table("Rates reached", columns, rows, text_columns=2, note=note)] if rows else [],
        [chart] if chart else [],
    )


def _op(op: str, answered: Sequence[Answers], results: Results) -> Section:
    drawn = [curve for curve in curves(results) if curve.op == op]
    axes = list(dict.fromkeys(curve.axis for curve in drawn))
    found = [charts.scaling(f"{op}: time over {axis}", [c for c in drawn if c.axis == axis]) for axis in axes]
    rows = [
        [
            one.case if place == 0 else "",
            row.provider,
            _ms(row.median),
            _ms(row.min),
            _ms(row.p99),
            f.significant(row.median / one.ours.median) + "x" if one.ours and one.ours.median and row.median else "",
            row.checked,
        ]
        for one in answered
        for place, row in enumerate(one.rows)
    ]
    tables = [_exponents(op, axes, drawn)] if drawn else []
    columns = ["case", "provider", "median ms", "min ms", "p99 ms", "of ours", "answer"]
    tables.append(Table(f"{op}: every provider", columns, rows, text_columns=2))
    served = [row for one in answered for row in one.rows if "requests_per_second" in row.metrics]
    if served:
        return Section(op, op, [_metrics(op, served), *tables], [charts.requests_per_second(served), *found])
    return Section(op, op, tables, list(found))


def _exponents(op: str, axes: Sequence[str], drawn: Sequence[Curve]) -> Table:
    rows = [
        [one.axis, one.provider, f"{one.points[0][0]:g} to {one.points[-1][0]:g}", f.fixed(one.exponent, 2)]
        for axis in axes
        for one in drawn
        if one.axis == axis
    ]
    note = "Time grows like the parameter to this power: the slope of a straight line through the logarithms."
    columns = ["over", "provider", "range", "exponent"]
    return Table(f"{op}: growth", columns, rows, text_columns=2, note=note)


def _metrics(op: str, rows: Sequence[Row]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row.metrics))
    cells = [[row.case, row.provider, *(f.significant(row.metrics.get(name)) for name in names)] for row in rows]
    return Table(f"{op}: served", ["case", "provider", *(n.replace("_", " ") for n in names)], cells, text_columns=2)


def _ceilings(results: Results) -> Section:
    rows = [[one.name, str(one.threads), f.significant(one.value), one.unit, one.how] for one in results.ceilings]
    columns = ["ceiling", "threads", "rate", "unit", "how"]
    return Section("ceilings", "Ceilings", [Table("What this machine can do", columns, rows)] if rows else [])


def _left_out(results: Results) -> Section:
    rows = [[row.op, row.case, row.provider, row.error] for row in results.rows if row.error]
    rows += [[one["op"], one["case"], one["provider"], one["why"]] for one in results.skipped]
    columns = ["op", "case", "provider", "why"]
    return Section("left-out", "Left out", [Table("What has no time, and why", columns, rows, 4)] if rows else [])


def _size(size: int) -> str:
    return f"{size / 2**20:g} MiB" if size >= 2**20 else f"{size / 2**10:g} KiB"


def _ms(value: float | None) -> str:
    return f.significant(value)
