"""One op's results as a Markdown table, every provider a column: what the pages of docs/kernels show."""

from __future__ import annotations

from pathlib import Path

from headrace.benchmarks.harness.results import Results
from headrace.benchmarks.report.cases import Answers, answers
from headrace.report import formats as f


def op_markdown(results: Results, name: str, op: str) -> str:
    """The cases of `op` outside scaling curves; `name` is the results file as the page's reader knows it.

    Raises ValueError where the file has none.
    """
    shown = [one for one in answers(results) if one.op == op and one.rows[0].axis is None]
    if not shown:
        raise ValueError(f"op: {name} has no case of {op!r}")
    row = shown[0].rows[0]
    providers = list(dict.fromkeys(row.provider for one in shown for row in one.rows))
    heads = ["case", *providers, "best peer by ours", "ours of the machine's limit"]
    lines = [
        f"Median milliseconds, {row.threads} threads, {results.machine.get('cpu', row.device)}, {row.isa}; every "
        f"answer checked before it was timed. Not exact: \\*. From [{Path(name).name}]({name}).",
        "",
        f"| {' | '.join(heads)} |",
        "|" + "---|" * len(heads),
        *(f"| {' | '.join(_cells(one, providers))} |" for one in shown),
    ]
    return "\n".join(lines) + "\n"


def _cells(one: Answers, providers: list[str]) -> list[str]:
    times = {row.provider: f.significant(row.median) + _mark(one, row.provider) for row in one.rows}
    ours = one.ours
    speedup = f"{f.significant(one.speedup, 2)}x" if one.speedup else ""
    share = f"{f.percent(ours.fraction, 0)} of {ours.limit}" if ours and ours.limit else ""
    return [one.case, *(times.get(provider, "") for provider in providers), speedup, share]


def _mark(one: Answers, provider: str) -> str:
    return "\\*" if provider in one.approximate else ""
