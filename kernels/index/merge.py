"""Joins the answers of searches over parts of a catalogue into the answer of a search over all of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from headrace.kernels import settings
from headrace.kernels.topk import OP


def merge_best(scores: Sequence[Tensor], ids: Sequence[Tensor], k: int) -> tuple[Tensor, Tensor]:
    """The k best of several answers, best first, float64 [B, k] and int64 [B, k]; equal scores go to the lower id.

    scores: float64, one [B, width] for each part, best first, ids rising among equal scores. ids: int64 like it, -1
    where the part has no more. The parts share no id. Fewer than k in all: padded with id -1, score -inf.
    """
    width = max(part.shape[1] for part in ids)
    if OP.reason_off("native", ids[0].device) is not None:
        return _merge_sorted(torch.cat(list(scores), 1), torch.cat(list(ids), 1), k)
    every = torch.stack([widened(part, width, -torch.inf) for part in scores])
    names = torch.stack([widened(part, width, -1) for part in ids])
    best, best_ids = every.new_empty(every.shape[1], k), names.new_empty(every.shape[1], k)
    settings.extension().topk_merge(every.numpy(), names.numpy(), k, best.numpy(), best_ids.numpy())
    return best, best_ids


def _merge_sorted(scores: Tensor, ids: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """On any device, without waiting for it."""
    last = torch.where(ids < 0, torch.iinfo(torch.int64).max, ids)
    by_id = last.argsort(dim=1)
    by_score = scores.gather(1, by_id).sort(dim=1, descending=True, stable=True).indices[:, :k]
    order = by_id.gather(1, by_score)
    return widened(scores.gather(1, order), k, -torch.inf), widened(ids.gather(1, order), k, -1)


def widened(part: Tensor, width: int, value: float) -> Tensor:
    """[B, n] padded with `value` to [B, width]."""
    return torch.nn.functional.pad(part, (0, width - part.shape[1]), value=value)
