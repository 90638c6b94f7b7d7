"""Multi-table locality-sensitive hashing: hyperplanes for "ip" and "cosine", p-stable buckets for "l2"."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.jagged import gather_rows, segment_of
from headrace.search.ann.finder import bits_of
from headrace.search.ann.hashes import hyperplane_hash, on_sphere, stable_hash
from headrace.search.ann.settings import Lsh
from headrace.state import State

_BLOCK = 1 << 22  # hashes at a time
_SAMPLE = 1024
_SPREAD = 4.0


class LshFinder:
    """Buckets of all tables in one CSR on the key.

    keys: int64 [M], rising, of the buckets that hold items. offsets: int64 [M+1], rows: int64 [N * n_tables].
    directions: float64 [d, n_tables * n_bits]. shifts: float64 [n_tables * n_bits], `width` times uniform draws.
    mixers: int64 [n_tables, n_bits], odd draws: a key is the sum of hashes times these, and of the table's `salt`.
    """

    takes_masks_by_query = True

    def __init__(self, settings: Lsh, metric: str, n_items: int, tensors: dict[str, Tensor]) -> None:
        self.settings, self.metric, self.n_items = settings, metric, n_items
        self._tensors = tensors
        self.keys, self.offsets, self.rows = (tensors[name] for name in ("keys", "offsets", "rows"))

    @classmethod
    def build(cls, items: Tensor, metric: str, settings: Lsh, seed: int) -> LshFinder:
        """items: float32 [N, d]. The hashes are drawn by `seed`."""
        draw = torch.Generator().manual_seed(seed)
        dim = items.shape[1] + (metric == "ip")
        assert settings.n_bits is not None
        m, tables = settings.n_tables * settings.n_bits, (settings.n_tables, settings.n_bits)
        width = settings.width or (_near_distance(items, draw) * _SPREAD if metric == "l2" else 1.0)
        tensors = {
            "directions": torch.randn(dim, m, dtype=torch.float64, generator=draw),
            "shifts": torch.rand(m, dtype=torch.float64, generator=draw) * width,
            "mixers": torch.randint(-(2**62), 2**62, tables, generator=draw) * 2 + 1,
            "salt": torch.randint(-(2**62), 2**62, tables[:1], generator=draw),
            "width": torch.tensor(width, dtype=torch.float64),
            **dict.fromkeys(("keys", "offsets", "rows"), torch.empty(0, dtype=torch.int64)),
        }
        finder = cls(settings, metric, items.shape[0], tensors)
        placed = items if metric == "l2" else on_sphere(items, metric)
        keys = torch.cat([finder._keys_of(block) for block in placed.split(max(1, _BLOCK // m))])
        kept, counts = keys.flatten().unique(return_counts=True)
        order = keys.flatten().argsort(stable=True)
        tensors.update(
            keys=kept, offsets=torch.cat([counts.new_zeros(1), counts.cumsum(0)]), rows=order // settings.n_tables
        )
        return cls(settings, metric, items.shape[0], tensors)

    def find(self, queries: Tensor, k: int, mask: Tensor | None, threads: int) -> Tensor:
        query, row = self.candidates(queries)
        found = bits_of(query, row, queries.shape[0], self.n_items)
        return found if mask is None else found & mask.view(torch.int64)

    def candidates(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """The distinct pairs (query, row) that share a bucket in some table: int64 [m] each, in order."""
        wide = queries.double()
        placed = torch.nn.functional.pad(wide, (0, 1)) if self.metric == "ip" else wide
        keys = self._keys_of(placed).flatten()
        at = torch.searchsorted(self.keys, keys).clamp_max(len(self.keys) - 1)
        index, offsets = gather_rows(self.offsets, torch.where(self.keys[at] == keys, at, -1))
        query = segment_of(offsets) // self.settings.n_tables
        pairs = (query * self.n_items + self.rows[index]).unique()
        return pairs // self.n_items, pairs % self.n_items

    def _keys_of(self, placed: Tensor) -> Tensor:
        """int64 [n, n_tables]. Two buckets that share a key by chance are one: more candidates, none lost."""
        known = self._tensors
        if self.metric == "l2":
            hashes = stable_hash(placed, known["directions"], known["shifts"], float(known["width"]))
        else:
            hashes = hyperplane_hash(placed, known["directions"])
        keys: Tensor = (hashes.unflatten(1, known["mixers"].shape) * known["mixers"]).sum(2) + known["salt"]
        return keys

    def tuned(self, settings: Lsh) -> LshFinder:
        """Itself: no setting is left to a search."""
        return self

    def state(self) -> dict[str, Tensor]:
        return self._tensors

    @classmethod
    def from_state(cls, state: State, settings: Lsh, metric: str, n_items: int, dim: int) -> LshFinder:
        """Raises ValueError where it is not of `n_items` items of `dim` dimensions, hashed as the settings say."""
        if settings.n_bits is None:
            raise ValueError("n_bits: expected a number, got none")
        tables, m = settings.n_tables, settings.n_tables * settings.n_bits
        keys = state.tensor("keys", torch.int64, None, rising=True)
        rows = state.tensor("rows", torch.int64, n_items * tables, least=0, below=n_items)
        tensors = {
            "keys": keys,
            "rows": rows,
            "offsets": state.offsets("offsets", len(keys), len(rows)),
            "directions": state.tensor("directions", torch.float64, dim + (metric == "ip"), m),
            "shifts": state.tensor("shifts", torch.float64, m),
            "mixers": state.tensor("mixers", torch.int64, tables, settings.n_bits),
            "salt": state.tensor("salt", torch.int64, tables),
            "width": state.tensor("width", torch.float64, least=torch.finfo(torch.float64).tiny),
        }
        return cls(settings, metric, n_items, tensors)


def _near_distance(items: Tensor, draw: torch.Generator) -> float:
    """The median distance of sampled items to the nearest other one of the sample; 1 where all are equal."""
    sample = items[torch.randperm(items.shape[0], generator=draw)[:_SAMPLE]].double()
    apart = torch.cdist(sample, sample).fill_diagonal_(torch.inf)
    nearest = float(apart.min(1).values.median()) if len(sample) > 1 else 0.0
    return nearest if 0 < nearest < float("inf") else 1.0
