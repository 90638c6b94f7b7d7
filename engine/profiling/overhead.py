"""What spans cost: off, on, and as a share of a batch."""

from __future__ import annotations

import timeit
from dataclasses import dataclass

import numpy as np

from headrace.kernels import spans

_CALLS = 20_000


@dataclass(frozen=True)
class Overhead:
    """spans: a batch. off_ns, on_ns: a span's cost while recording is off and on, measured alone.

    off_share: what the spans cost a batch while off, of its time. on_share: how much longer batches took while
    recorded than the same batches unrecorded, the median of `pairs` turns; low and high: its quartiles.
    """

    spans: float
    off_ns: float
    on_ns: float
    off_share: float
    on_share: float
    low: float
    high: float
    pairs: int


def span_cost() -> float:
    """Nanoseconds that a span costs now, beyond an empty loop: the least of several tries."""
    empty = min(timeit.repeat("pass", number=_CALLS, repeat=5))
    code = "with span('stage', 'merge') as s:\n    if s is not None: s.items_in = 1"
    spent = min(timeit.repeat(code, globals={"span": spans.span}, number=_CALLS, repeat=5))
    return max(spent - empty, 0.0) / _CALLS * 1e9


def overhead(on: list[float], off: list[float], per_batch: float, batch_seconds: float) -> Overhead:
    """From paired rounds: seconds with recording on and off, in order. batch_seconds: of one unrecorded batch."""
    off_ns = span_cost()
    with spans.recording():
        on_ns = span_cost()
    low, middle, high = np.percentile(np.divide(on, off) - 1, [25, 50, 75])
    share = per_batch * off_ns * 1e-9 / batch_seconds
    return Overhead(per_batch, off_ns, on_ns, share, float(middle), float(low), float(high), len(on))
