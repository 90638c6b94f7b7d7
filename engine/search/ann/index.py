"""An approximate index with the call of `TopKIndex`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import Tensor

from headrace.kernels import TopKIndex, topk
from headrace.kernels.edge import FLOATS, IDS, WORDS, takes
from headrace.kernels.topk.checks import check_finite, check_search
from headrace.search.ann.faiss_finder import FaissFinder
from headrace.search.ann.fallback import BATCHES, FALLBACKS, SELECTIVE, exact_for_batch, faster_exact
from headrace.search.ann.finder import Finder, share_allowed
from headrace.search.ann.lsh import LshFinder
from headrace.search.ann.settings import Lsh, Method, at_search, method_settings
from headrace.search.ann.storage import read_ann, write_ann
from headrace.state import State

#: Fewer items are always searched exactly: there is nothing to approximate, and too little to train on.
LEAST_ITEMS = 256
#: Bits of the candidates of one block of queries: 32 MB.
_BLOCK_BITS = 1 << 28


@takes(items=FLOATS, ids=IDS)
class AnnIndex:
    """Approximate top-k on a CPU: a structure finds candidates, float64 scores decide among them.

    Every score is the true one and every order that of `TopKIndex`; only items that the structure does not find are
    missing. Where it finds fewer than k, the rest has id -1, score -inf. Safe from many threads; never changes.

    items: float32 [N, d], finite. ids: int64 [N], distinct, at least 0; 0..N-1 where None.
    metric: "ip", "cosine" or "l2", as in `topk`.
    method: "ivf", "ivfpq" or "hnsw" (by FAISS, extra `ann`), or "lsh". settings: of the method, by name, see
        `headrace.search.ann.settings`: n_lists, n_probes, codes, oversample; links, ef_construction, ef_search;
        n_tables, n_bits, width.
    fallback: "auto" searches exactly where that is better: for batches at which it was faster when the index was
        built, under a mask that allows less than 30 % of the items, and under masks by query, which FAISS cannot
        take. "never" and "always" leave no choice; fewer than 256 items are always searched exactly.
    seed: of what is drawn. threads: that build, 0 for all (one for "hnsw", whose graph otherwise differs between runs).

    Raises TypeError or ValueError naming the argument, ImportError where FAISS is needed and not installed.
    """

    def __init__(
        self,
        items: Tensor,
        ids: Tensor | None = None,
        metric: str = "ip",
        method: str = "hnsw",
        fallback: str = "auto",
        seed: int = 0,
        threads: int = 0,
        **settings: int | float | None,
    ) -> None:
        chosen = method_settings(method, settings)
        _check_fallback(fallback)
        if isinstance(items, Tensor) and items.device.type != "cpu":
            raise ValueError(f"items: expected a tensor on cpu, got {items.device}")
        exact = TopKIndex(items, ids, metric)
        finder = _build(exact.items, metric, chosen, seed, threads) if len(exact) >= LEAST_ITEMS else None
        self._set(exact, method, chosen if finder is None else finder.settings, finder, fallback, [False])
        if finder is not None and fallback == "auto":
            self._faster_exact = faster_exact(exact.items, exact.search, self._approximate, seed)

    def _set(
        self,
        exact: TopKIndex,
        method: str,
        settings: Method,
        finder: Finder | None,
        fallback: str,
        faster: list[bool],
    ) -> None:
        self._exact, self.method, self.settings, self._finder = exact, method, settings, finder
        self._ids = exact.ids
        self.fallback, self._faster_exact = fallback, faster

    def __len__(self) -> int:
        return len(self._exact)

    @property
    def ids(self) -> Tensor:
        """int64 [N], rising. Row i of `items`, and bit i of a mask, belong to ids[i]."""
        return self._ids

    @property
    def items(self) -> Tensor:
        """float32 [N, d] in the order of `ids`."""
        return self._exact.items

    @property
    def metric(self) -> str:
        return self._exact.metric

    @takes(queries=FLOATS, mask=WORDS)
    def search(self, queries: Tensor, k: int, mask: Tensor | None = None, threads: int = 0) -> tuple[Tensor, Tensor]:
        """Scores float32 [B, k] and ids int64 [B, k] of the best candidates, best first; see `TopKIndex.search`.

        Raises what `topk` raises, and ValueError for masks by query where `fallback` is "never" and FAISS finds.
        """
        check_search(queries, self.items, k, self.metric, mask)
        check_finite("queries", queries)
        mask = mask[0] if mask is not None and mask.ndim == 2 and len(mask) == 1 else mask
        if self.searches_exactly(len(queries), mask):
            return self._exact.search(queries, k, mask, threads=threads)
        return self._approximate(queries, k, mask, threads)

    def searches_exactly(self, batch: int, mask: Tensor | None = None) -> bool:
        """Whether a search for `batch` queries under `mask` is exact. Raises as `search` does for masks by query."""
        if self._finder is None or self.fallback == "always":
            return True
        by_query = mask is not None and mask.ndim == 2
        if self.fallback == "never":
            if by_query and not self._finder.takes_masks_by_query:
                raise ValueError(f"mask: expected one for all queries, with {self.method} and no fallback")
            return False
        if exact_for_batch(self._faster_exact, batch):
            return True
        return mask is not None and (by_query or share_allowed(mask, len(self)) < SELECTIVE)

    def _approximate(
        self, queries: Tensor, k: int, mask: Tensor | None = None, threads: int = 0
    ) -> tuple[Tensor, Tensor]:
        assert self._finder is not None
        scores, rows = [], []
        block = max(1, _BLOCK_BITS // len(self))
        for start in range(0, max(len(queries), 1), block):
            some = queries[start : start + block].detach()
            allowed = mask[start : start + block] if mask is not None and mask.ndim == 2 else mask
            found = self._finder.find(some, min(k, len(self)), allowed, threads)
            # Candidates are a mask by query: what decides among them is the exact search itself.
            best = topk(some, self.items, k, self.metric, found, threads=threads)
            scores.append(best[0])
            rows.append(best[1])
        row = torch.cat(rows)
        return torch.cat(scores), torch.where(row >= 0, self._ids[row.clamp_min(0)], -1)

    def tuned(self, fallback: str | None = None, **settings: int) -> AnnIndex:
        """The same structure, searched otherwise: n_probes, oversample or ef_search. What was measured stays so."""
        fallback = self.fallback if fallback is None else fallback
        _check_fallback(fallback)
        chosen = at_search(self.settings, settings).of(*self.items.shape)
        finder = None if self._finder is None else self._finder.tuned(chosen)
        again = AnnIndex.__new__(AnnIndex)
        again._set(self._exact, self.method, chosen, finder, fallback, self._faster_exact)
        return again

    def state(self) -> dict[str, Tensor]:
        """All but the items and ids, as tensors; see `from_state`."""
        known = {
            "shape": list(self.items.shape),
            "metric": self.metric,
            "method": self.method,
            "settings": self.settings.model_dump(),
            "fallback": self.fallback,
            "faster_exact": self._faster_exact,
        }
        text = np.frombuffer(json.dumps(known).encode(), np.uint8).copy()
        return {"about": torch.from_numpy(text), **({} if self._finder is None else self._finder.state())}

    @classmethod
    def from_state(cls, items: Tensor, ids: Tensor | None, state: dict[str, Tensor]) -> AnnIndex:
        """The index whose `state` this is. ValueError where it was over items of another shape."""
        held = State(state)
        known = json.loads(held.tensor("about", torch.uint8, None).numpy().tobytes())
        if list(items.shape) != known["shape"]:
            raise ValueError(f"items: expected shape {known['shape']} as in the index, got {list(items.shape)}")
        exact = TopKIndex(items, ids, known["metric"])
        settings = method_settings(known["method"], known["settings"])
        finder: Finder | None = None
        if len(exact) >= LEAST_ITEMS and isinstance(settings, Lsh):
            finder = LshFinder.from_state(held, settings, exact.metric, *items.shape)
        elif len(exact) >= LEAST_ITEMS and not isinstance(settings, Lsh):
            finder = FaissFinder.from_state(held, settings, exact.metric, *items.shape)
        _check_fallback(known["fallback"])
        faster = TypeAdapter(list[bool]).validate_python(known["faster_exact"], strict=True)
        if finder is not None and known["fallback"] == "auto" and len(faster) != len(BATCHES):
            raise ValueError(f"faster_exact: expected {len(BATCHES)}, got {len(faster)}")
        index = cls.__new__(cls)
        index._set(exact, known["method"], settings, finder, known["fallback"], faster)
        return index

    def save(self, path: str | Path) -> None:
        """Writes the index to one file, whole or not at all. OSError where the disk refuses."""
        write_ann(Path(path), {"items": self.items, "ids": self.ids, **self.state()})

    @classmethod
    def load(cls, path: str | Path) -> AnnIndex:
        """The index in a file of `save`, which answers as the one saved did, also where it was measured elsewhere.

        Raises ValueError, naming the file and the reason, where it is foreign, cut short, damaged or too new.
        """
        state = read_ann(Path(path))
        return cls.from_state(state.pop("items"), state.pop("ids"), state)


def _build(items: Tensor, metric: str, settings: Method, seed: int, threads: int) -> Finder:
    if isinstance(settings, Lsh):
        return LshFinder.build(items, metric, settings.of(*items.shape), seed)
    return FaissFinder.build(items, metric, settings.of(*items.shape), seed, threads)


def _check_fallback(fallback: str) -> None:
    if fallback not in FALLBACKS:
        raise ValueError(f"fallback: expected one of {', '.join(FALLBACKS)}, got {fallback!r}")
