"""Shards of a top-k catalogue on the ranks of `torch.distributed`."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from headrace.kernels.edge import FLOATS, WORDS, in_kind, tensor_of
from headrace.kernels.index.index import TopKIndex
from headrace.kernels.index.merge import merge_best, widened
from headrace.kernels.settings import check_call
from headrace.kernels.sharded.shards import Answer, check_arguments, of_shard, shape_of
from headrace.kernels.topk import rounded
from headrace.kernels.topk.checks import METRICS

#: Numbers that a rank tells of itself before anything else is exchanged.
_TOLD = 4
_Result = TypeVar("_Result")


class TopKRanks:
    """Exact top-k over the indexes of all ranks; every rank gets the answer of one index over all their items.

    index: this rank's shard, of the same metric and dimension everywhere, without an id of another rank (this is not
    checked); may be empty. group: the process group, the default one where None: gloo for indexes on a CPU, NCCL on
    GPUs.

    Construction and `search` are collective: every rank calls them, in the same order, with the same queries, k and
    mask. Where one rank's call fails, all raise: that one its own error, the others RuntimeError naming it; the next
    call works. A rank that is gone shows as an error of the group, at the latest after the group's timeout.
    """

    def __init__(self, index: TopKIndex, group: dist.ProcessGroup | None = None) -> None:
        self._index = index
        self._group = group
        shape, metric = shape_of(index), METRICS.index(index.metric)
        self._device = shape.device
        _, told = self._together(lambda: ((shape.words, shape.dim, metric, 0), None))
        _check_alike("index", told[1:3], ("the same dimension", "the same metric"))
        self._words = told[0]

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "TopKRanks: expected neither a copy nor a pickle of what belongs to a rank; make one of its index there"
        )

    def search(
        self, queries: Tensor, k: int, mask: Tensor | None = None, *, backend: str = "auto", threads: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Scores float32 [B, k] and ids int64 [B, k] of the k best items of all ranks, best first; see `topk`.

        mask: over the items of rank after rank, each of which begins a new word, as in `TopKShards.search`. A rank
        whose index has other words than at the construction refuses a mask.
        """
        scores, ids, _ = self._search(queries, k, mask, backend, threads)
        answer: tuple[Tensor, Tensor] = in_kind((rounded(scores), ids), queries)
        return answer

    def search_float64(
        self, queries: Tensor, k: int, mask: Tensor | None = None, *, backend: str = "auto", threads: int = 0
    ) -> Answer:
        """As `search`, with the float64 scores that ranked the items, and what the search of this rank's shard took."""
        answer: Answer = in_kind(self._search(queries, k, mask, backend, threads), queries)
        return answer

    def _search(self, queries: Tensor, k: int, mask: Tensor | None, backend: str, threads: int) -> Answer:
        def search() -> tuple[tuple[int, ...], Answer]:
            # Here, since what one rank refuses is an error on all.
            asked = tensor_of("queries", queries, FLOATS)
            words = None if mask is None else tensor_of("mask", mask, WORDS)
            check_call(backend, threads)
            check_arguments(asked, k, words, shape_of(self._index), sum(self._words))
            part, own = self._part(words), of_shard(k, self._index)
            scores, ids, counts = self._index.search_float64(asked, own, part, backend=backend, threads=threads)
            # All ranks exchange one shape.
            answer = widened(scores, k, -torch.inf), widened(ids, k, -1), counts
            digest = zlib.crc32(asked.cpu().contiguous().numpy().tobytes())
            return (asked.shape[0], k, digest, words is not None), answer

        (scores, ids, counts), told = self._together(search)
        _check_alike("search", told, ("as many queries", "the same k", "the same queries", "a mask, or none,"))
        pairs = self._gathered(torch.stack([scores.view(torch.int64), ids]))
        best, names = merge_best([pair[0].view(torch.float64) for pair in pairs], [pair[1] for pair in pairs], k)
        return best, names, counts

    def _part(self, mask: Tensor | None) -> Tensor | None:
        """This rank's words of a mask over all ranks."""
        if mask is None:
            return None
        rank = dist.get_rank(self._group)
        first, words, now = sum(self._words[:rank]), self._words[rank], shape_of(self._index).words
        if now != words:
            raise ValueError(f"mask: expected an index of {words} words as at the construction, got one of {now}")
        return mask[..., first : first + words]

    def _together(self, work: Callable[[], tuple[tuple[int, ...], _Result]]) -> tuple[_Result, list[list[int]]]:
        """The result of `work` here and, by number, what `work` told on each rank; raises on all where one failed."""
        told, error = (0,) * _TOLD, None
        try:
            told, result = work()
        except Exception as raised:
            error = raised
        mine = torch.tensor([error is not None, *told], dtype=torch.int64, device=self._device)
        table = torch.stack(self._gathered(mine)).T.tolist()
        if any(table[0]):
            reasons = [""] * len(table[0])
            dist.all_gather_object(reasons, f"{type(error).__name__}: {error}", self._group)
            failed = table[0].index(1)
            raise error or RuntimeError(f"rank {failed}: {reasons[failed]}")
        return result, table[1:]

    def _gathered(self, mine: Tensor) -> list[Tensor]:
        """A tensor of one shape and dtype from every rank."""
        every = [torch.empty_like(mine) for _ in range(dist.get_world_size(self._group))]
        dist.all_gather(every, mine, self._group)
        return every


def _check_alike(name: str, told: Sequence[Sequence[int]], expected: Sequence[str]) -> None:
    """Raises on every rank where the ranks told different numbers."""
    for numbers, what in zip(told, expected, strict=True):
        if len(set(numbers)) > 1:
            raise ValueError(f"{name}: expected {what} on every rank, got {numbers}")
