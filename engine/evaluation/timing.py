"""The funnel under the clock: items in and out of each stage, milliseconds per request, requests per second."""

from __future__ import annotations

import time

import numpy as np
import torch

from headrace.evaluation.held_out import HeldOut
from headrace.funnel import Funnel
from headrace.report.model import Funnel as FunnelReport
from headrace.report.model import Stage


def measure_funnel(
    funnel: Funnel, question: HeldOut, shown: int, batch_size: int = 64, batches: int = 30
) -> FunnelReport:
    """Runs `batches` batches of held-out requests after two that are not counted."""
    total = len(question.requests)
    traces, seconds = [], []
    for number in range(batches + 2):
        index = (np.arange(batch_size) + number * batch_size) % total
        requests = question.requests.take(torch.from_numpy(index))
        start = time.perf_counter()
        trace = funnel.run(requests, shown)
        if number >= 2:
            seconds.append(time.perf_counter() - start)
            traces.append(trace.times)
    whole = sum(seconds)
    stages = []
    for place, first in enumerate(traces[0]):
        column = [times[place] for times in traces]
        ms = np.array([stage.seconds for stage in column]) * 1e3 / batch_size
        stages.append(
            Stage(
                first.stage.replace("_", " "),
                float(np.mean([stage.items_in for stage in column])) / batch_size,
                float(np.mean([stage.items_out for stage in column])) / batch_size,
                float(np.percentile(ms, 50)),
                float(np.percentile(ms, 99)),
                sum(stage.seconds for stage in column) / whole,
            )
        )
    return FunnelReport(stages, batches * batch_size, batch_size, batches * batch_size / whole)
