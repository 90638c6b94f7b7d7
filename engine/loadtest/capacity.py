"""What a run says in words: the capacity under a limit on p99, where the target saturates, and what went wrong."""

from __future__ import annotations

from headrace.loadtest.model import LoadReport, Step, reasons_of
from headrace.report.formats import count, percent, significant
from headrace.report.page import Verdict


def capacity(report: LoadReport) -> Step | None:
    """The step with the most requests answered a second among those that kept up, without errors, within the limit."""
    good = [step for step in report.offered if _within(step, report.plan.slo_ms)]
    return max(good, key=lambda step: step.achieved, default=None)


def capacity_sentence(report: LoadReport) -> str:
    """The highest offered load that kept p99 within the limit; or that none did, and the nearest."""
    if not report.offered:
        return f"{report.target}: no offered load was measured, so nothing can be said about its capacity."
    limit = f"p99 <= {report.plan.slo_ms:g} ms"
    best = capacity(report)
    if best is None:
        first = min(report.offered, key=lambda step: step.offered or 0.0)
        what = f"its p99 was {significant(first.latency.p99)} ms" if first.requests else "it answered none"
        return (
            f"{report.target}: no offered load met {limit}; "
            f"at the lowest, {_rate(first.offered)} requests/s, {what} ({sizes(report)})."
        )
    # With the highest load tried still within the limit, the true capacity is not known.
    least = "at least " if best.load == max(step.load or 0.0 for step in report.offered) else ""
    if report.in_process:
        cores = _cores(report)
        return (
            f"{report.target}: {least}{_rate(best.achieved / cores)} requests/s per core at {limit} ({sizes(report)})."
        )
    return f"{report.target}: {least}{_rate(best.achieved)} requests/s at {limit} ({sizes(report)})."


def sizes(report: LoadReport) -> str:
    """Batch, threads and calls at once of the offered loads, in words."""
    plan = report.plan
    batches = f"batches of {'up to ' if plan.gather else ''}{plan.batch}" if plan.batch > 1 else "one user a call"
    if not report.in_process:
        return f"{batches}, {many(plan.workers, 'connection')}"
    return f"{batches}, {many(plan.threads, 'thread')}, {many(plan.workers, 'call', 'at once')}"


def verdicts(report: LoadReport) -> list[Verdict]:
    """All sentences, worst first."""
    out = []
    if report.failure:
        out.append(Verdict(f"The run ended early: {report.failure}.", False))
    if report.interrupted:
        out.append(Verdict("The run was interrupted; these are the steps that were finished.", None))
    failed = sum(step.errors for step in report.steps)
    if failed:
        total = failed + sum(step.requests for step in report.steps)
        out.append(
            Verdict(
                f"{count(failed)} of {count(total)} requests failed and are in no latency or rate; "
                f"{reasons_of(report.steps)}",
                False,
            )
        )
    return [*out, *_limit(report), *_saturation(report)]


def _limit(report: LoadReport) -> list[Verdict]:
    if not report.offered:
        return []
    limit = f"p99 <= {report.plan.slo_ms:g} ms"
    best = capacity(report)
    if best is None:
        return [Verdict(f"No offered load met {limit}.", False)]
    share = f"{percent(best.load, 0)} of the closed loop's rate"
    out = [Verdict(f"{limit} held up to {_rate(best.achieved)} requests/s, {share}.", True)]
    below = [s for s in report.offered if (s.load or 0) < (best.load or 0) and not _within(s, report.plan.slo_ms)]
    if below:
        loads = ", ".join(percent(step.load, 0) for step in below)
        out.append(Verdict(f"A lower load missed it ({loads}): the limit is within this run's noise.", None))
    return out


def _saturation(report: LoadReport) -> list[Verdict]:
    full = [step for step in report.offered if step.saturated]
    if full:
        first = min(full, key=lambda step: step.offered or 0.0)
        text = (
            f"Saturated from {_rate(first.offered)} requests/s offered ({percent(first.load, 0)}): the backlog grew, "
            "so these steps' latencies depend on how long the step was."
        )
        return [Verdict(text, None)]
    if report.offered and not report.interrupted and not report.failure:
        return [Verdict("No offered load saturated the target: its capacity is above what was tried.", None)]
    return []


def _within(step: Step, slo_ms: float) -> bool:
    p99 = step.latency.p99
    return p99 is not None and p99 <= slo_ms and not (step.saturated or step.errors or step.unsent)


def _cores(report: LoadReport) -> int:
    return min(report.cores, report.plan.threads * report.plan.workers)


def _rate(value: float | None) -> str:
    return (
        significant(value, 3) if value is not None and value < 100 else count(None if value is None else round(value))
    )


def many(number: int, noun: str, rest: str = "") -> str:
    """2, "call", "at once" -> "2 calls at once"."""
    return f"{number} {noun}{'' if number == 1 else 's'} {rest}".rstrip()
