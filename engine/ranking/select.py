"""Selection between pre-ranking and ranking: which candidates go on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from headrace.jagged import offsets_of, standardise, top_per_segment
from headrace.kernels.diversity import mmr_picks
from headrace.types import Candidates


@dataclass(frozen=True)
class Variety:
    """Selection in two parts: the best by score, then the best by score and variety.

    by_score: share of the places for the best scores; the rest are picked by MMR against all that is kept so far. There
    is no window: what goes on should be varied as a whole, unlike a page, of which neighbours should differ.
    vectors: float32 [N, d] of unit length, of the whole catalogue. by_score: 0 to 1. theta: weight of the score against
    variety, as in re-ranking.
    """

    vectors: Tensor
    by_score: float
    theta: float


@dataclass(frozen=True)
class Select:
    """keep: how many candidates of each request go on. variety: None: by score alone.

    Raises ValueError when keep is below 1.
    """

    keep: int
    variety: Variety | None = None

    def __post_init__(self) -> None:
        if self.keep < 1:
            raise ValueError(f"keep: expected at least 1, got {self.keep}")

    def select(self, scored: Candidates) -> Candidates:
        """At most `keep` candidates of each request, best first, ties to the lower item."""
        if self.variety is None:
            return scored.take(*top_per_segment(scored.offsets, scored.score, scored.item, self.keep))
        return scored.take(*_in_two_parts(scored, self.keep, self.variety))


def _in_two_parts(scored: Candidates, keep: int, variety: Variety) -> tuple[Tensor, Tensor]:
    """Best score first: (index int64 [m], offsets int64 [B+1])."""
    order, _ = top_per_segment(scored.offsets, scored.score, scored.item, max(len(scored), 1))
    reward = standardise(scored.offsets, scored.score)[order]
    # In order of score, the first part is simply pinned where it stands.
    place = torch.arange(keep)
    sure = place < torch.minimum(scored.counts, torch.tensor(round(variety.by_score * keep)))[:, None]
    pinned = torch.where(sure, place, -1)
    vectors = variety.vectors.index_select(0, scored.item[order])
    picked = mmr_picks(vectors, reward, scored.offsets, keep, variety.theta, pinned=pinned).picked
    kept = picked.masked_fill(picked < 0, keep + len(scored)).sort(1).values
    counts = scored.counts.clamp_max(keep)
    index = (kept + scored.offsets[:-1, None])[place < counts[:, None]]
    return order[index], offsets_of(counts)
