"""The README's table of results, made from a results file."""

from __future__ import annotations

from pathlib import Path

from headrace.benchmarks.harness.results import Results
from headrace.benchmarks.report.cases import answers
from headrace.kernels import atomic
from headrace.report import formats as f

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def markdown(results: Results, name: str) -> str:
    """The cases that have a peer, as Markdown; `name` is the results file as the reader knows it."""
    row = results.rows[0]
    lines = [
        f"Median milliseconds, {row.threads} threads, {results.machine.get('cpu', row.device)}, {row.isa}; every "
        f"answer checked before it was timed; peers tuned, with as many threads. From [{Path(name).name}]({name}).",
        "",
        "| op | case | Headrace ms | best peer | speed-up | of the machine's limit |",
        "|---|---|---|---|---|---|",
    ]
    for one in answers(results):
        ours, peer, speedup = one.ours, one.best_peer, one.speedup
        # Where approximate ways stand beside the exact index, all of them are ours.
        if ours is None or peer is None or speedup is None or not ours.provider.startswith("headrace"):
            continue
        share = f"{f.percent(ours.fraction, 0)} of {ours.limit}" if ours.limit else ""
        way = ours.provider.removeprefix("headrace")
        times = f"{f.significant(ours.median)}{way} | {f.significant(peer.median)} {peer.provider}"
        lines.append(f"| {one.op} | {one.case} | {times} | {f.significant(speedup, 2)}x | {share} |")
    return "\n".join(lines) + "\n"


def rewrite(readme: Path, table: str) -> None:
    """Puts `table` between the two markers of `readme`. Raises ValueError naming the file when they are missing."""
    text = readme.read_text()
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{readme}: expected the lines {BEGIN} and {END}")
    with atomic.replace(readme) as part:
        part.write_text(f"{head}{BEGIN}\n{table}{END}{tail}")
