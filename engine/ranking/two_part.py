"""Pre-ranking's selection in two parts: the best by score, then the best by score and variety."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from headrace.jagged import offsets_of, standardise, top_per_segment
from headrace.kernels.diversity import mmr_picks
from headrace.types import Candidates


@dataclass(frozen=True)
class TwoPart:
    """Keeps `by_score` of the places for the best scores; the rest are picked by MMR against all that is kept so far.

    There is no window: what goes on should be varied as a whole, unlike a page, of which neighbours should differ.
    vectors: float32 [N, d] of unit length, of the whole catalogue. by_score: 0 to 1. theta: weight of the score against
    variety, as in re-ranking.
    """

    vectors: Tensor
    by_score: float
    theta: float

    def select(self, scored: Candidates, keep: int) -> tuple[Tensor, Tensor]:
        """At most `keep` candidates of each request, best score first: (index int64 [m], offsets int64 [B+1])."""
        order, _ = top_per_segment(scored.offsets, scored.score, scored.item, max(len(scored), 1))
        reward = standardise(scored.offsets, scored.score)[order]
        # In order of score, the first part is simply pinned where it stands.
        place = torch.arange(keep)
        sure = place < torch.minimum(scored.counts, torch.tensor(round(self.by_score * keep)))[:, None]
        pinned = torch.where(sure, place, -1)
        vectors = self.vectors.index_select(0, scored.item[order])
        picked = mmr_picks(vectors, reward, scored.offsets, keep, self.theta, pinned=pinned).picked
        kept = picked.masked_fill(picked < 0, keep + len(scored)).sort(1).values
        counts = scored.counts.clamp_max(keep)
        index = (kept + scored.offsets[:-1, None])[place < counts[:, None]]
        return order[index], offsets_of(counts)
