"""What flows through the funnel: a batch of requests, their candidates, and the pages that come out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from headrace.jagged import gather_rows

#: Bit of `Candidates.channels`: the last resort found the item; those before it are the recall channels'.
FILL = 62
#: kind -> (offsets int64 [B+1], code int64 [nnz]): request b blocks code[offsets[b]:offsets[b+1]].
Blocked = dict[str, tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Requests:
    """A batch of B requests, in dense rows.

    user: int64 [B], row of the user table; -1 where the user is unknown.
    time: int64 [B], milliseconds since the epoch.
    context: name -> int64 [B], codes of what is known when the request arrives (absent names mean "not known").
    told: channel -> int64 [B], codes of what requests say to that channel alone, -1 unknown.
    blocked: what each request must not be shown: rows of the catalogue ("item"), codes of another kind of `Stock`.
    """

    user: Tensor
    time: Tensor
    context: dict[str, Tensor] = field(default_factory=dict)
    blocked: Blocked = field(default_factory=dict)
    told: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.user.shape[0]

    def take(self, index: Tensor) -> Requests:
        """The requests at `index` (int64 [m])."""
        context, told = (
            {name: codes.index_select(0, index) for name, codes in known.items()} for known in (self.context, self.told)
        )
        blocked = {}
        for kind, (offsets, code) in self.blocked.items():
            entries, taken = gather_rows(offsets, index)
            blocked[kind] = taken, code.index_select(0, entries)
        return Requests(self.user.index_select(0, index), self.time.index_select(0, index), context, blocked, told)


@dataclass(frozen=True)
class Candidates:
    """A ragged batch of candidate items: request b owns entries offsets[b]:offsets[b+1].

    offsets: int64 [B+1], starting at 0.
    item: int64 [nnz], dense row of the catalogue.
    score: float32 [nnz], the last stage's score; larger is better.
    channels: int64 [nnz], bit c set when recall channel c found the item (at most 62), bit `FILL` by the last resort.
    columns: name -> Tensor [nnz, ...], what later stages add.
    """

    offsets: Tensor
    item: Tensor
    score: Tensor
    channels: Tensor
    columns: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.item.shape[0]

    @property
    def batch(self) -> int:
        return self.offsets.shape[0] - 1

    @property
    def counts(self) -> Tensor:
        """int64 [B], candidates of each request."""
        return self.offsets[1:] - self.offsets[:-1]

    @property
    def request(self) -> Tensor:
        """int64 [nnz], the request that owns each entry."""
        return torch.repeat_interleave(self.counts)

    def take(self, index: Tensor, offsets: Tensor) -> Candidates:
        """The entries at `index` (int64 [m], grouped by request) under new `offsets`."""
        # index_select, because indexing with a tensor is several times slower on a CPU.
        return Candidates(
            offsets,
            self.item.index_select(0, index),
            self.score.index_select(0, index),
            self.channels.index_select(0, index),
            {name: column.index_select(0, index) for name, column in self.columns.items()},
        )

    def keep(self, mask: Tensor) -> Candidates:
        """The entries where `mask` (bool [nnz]) holds."""
        index = mask.nonzero().squeeze(1)
        return self.take(index, torch.searchsorted(index, self.offsets))

    def with_score(self, score: Tensor, **columns: Tensor) -> Candidates:
        """The same entries under a new score, with `columns` added."""
        return replace(self, score=score, columns={**self.columns, **columns})

    @staticmethod
    def empty(batch: int) -> Candidates:
        return Candidates(
            torch.zeros(batch + 1, dtype=torch.int64),
            torch.zeros(0, dtype=torch.int64),
            torch.zeros(0, dtype=torch.float32),
            torch.zeros(0, dtype=torch.int64),
        )


@dataclass(frozen=True)
class Page:
    """What one user is shown, best first.

    items: external item ids. scores: the ranking score of each. channels: names of the channels that found each, "fill"
    for one that the last resort found. known: whether the user is. at: the request's time, ms since the epoch. reasons:
    on request, stage by stage: the scores of each shown item, what was barred and why, and what the rules did.
    """

    user: int | str
    items: list[int | str]
    scores: list[float]
    channels: list[list[str]]
    known: bool
    at: int
    reasons: dict[str, object] | None = None
