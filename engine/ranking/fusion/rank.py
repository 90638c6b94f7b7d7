"""sum w / (r^a + b), r the rank of the candidate by that column within its request."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.jagged import segment_of, top_per_segment
from headrace.ranking.fusion.formula import Weights, formula, terms, total


@formula("rank")
def by_rank(columns: dict[str, Tensor], offsets: Tensor, item: Tensor, settings: Weights) -> Tensor | None:
    parts = []
    for name, p in terms(columns, settings.weights):
        rank = ranks(offsets, p, item).double()
        power = settings.exponents.get(name, 1.0)
        parts.append(settings.weights[name] / (rank**power + settings.offsets.get(name, 1.0)))
    return total(parts)


def ranks(offsets: Tensor, score: Tensor, item: Tensor) -> Tensor:
    """int64 [n]: the rank of each candidate in its request by descending score, from 1, ties to the lower item."""
    order, _ = top_per_segment(offsets, score.float(), item, max(len(item), 1))
    out = torch.empty_like(order)
    out[order] = torch.arange(1, len(order) + 1) - offsets[segment_of(offsets)]
    return out
