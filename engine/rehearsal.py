"""A rehearsal: the funnel as it would have stood before the log's last days, judged by what users then went on to do.

Channels that have learnt from the rows before a cut bring their candidates at the cut, and rankers that have learnt
from the same rows predict them: what serving ranks, with the outcome known and by nobody seen. From it comes the blend
of predictions and recall, and whether anything beats the plain fusion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from headrace.channels.evidence import MERGED, with_scores
from headrace.data import InteractionLog
from headrace.funnel import Funnel
from headrace.jagged import offsets_of, segment_of, top_per_segment
from headrace.ranking import BlendSettings, FusionSettings, Ranker, fuse
from headrace.ranking.blend import FUSED, Blend, learn
from headrace.types import Candidates, Requests

_BATCH = 128
#: Candidates that are held at once, at most.
_MOST = 1 << 21
#: The powers of the odds of being shown that plain fusion is tried with.
POWERS = (0.0, 0.5, 0.75, 1.0)
#: A way to score is judged by its first so many.
DEPTH = 50
BLEND = "learned blend"


@dataclass(frozen=True)
class Question:
    """requests: one of each user who chose something after the cut that was new to them, at the cut. offsets: int64
    [B+1], item: int64 [n], what they chose."""

    requests: Requests
    offsets: Tensor
    item: Tensor


@dataclass(frozen=True)
class Verdict:
    """What a rehearsal says of one ranker. quality: way to score -> mean NDCG of its first `DEPTH`. blend: None where
    the plain fusion is better; the merge's score alone where that is best."""

    quality: dict[str, float]
    blend: Blend | None


@dataclass(frozen=True)
class Rehearsal:
    """cut: its moment, ms. requests: users that were asked for. chosen: items among their candidates that they chose.
    power: of the odds of being shown, the best for the plain fusion of the last ranker. verdicts: by part. lost: the
    share of the ranker's first `DEPTH` that pre-ranking leaves out; None without pre-ranking."""

    cut: int
    requests: int
    chosen: int
    power: float
    verdicts: dict[str, Verdict]
    lost: float | None = None


def question_of(past: InteractionLog, after: InteractionLog, items: int, limit: int, seed: int) -> Question:
    """At most `limit` users, drawn by `seed`; in the context of each user's first row after the cut."""
    pair = after.user.astype(np.int64) * items + after.item
    new = np.setdiff1d(pair[after.interest() > 0], past.user.astype(np.int64) * items + past.item)
    user, item = new // items, new % items
    users = np.unique(user)
    if len(users) > limit:
        users = np.sort(np.random.default_rng(seed).choice(users, limit, replace=False))
        kept = np.isin(user, users)
        user, item = user[kept], item[kept]
    first = np.unique(after.user, return_index=True)[1]
    first = first[np.isin(after.user[first], users)]
    context = {name: torch.from_numpy(codes[first].astype(np.int64)) for name, codes in after.context.items()}
    time = torch.full((len(users),), int(after.time[0]), dtype=torch.int64)
    counts = torch.from_numpy(np.bincount(np.searchsorted(users, user), minlength=len(users)))
    return Question(Requests(torch.from_numpy(users), time, context), offsets_of(counts), torch.from_numpy(item))


def rehearse(
    funnel: Funnel,
    rankers: Sequence[tuple[str, Ranker]],
    question: Question,
    settings: BlendSettings,
    fusion: FusionSettings,
    seed: int,
) -> Rehearsal:
    """Asks `funnel`, of what was known at the cut, and judges every way to score what it brings.

    rankers: by part, the last of them the one that decides.
    """
    found = _asked(funnel, [ranker for _, ranker in rankers], question)
    wanted = question.offsets.diff()[: found[0].batch]
    chosen = _chosen(found[0], question, funnel.items)
    judge = _Judge(chosen, wanted, tuple(channel.name for channel in funnel.channels), settings, seed)
    powers: Sequence[float] = POWERS
    if fusion.exposure_power is not None or "p_impression" not in found[-1].columns:
        powers = (fusion.exposure_power or 0.0,)
    plain = {power: judge.quality(found[-1], _fused(found[-1], fusion, power)) for power in powers}
    # Of equal ones the first, which is the plainest.
    power = max(plain, key=lambda power: plain[power])
    verdicts, scores = {}, []
    for (part, _), candidates in zip(rankers, found, strict=True):
        fused = _fused(candidates, fusion, power)
        verdicts[part], score = judge.verdict(candidates.with_score(candidates.score, **{FUSED: fused}))
        scores.append(score)
    for tried, value in plain.items():
        verdicts[rankers[-1][0]].quality[f"fusion, exposure_power {tried:g}"] = value
    lost = _lost(found[0], scores[0], scores[1], funnel.select.keep) if len(scores) == 2 else None
    return Rehearsal(int(question.requests.time[0]), len(wanted), int(chosen.sum()), power, verdicts, lost)


def _fused(candidates: Candidates, fusion: FusionSettings, power: float) -> Tensor:
    plain = fusion.model_copy(update={"exposure_power": power})
    return fuse(candidates.columns, candidates.offsets, candidates.item, plain)


def _asked(funnel: Funnel, rankers: Sequence[Ranker], question: Question) -> list[Candidates]:
    """The candidates of the first requests, as many as are held at once, with what each ranker predicts of them."""
    parts: list[list[Candidates]] = [[] for _ in rankers]
    # Recall and merge alone: every ranker is asked of all candidates below.
    recall = replace(funnel, preranker=None, ranker=None, reranks=False)
    held = 0
    for start in range(0, len(question.requests), _BATCH):
        if held >= _MOST:
            break
        requests = question.requests.take(torch.arange(start, min(start + _BATCH, len(question.requests))))
        trace = recall.run(requests, 1)
        brought = with_scores(trace.filled, list(trace.allowed.values()))
        held += len(brought)
        for ranker, part in zip(rankers, parts, strict=True):
            predicted = ranker.predict(requests, brought.offsets, brought.item)
            part.append(brought.with_score(brought.score, **predicted))
    return [_joined(part) for part in parts]


def _joined(parts: Sequence[Candidates]) -> Candidates:
    columns = {name: torch.cat([part.columns[name] for part in parts]) for name in parts[0].columns}
    item, score, channels = (
        torch.cat([getattr(part, name) for part in parts]) for name in ("item", "score", "channels")
    )
    return Candidates(offsets_of(torch.cat([part.counts for part in parts])), item, score, channels, columns)


def _chosen(candidates: Candidates, question: Question, items: int) -> Tensor:
    return torch.isin(
        candidates.request * items + candidates.item, segment_of(question.offsets) * items + question.item
    )


@dataclass(frozen=True)
class _Judge:
    """chosen: bool [n], of the candidates. wanted: int64 [B], how much each request would have chosen of all items."""

    chosen: Tensor
    wanted: Tensor
    channels: tuple[str, ...]
    settings: BlendSettings
    seed: int

    def quality(self, candidates: Candidates, score: Tensor) -> float:
        return _ndcg(candidates, score, self.chosen, self.wanted)

    def verdict(self, candidates: Candidates) -> tuple[Verdict, Tensor]:
        """And the scores of what it is for, float32 [n]."""
        fused = candidates.columns[FUSED]
        quality = {"merge": self.quality(candidates, candidates.score), "fusion": self.quality(candidates, fused)}
        # Judged by halves, each by what the other has taught, which half as much may do.
        halved = self.settings.model_copy(update={"least": -(-self.settings.least // 2)})
        odd = candidates.request % 2 == 1
        score = torch.zeros_like(fused)
        for taught in (odd, ~odd):
            blend = self._learn(candidates.keep(taught), self.chosen[taught], halved)
            if blend is None:
                return self._plainly(quality, candidates)
            score[~taught] = blend.score({name: column[~taught] for name, column in candidates.columns.items()})
        quality[BLEND] = self.quality(candidates, score)
        blend = self._learn(candidates, self.chosen, self.settings)
        if blend is None or quality[BLEND] < max(quality["fusion"], quality["merge"]):
            return self._plainly(quality, candidates)
        return Verdict(quality, blend), blend.score(candidates.columns)

    def _plainly(self, quality: dict[str, float], candidates: Candidates) -> tuple[Verdict, Tensor]:
        """By the plain fusion, or by the merge alone where that is better."""
        if quality["merge"] <= quality["fusion"]:
            return Verdict(quality, None), candidates.columns[FUSED]
        return Verdict(quality, Blend({MERGED: 1.0}, {})), candidates.score

    def _learn(self, candidates: Candidates, chosen: Tensor, settings: BlendSettings) -> Blend | None:
        return learn(candidates, self.channels, chosen, settings, self.seed, {FUSED: 1.0})


def _ndcg(candidates: Candidates, score: Tensor, chosen: Tensor, wanted: Tensor) -> float:
    """The mean over the requests of the NDCG of the first `DEPTH`, gain 1 for what was chosen."""
    index, offsets = top_per_segment(candidates.offsets, score, candidates.item, DEPTH)
    place = torch.arange(len(index)) - offsets.index_select(0, segment_of(offsets))
    gain = chosen.index_select(0, index).double() / (place + 2).double().log2()
    reached = torch.zeros(candidates.batch, dtype=torch.float64).index_add_(0, segment_of(offsets), gain)
    ideal = (1 / (torch.arange(DEPTH) + 2).double().log2()).cumsum(0)
    return float((reached / ideal[wanted.clamp(1, DEPTH) - 1]).mean())


def _lost(candidates: Candidates, first: Tensor, second: Tensor, keep: int) -> float:
    """The share of the best `DEPTH` by `second` that are not among the best `keep` by `first`."""
    best, _ = top_per_segment(candidates.offsets, second, candidates.item, DEPTH)
    kept = torch.zeros(len(candidates), dtype=torch.bool)
    kept[top_per_segment(candidates.offsets, first, candidates.item, keep)[0]] = True
    return float((~kept[best]).double().mean())
