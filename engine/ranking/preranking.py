"""Pre-ranking: a cheap score for thousands of candidates, of which the best few hundred go on."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from headrace.features import FeatureStore
from headrace.jagged import segment_of, top_per_segment
from headrace.ranking.heads import Heads
from headrace.ranking.ranker import network_state
from headrace.ranking.settings import PreRankerSettings
from headrace.ranking.towers import ThreeTowers
from headrace.ranking.two_part import TwoPart
from headrace.types import Candidates, Requests

_CHUNK = 1 << 14


@dataclass
class Inferences:
    """How often each part of the network ran, in rows."""

    user: int = 0
    item: int = 0
    cross: int = 0
    upper: int = 0


@dataclass
class PreRanker:
    """Three trained towers with their feature store, and the item vectors of this model, computed at most once each.

    variety: how to select in two parts; None: by score alone.
    """

    store: FeatureStore
    network: ThreeTowers
    settings: PreRankerSettings
    heads: Heads
    variety: TwoPart | None = None
    inferences: Inferences = field(default_factory=Inferences)

    def __post_init__(self) -> None:
        self.clear_cache()

    def clear_cache(self) -> None:
        """Forgets all item vectors; to be called when the network's weights have changed."""
        self._vectors = torch.zeros(len(self.store.items), self.settings.vector_dim)
        self._cached = torch.zeros(len(self.store.items), dtype=torch.bool)

    def warm_cache(self) -> None:
        """Computes the vectors of the whole catalogue."""
        for chunk in torch.split(torch.arange(len(self.store.items)), _CHUNK):
            self.item_vectors(chunk)

    def item_vectors(self, item: Tensor) -> Tensor:
        """float32 [n, vector_dim] of `item` (int64 [n] rows), from the cache where it has them."""
        with torch.inference_mode():
            cached = self._cached.index_select(0, item)
            if not bool(cached.all()):
                missing = torch.unique(item[~cached])
                self._vectors[missing] = self.network.item_vector(self.store.item_inputs(missing))
                self._cached[missing] = True
                self.inferences.item += len(missing)
            return self._vectors.index_select(0, item)

    def predict(self, requests: Requests, offsets: Tensor, item: Tensor) -> dict[str, Tensor]:
        """name -> float32 [n]: the prediction of every target; request b owns item[offsets[b]:offsets[b+1]]."""
        with torch.inference_mode():
            owner = segment_of(offsets)
            request = self.store.request_inputs(requests)
            crossed = self.store.cross_inputs(requests, owner, item)
            user = self.network.request_vector(request)
            cross = self.network.cross_vector(crossed)
            logits = self.network.upper(user, self.item_vectors(item), cross, request, crossed, owner)
            self.inferences.user += len(requests)
            self.inferences.cross += len(item)
            self.inferences.upper += len(item)
            return self.heads.predictions(logits, self.store.items.duration_bucket(item))

    def score(self, requests: Requests, candidates: Candidates, keep: int = 500) -> Candidates:
        """The best `keep` candidates of each request under the fused score, best first, ties to the lower item; with
        `variety`, its selection.

        Raises ValueError when keep is below 1.
        """
        if keep < 1:
            raise ValueError(f"keep: expected at least 1, got {keep}")
        with torch.inference_mode():
            predictions = self.predict(requests, candidates.offsets, candidates.item)
            scored = candidates.with_score(self.heads.scored(candidates, predictions).score)
            if self.variety is not None:
                return scored.take(*self.variety.select(scored, keep))
            return scored.take(*top_per_segment(scored.offsets, scored.score, scored.item, keep))

    def state(self) -> tuple[dict[str, Tensor], dict[str, object]]:
        """Tensors and json-able settings; the feature store keeps its own."""
        heads, meta = self.heads.state()
        tensors = {f"network/{name}": tensor for name, tensor in self.network.state_dict().items()}
        return {**tensors, **heads}, {"settings": self.settings.model_dump(mode="json"), **meta}

    @classmethod
    def from_state(cls, tensors: dict[str, Tensor], meta: dict[str, object], store: FeatureStore) -> PreRanker:
        settings = PreRankerSettings.model_validate(meta["settings"])
        heads = Heads.from_state(tensors, meta)
        network = ThreeTowers(store.spec, len(heads.targets), settings)
        network.load_state_dict(network_state(tensors))
        model = cls(store, network.eval(), settings, heads)
        model.warm_cache()
        return model
