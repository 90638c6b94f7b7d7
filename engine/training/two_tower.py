"""Trains the two towers: listwise, on clicks, against the batch's other items and easy negatives of the catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from headrace.data.dataset import Catalogue, Dataset, Jagged, Users
from headrace.jagged import gather_rows
from headrace.retrieval.two_tower import Features, TwoTowerModel
from headrace.training.loop import FitReport, TrainSettings, fit
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class TwoTowerSettings(TrainSettings):
    epochs: int = 3
    batch_size: int = 1024
    learning_rate: float = 1e-3
    embedding_learning_rate: float = 1e-2
    dim: int = 64
    hidden: int = 128
    last_n: int = 30
    temperature: float = 0.07
    negatives: int = 1024
    negative_power: float = 0.0
    correction: float = 1.0
    min_positives: int = 0


def listwise_loss(
    cosines: Tensor, positive: Tensor, log_p: Tensor | None = None, temperature: float = 1.0, mask: Tensor | None = None
) -> Tensor:
    logits = cosines / temperature
    if log_p is not None:
        logits = logits - log_p
    if mask is not None:
        logits = logits.masked_fill(mask, float("-inf"))
    return -torch.log_softmax(logits, 1).gather(1, positive[:, None]).squeeze(1)


class _Listwise(torch.autograd.Function):
    """mean of listwise_loss(users @ items.T, ...) with its gradient taken while the logits are at hand."""

    @staticmethod
    def forward(ctx: Any, users, items, positive, log_p, temperature, hit_row, hit_col):
        rows = torch.arange(users.shape[0])
        logits = torch.addmm(-log_p, users, items.T, alpha=1 / temperature)
        own = logits[rows, positive]
        logits[hit_row, hit_col] = float("-inf")
        logits[rows, positive] = own
        lse = torch.logsumexp(logits, 1)
        grad = logits.sub_(lse[:, None]).exp_()
        grad[rows, positive] -= 1
        scale = 1 / (temperature * users.shape[0])
        ctx.save_for_backward((grad @ items).mul_(scale), (grad.T @ users).mul_(scale))
        return (lse - own).mean()

    @staticmethod
    def backward(ctx: Any, upstream):
        u, i = ctx.saved_tensors
        return u * upstream, i * upstream, None, None, None, None, None


@dataclass(frozen=True)
class Positives:
    """user, item, end: int64 [P], sorted by user, then time. offsets int64 [U+1]"""
    user: Tensor
    item: Tensor
    end: Tensor
    offsets: Tensor

    def recent(self, users: Tensor, end: Tensor, n: int) -> Tensor:
        place = end[:, None] - 1 - torch.arange(n)
        return torch.where(place >= self.offsets[users][:, None], self.item[place.clamp_min(0)], -1)


def positives_of(dataset: Dataset) -> Positives:
    logs = [log for log in (dataset.history, dataset.log) if log is not None]
    kept = [log.interest() > 0 for log in logs]
    user = np.concatenate([log.user[k] for log, k in zip(logs, kept)]).astype(np.int64)
    item = np.concatenate([log.item[k] for log, k in zip(logs, kept)]).astype(np.int64)
    time = np.concatenate([log.time[k] for log, k in zip(logs, kept)])
    older = len(user) - int(kept[-1].sum())
    order = np.argsort(user, kind="stable")
    user, item, time = user[order], item[order], time[order]
    first = np.ones(len(user), bool)
    first[1:] = (user[1:] != user[:-1]) | (time[1:] != time[:-1]) | (order[1:] < older)
    end = np.maximum.accumulate(np.where(first, np.arange(len(user)), 0))
    offsets = np.zeros(len(dataset.users) + 1, np.int64)
    np.cumsum(np.bincount(user, minlength=len(dataset.users)), out=offsets[1:])
    return Positives(*(torch.from_numpy(a) for a in (user, item, end, offsets)))


def features_of(n: int, fields: dict[str, NDArray[np.int32]], bags: dict[str, Jagged]) -> Features:
    rows, codes, weights, sizes, base = [], [], [], {}, 0
    for name in sorted({*fields, *bags}):
        if name in fields:
            row, code, weight = np.arange(n), fields[name].astype(np.int64), np.ones(n, np.float32)
        else:
            counts = np.diff(bags[name].offsets)
            row = np.concatenate([np.repeat(np.arange(n), counts), np.flatnonzero(counts == 0)])
            code = np.concatenate([bags[name].values.astype(np.int64), np.full(int((counts == 0).sum()), -1)])
            weight = (1 / np.maximum(counts, 1)).astype(np.float32)[row]
        sizes[name] = int(code.max(initial=-1)) + 2
        rows.append(row); codes.append(code + 1 + base); weights.append(weight)
        base += sizes[name]
    if not rows:
        return Features(torch.zeros(n+1, dtype=torch.int64), torch.zeros(0,dtype=torch.int64), torch.zeros(0), {})
    row = np.concatenate(rows)
    order = np.argsort(row, kind="stable")
    offsets = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(row, minlength=n), out=offsets[1:])
    return Features(torch.from_numpy(offsets), torch.from_numpy(np.concatenate(codes)[order]), torch.from_numpy(np.concatenate(weights)[order]), sizes)


def item_features(c: Catalogue) -> Features:
    fields = {k: v for k, v in (("author", c.author), ("city", c.city)) if v is not None}
    if c.duration_ms is not None:
        d = c.duration_ms
        fields["duration"] = np.where(d < 0, -1, np.clip(2 * np.log2(np.maximum(d, 1000) / 1000), 0, 31).astype(np.int32))
    return features_of(len(c), fields, {"category": c.category} if c.category is not None else {})


class Objective:
    def __init__(self, model, ds: Dataset, s: TwoTowerSettings):
        self.model, self.s = model, s
        self.pos = positives_of(ds)
        self.uf = features_of(len(ds.users), ds.users.features, {})
        self.itf = item_features(ds.catalogue)
        self.content = None if ds.catalogue.vector is None else torch.from_numpy(ds.catalogue.vector)
        clicks = torch.bincount(self.pos.item, minlength=len(ds.catalogue)).double()
        p = clicks / clicks.sum()
        q = clicks ** s.negative_power if s.negative_power else torch.ones_like(clicks)
        q = q / q.sum()
        self.cdf = q.cumsum(0)
        pi = -torch.expm1(-(s.batch_size * p + s.negatives * q))
        self.log_p = (s.correction * pi.clamp_min(1e-12).log()).float()
        self.column = torch.full((len(ds.catalogue),), -1)

    def __call__(self, rows):
        pos, s = self.pos, self.s
        user, item = pos.user[rows], pos.item[rows]
        neg = torch.searchsorted(self.cdf, torch.rand(s.negatives, dtype=torch.float64)).clamp_max(len(self.cdf) - 1)
        cand = torch.unique(torch.cat([item, neg]))
        self.column[cand] = torch.arange(len(cand))
        index, out = gather_rows(pos.offsets, user)
        hit_col = self.column[pos.item[index]]
        hit_row = torch.repeat_interleave(torch.arange(len(rows)), out.diff())
        hit = hit_col >= 0
        positive = self.column[item]
        self.column[cand] = -1
        u = self.model.user_vectors(user, pos.recent(user, pos.end[rows], s.last_n), self.uf)
        v = self.model.item_vectors(cand, self.itf, self.content)
        return _Listwise.apply(u, v, positive, self.log_p[cand], s.temperature, hit_row[hit], hit_col[hit])
