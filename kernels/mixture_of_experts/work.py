"""The least that a call of mixture_of_experts must do."""

from __future__ import annotations

from headrace.kernels.mixture_of_experts.model import MixtureSizes
from headrace.kernels.work import Work


def work(
    sizes: MixtureSizes, batch: int, candidates: int, behaviours: int, request: int, dynamic: int, fields: int = 1
) -> Work:
    """batch: B. candidates: of all requests. behaviours: of a request. request, dynamic: widths R and D."""
    s = sizes
    inputs = s.dim * (1 + s.attention) + dynamic
    first = inputs * (s.experts * s.hidden + s.targets * s.experts) + dynamic * s.targets
    first += (1 + fields) * s.width // 2  # rows are added, which is one operation where a product and a sum are two
    attended = 2 * behaviours * s.dim if s.attention else 0
    experts = s.experts * s.hidden * s.units
    heads = s.targets * (s.experts * s.units + s.units * s.head_units + s.head_units)
    flops = 2 * (candidates * (first + attended + experts + heads) + batch * request * s.width)
    row = 4 * s.width + 8 + 4 * fields + 4 * dynamic + 4 * s.targets
    side = 4 * (request + s.dim + behaviours * s.dim)
    return Work(float(flops), float(candidates * row + batch * side), random=True)
