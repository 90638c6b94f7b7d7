"""The items of a top-k index at one time: a row of segments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from headrace.kernels.index.masks import bits_of
from headrace.kernels.index.merge import merge_best
from headrace.kernels.index.segment import Answer, Kind, Segment, merged
from headrace.kernels.topk.checks import check_finite
from headrace.kernels.topk.packed import Counts

#: Numbers in a segment that merging may make: 2 million items of 64.
MOST = 2**27
#: Segments of fewer items are merged whenever another follows, larger ones once what follows has this share of them.
SMALL, SHARE = 1024, 1 / 4


@dataclass(frozen=True)
class Catalogue:
    """Never changed; a change makes another, which shares the segments that it leaves alone."""

    kind: Kind
    dim: int
    device: torch.device
    segments: tuple[Segment, ...] = ()

    def __len__(self) -> int:
        return sum(segment.count for segment in self.segments)

    @property
    def words(self) -> int:
        """Of a mask."""
        return sum(segment.words for segment in self.segments)

    @property
    def rows(self) -> int:
        """Those of each segment but the last are padded to a multiple of 64."""
        return (self.words - self.segments[-1].words) * 64 + self.segments[-1].rows if self.segments else 0

    def check_files(self) -> None:
        """ValueError where a file that holds a segment was changed in place."""
        for file in {segment.file for segment in self.segments if segment.file is not None}:
            file.check()

    def ids(self) -> Tensor:
        """int64 [rows], -1 where a row has no item."""
        if len(self.segments) == 1 and self.segments[0].live is None and self.segments[0].ids is not None:
            return self.segments[0].ids[:-1]
        ids = torch.full((self.rows,), -1, device=self.device)
        for start, segment in self._starts():
            rows = segment.live_rows()
            ids[start * 64 + rows] = segment.ids_of(rows)
        return ids

    def truth(self) -> Tensor:
        """float32 [rows, d]: the vectors that decide; anything finite where a row has no item."""
        if len(self.segments) == 1 and self.segments[0].vectors is not None:
            return self.segments[0].vectors
        vectors = torch.zeros(self.rows, self.dim, dtype=torch.float32, device=self.device)
        for start, segment in self._starts():
            rows = segment.live_rows()
            vectors[start * 64 + rows] = segment.vectors_of(rows, self.kind.metric, self.dim)
        return vectors

    def mask(self, ids: Tensor, allow: bool) -> Tensor:
        """int64 [words] or [B, words]: the items under `ids` int64 [m] or [B, m], or all others."""
        parts = [ids.new_zeros(*ids.shape[:-1], 0)]
        for segment in self.segments:
            bits = bits_of(segment.find(ids), segment.words)
            parts.append(bits if allow else segment.live_bits() & ~bits)
        return torch.cat(parts, -1)

    def search(self, queries: Tensor, k: int, mask: Tensor | None, *, backend: str, threads: int) -> Answer:
        """The k best, best first, equal scores to the lower id; short answers end in id -1, score -inf."""
        if len(self.segments) == 1:
            return self.segments[0].search(queries, k, self.kind, mask, backend=backend, threads=threads)
        if not self.segments:
            check_finite("queries", queries)
            none = queries.new_full((len(queries), k), -torch.inf, dtype=torch.float64)
            return Answer(none, torch.full_like(none, -1, dtype=torch.int64), None)
        answers = [
            segment.search(
                *(
                    queries,
                    min(k, segment.rows),
                    self.kind,
                    None if mask is None else mask[..., start : start + segment.words],
                ),
                backend=backend,
                threads=threads,
            )
            for start, segment in self._starts()
        ]
        best = merge_best([answer.scores for answer in answers], [answer.ids for answer in answers], k)
        counts = [answer.counts for answer in answers if answer.counts is not None]
        return Answer(*best, Counts(*map(sum, zip(*counts, strict=True))) if counts else None)

    def known(self, ids: Tensor) -> Tensor:
        """bool like `ids`: whether there is such an item."""
        known = torch.zeros_like(ids, dtype=torch.bool)
        for segment in self.segments:
            known |= segment.find(ids) >= 0
        return known

    def added(self, segment: Segment) -> Catalogue:
        """With one more segment, of ids that it lacks."""
        return replace(self, segments=_settled((*self.segments, segment), self.kind, self.dim))

    def removed(self, ids: Tensor) -> Catalogue:
        """Without the items under `ids` int64 [n], distinct, those of them that there are."""
        segments = []
        for segment in self.segments:
            rows = segment.find(ids)
            rows = rows[rows >= 0]
            if len(rows) == segment.count:
                continue
            segments.append(self._compacted(segment.without(rows)) if len(rows) else segment)
        return replace(self, segments=tuple(segments))

    def _compacted(self, segment: Segment) -> Segment:
        """Less its dead rows once they are the most of it, unless a file holds them."""
        wasteful = segment.file is None and segment.count * 2 < segment.rows
        return merged([segment], self.kind, self.dim) if wasteful else segment

    def _starts(self) -> Iterator[tuple[int, Segment]]:
        """Each segment and its first word in a mask."""
        start = 0
        for segment in self.segments:
            yield start, segment
            start += segment.words


def _settled(segments: Sequence[Segment], kind: Kind, dim: int) -> tuple[Segment, ...]:
    """Merges from the end so that sizes fall fast: there are few segments, and an item is rarely packed again."""
    kept, last = list(segments[:-1]), [segments[-1]]
    while kept:
        before, count = kept[-1], sum(segment.count for segment in last)
        stands = before.file is not None or (before.count >= SMALL and count < before.count * SHARE)
        if stands or (before.count + count) * dim > MOST:
            break
        last.insert(0, kept.pop())
    return (*kept, merged(last, kind, dim) if len(last) > 1 else last[0])
