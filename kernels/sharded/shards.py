"""Top-k over a catalogue in parts. Each shard is searched for itself, and the answers are merged exactly."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from headrace.kernels.checks import check_at_least
from headrace.kernels.edge import FLOATS, IDS, WORDS, takes
from headrace.kernels.index.index import TopKIndex
from headrace.kernels.index.merge import merge_best
from headrace.kernels.settings import check_call
from headrace.kernels.sharded.files import shard_paths
from headrace.kernels.topk import rounded
from headrace.kernels.topk.checks import check_finite, check_queries
from headrace.kernels.topk.packed import Counts

#: What a search of one shard returns: float64 scores, ids, counts.
Answer = tuple[Tensor, Tensor, Counts | None]


class Shape(NamedTuple):
    """Of an index; words: of a mask over its rows."""

    dim: int
    words: int
    device: torch.device


class TopKShards:
    """Exact top-k over several indexes in this process; ids and scores are those of one index over all their items.

    shards: at least one, of one metric, dimension and device, without a common id; any may be empty. They are searched
    one after another, each with all threads. Items may be added to a shard and removed from it; to keep ids apart is
    then up to the caller.

    Raises ValueError naming the shard that does not fit.
    """

    def __init__(self, shards: Sequence[TopKIndex]) -> None:
        self._shards = tuple(shards)
        check_shards(self._shards)
        self.metric = self._shards[0].metric

    @classmethod
    def load(cls, folder: str | Path, mmap: bool = True, verify: bool = True) -> TopKShards:
        """The shards of a folder of `save_shards`; `mmap` and `verify` as in `TopKIndex.load`."""
        return cls([TopKIndex.load(path, mmap, verify) for path in shard_paths(folder)])

    def __len__(self) -> int:
        return sum(len(shard) for shard in self._shards)

    @property
    def ids(self) -> Tensor:
        """int64: the ids of shard after shard, each filled up with -1 to a multiple of 64.

        Bit i of a mask belongs to ids[i].
        """
        return torch.cat([whole_words(shard.ids) for shard in self._shards])

    @takes(ids=IDS)
    def mask(self, ids: Tensor, allow: bool = True) -> Tensor:
        """As `TopKIndex.mask`, over all shards."""
        return torch.cat([shard.mask(ids, allow) for shard in self._shards], -1)

    @takes(queries=FLOATS, mask=WORDS)
    def search(
        self, queries: Tensor, k: int, mask: Tensor | None = None, *, backend: str = "auto", threads: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Scores float32 [B, k] and ids int64 [B, k] of the k best items of all shards, best first; see `topk`.

        mask: uint64 or int64 words, [W] for all queries or [B, W], over the items in the order of `ids`: each shard
        begins a new word, so W is the sum of ceil(rows / 64).
        """
        scores, ids, _ = self.search_float64(queries, k, mask, backend=backend, threads=threads)
        return rounded(scores), ids

    @takes(queries=FLOATS, mask=WORDS)
    def search_float64(
        self, queries: Tensor, k: int, mask: Tensor | None = None, *, backend: str = "auto", threads: int = 0
    ) -> Answer:
        """As `search`, with the float64 scores that ranked the items, and what the search took (None: not counted)."""
        check_call(backend, threads)
        words = [shape_of(shard).words for shard in self._shards]
        check_arguments(queries, k, mask, shape_of(self._shards[0]), sum(words))
        masks = [None] * len(words) if mask is None else mask.split(words, -1)
        answers = self._answers(queries, k, masks, backend, threads)
        scores, ids = merge_best([answer[0] for answer in answers], [answer[1] for answer in answers], k)
        counts = [answer[2] for answer in answers if answer[2] is not None]
        total = Counts(*map(sum, zip(*counts, strict=True))) if len(counts) == len(answers) else None
        return scores, ids, total

    def _answers(
        self, queries: Tensor, k: int, masks: Sequence[Tensor | None], backend: str, threads: int
    ) -> list[Answer]:
        answers = []
        for number, (shard, mask) in enumerate(zip(self._shards, masks, strict=True)):
            try:
                answers.append(
                    shard.search_float64(queries, of_shard(k, shard), mask, backend=backend, threads=threads)
                )
            except ValueError as error:
                raise ValueError(f"shard {number}: {error}") from error
        return answers


def check_shards(shards: Sequence[TopKIndex]) -> None:
    """Raises ValueError unless there is a shard and all fit the first."""
    check_at_least("shards", len(shards), 1)
    first = shape_of(shards[0])
    for number, shard in enumerate(shards):
        shape = shape_of(shard)
        for what, got, expected in (
            ("metric", shard.metric, shards[0].metric),
            ("dimension", shape.dim, first.dim),
            ("device", shape.device, first.device),
        ):
            if got != expected:
                raise ValueError(f"shards: expected {what} {expected} as in shard 0, got {got} in shard {number}")
    ranges = sorted(id_range for shard in shards for id_range in id_ranges(shard))
    if all(before[1] < after[0] for before, after in pairwise(ranges)):
        return
    ids = torch.cat([shard.ids for shard in shards]).sort().values
    twice = ids[1:][(ids[1:] == ids[:-1]) & (ids[1:] >= 0)]
    if twice.numel():
        raise ValueError(f"shards: expected distinct ids, got {int(twice[0])} twice")


def check_arguments(queries: Tensor, k: int, mask: Tensor | None, shape: Shape, words: int) -> None:
    """What one index over everything would ask, before any shard is asked. words: of a mask over all shards."""
    check_queries(queries, k, shape.dim, shape.device, mask, words)
    check_finite("queries", queries)


def of_shard(k: int, shard: TopKIndex) -> int:
    """How many of the k best a shard may have."""
    return min(k, max(len(shard), 1))


def shape_of(shard: TopKIndex) -> Shape:
    now = shard._catalogue
    return Shape(now.dim, now.words, now.device)


def id_ranges(shard: TopKIndex) -> list[tuple[int, int]]:
    """First and last id of ranges that hold all ids of a shard. Takes no time: most shards never meet."""
    return [segment.id_range for segment in shard._catalogue.segments]


def whole_words(ids: Tensor) -> Tensor:
    """int64 [64 * ceil(rows / 64)], filled up with -1."""
    return torch.nn.functional.pad(ids, (0, -len(ids) % 64), value=-1)
