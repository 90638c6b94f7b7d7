"""Tables for people, in plain text: the machine of a check need not have more than torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from headrace.benchmarks.harness.ceilings import Ceiling
from headrace.benchmarks.harness.results import Row


def print_rows(rows: Iterable[Row]) -> None:
    """Every provider's time, and how many times longer than ours it takes."""
    lines = [("op", "case", "provider", "median ms", "min", "x ours", "of limit", "limit", "answer")]
    for _, group in groupby(rows, key=lambda row: (row.op, row.case)):
        case = list(group)
        ours = [row.median for row in case if row.kind == "headrace" and row.median]
        for row in case:
            if row.median is None or row.min is None:
                lines.append((row.op, row.case, row.provider, "-", "", "", "", "", (row.error or "").split("\n")[0]))
                continue
            ratio = f"{row.median / min(ours):.2f}" if ours and row.kind != "headrace" else ""
            share = f"{row.fraction:.0%}" if row.fraction is not None else ""
            times = (f"{row.median:.4g}", f"{row.min:.4g}")
            lines.append((row.op, row.case, row.provider, *times, ratio, share, row.limit or "", row.checked))
    print_table(lines)


def print_ceilings(ceilings: Iterable[Ceiling]) -> None:
    print_table([("ceiling", "", ""), *((c.name, f"{c.value:.5g} {c.unit}", c.how) for c in ceilings)])


def print_table(lines: Sequence[Sequence[str]]) -> None:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        print("  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip(), flush=True)
