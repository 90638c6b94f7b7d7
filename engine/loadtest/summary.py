"""From a step's samples to its figures: percentiles of recorded latencies, rates, and whether the backlog grew."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headrace.loadtest.model import Latency
from headrace.loadtest.samples import Floats, Samples

_QUARTER_POINTS = 64


def latency_of(seconds: Floats) -> Latency:
    """Percentiles of latencies given in seconds; no interpolation, no buckets."""
    if len(seconds) == 0:
        return Latency()
    ms = 1e3 * np.sort(seconds)
    # Ranks in whole numbers: 99.9 % of 1,000 must be the 999th, whatever 0.999 is in binary.
    p50, p99, p999 = (float(ms[-(-len(ms) * thousandths // 1000) - 1]) for thousandths in (500, 990, 999))
    return Latency(p50, p99, p999, float(ms[-1]), float(ms.mean()))


def closed_rate(samples: Samples, measured: NDArray[np.bool_]) -> float:
    """Requests answered a second by workers that are never idle: each worker's count over its own time, added up.

    measured: bool [n], the requests to count. A call that the end of the step cuts through is counted whole, with its
    whole time.
    """
    worker = samples.worker[measured]
    if len(worker) == 0:
        return 0.0
    workers = int(worker.max()) + 1
    first, last = np.full(workers, np.inf), np.full(workers, -np.inf)
    np.minimum.at(first, worker, samples.sent[measured])
    np.maximum.at(last, worker, samples.done[measured])
    answered = np.bincount(worker, weights=samples.ok[measured], minlength=workers)
    busy = last > first
    return float((answered[busy] / (last[busy] - first[busy])).sum())


def backlog_grew(samples: Samples, start: float, end: float, batch: int) -> bool:
    """Whether more and more requests waited to be sent between `start` and `end`, beyond what chance and batches do.

    The mean number waiting in the window's last quarter is compared with that in its first. Arrivals of a Poisson
    process vary by the square root of their number, and a batch of requests waits where the target keeps up.
    """
    if len(samples.unsent):
        return True
    due, sent = np.sort(samples.due), np.sort(samples.sent)

    def waiting(a: float, b: float) -> float:
        at = np.linspace(a, b, _QUARTER_POINTS)
        return float((np.searchsorted(due, at, "right") - np.searchsorted(sent, at, "right")).mean())

    quarter = (end - start) / 4
    grown = (waiting(end - quarter, end) - waiting(start, start + quarter)) * 4 / 3
    arrived = float(((due >= start) & (due < end)).sum())
    return bool(grown > max(batch, 0.03 * arrived, arrived**0.5))


def open_latencies(samples: Samples, measured: NDArray[np.bool_], unsent: Floats) -> tuple[Latency, Latency]:
    """Latency from when requests were due, and from when they were sent; of those that succeeded.

    unsent: due times of measured requests that were given up; they have waited at least until then.
    """
    good = measured & samples.ok
    waited = samples.ended - unsent
    corrected = np.concatenate([samples.done[good] - samples.due[good], waited])
    return latency_of(corrected), latency_of(samples.done[good] - samples.sent[good])
