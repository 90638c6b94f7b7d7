"""What recall knows of a candidate: the rank and the score that each channel gave it."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from headrace.jagged import standardise
from headrace.types import Candidates

#: Columns of merged candidates, a place for each channel: int32 [n, C], the rank from 1, 0 where the channel has not
#: found it; float32 [n, C], the channel's score, standardised within all that it found for the request, 0 likewise.
#: And float32 [n], the merge's score.
RANK, SCORE, MERGED = "recall_rank", "recall_score", "merged"


def with_scores(candidates: Candidates, found: Sequence[Candidates]) -> Candidates:
    """`candidates` of the merge, which have the column `RANK`, with the other two. found: what was merged."""
    rank, request = candidates.columns[RANK], candidates.request
    score = torch.zeros(rank.shape, dtype=torch.float32)
    for c, part in enumerate(found):
        held = rank[:, c].nonzero().squeeze(1)
        first = part.offsets.index_select(0, request.index_select(0, held))
        place = first + rank[:, c].index_select(0, held) - 1
        score[held, c] = standardise(part.offsets, part.score).index_select(0, place)
    return candidates.with_score(candidates.score, **{SCORE: score, MERGED: candidates.score})
