"""Pre-ranking: a cheap score for thousands of candidates, of which the best few hundred go on."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from headrace.features import FeatureStore, RequestInputs
from headrace.jagged import segment_of, top_per_segment
from headrace.kernels.three_towers import TowersModel, three_towers
from headrace.ranking.heads import Heads
from headrace.ranking.packed import Packed, towers_model
from headrace.ranking.ranker import network_state
from headrace.ranking.settings import PreRankerSettings
from headrace.ranking.towers import ThreeTowers
from headrace.ranking.two_part import TwoPart
from headrace.types import Candidates, Requests


@dataclass
class Inferences:
    """How often each part of the network ran, in rows."""

    user: int = 0
    item: int = 0
    cross: int = 0
    upper: int = 0


@dataclass
class PreRanker:
    """Three trained towers with their feature store, and the item vectors of this model, computed once for all.

    variety: how to select in two parts; None: by score alone.
    """

    store: FeatureStore
    network: ThreeTowers
    settings: PreRankerSettings
    heads: Heads
    variety: TwoPart | None = None
    inferences: Inferences = field(default_factory=Inferences)

    def __post_init__(self) -> None:
        self._packed = Packed(self._pack, self.network, self.store)

    def _pack(self, network: ThreeTowers, store: FeatureStore) -> TowersModel:
        self.inferences.item += len(store.items)
        return towers_model(network, store)

    def clear_cache(self) -> None:
        """Forgets the packed network; to be called when its weights have changed behind the back of autograd."""
        self._packed.clear()

    def warm_cache(self) -> None:
        """Computes the vectors of the whole catalogue, which the first request would do otherwise."""
        self._packed.get()

    def item_vectors(self, item: Tensor) -> Tensor:
        """float32 [n, vector_dim] of `item` (int64 [n] rows), computed ahead of time."""
        return self._packed.get().item_rows.index_select(0, item)[:, : self.settings.vector_dim]

    def predict(self, requests: Requests, offsets: Tensor, item: Tensor) -> dict[str, Tensor]:
        """name -> float32 [n]: the prediction of every target; request b owns item[offsets[b]:offsets[b+1]].

        Requests after the end of the log are answered by the packed network, the same model in one kernel.
        """
        with torch.inference_mode():
            owner = segment_of(offsets)
            request = self.store.request_inputs(requests)
            if self.store.frozen().covers(requests):
                logits = self._packed_logits(requests, request, owner, offsets, item)
            else:
                crossed = self.store.cross_inputs(requests, owner, item)
                user = self.network.request_vector(request)
                cross = self.network.cross_vector(crossed)
                logits = self.network.upper(user, self.item_vectors(item), cross, request, crossed, owner)
            self.inferences.user += len(requests)
            self.inferences.cross += len(item)
            self.inferences.upper += len(item)
            return self.heads.predictions(logits, self.store.items.duration_bucket(item))

    def _packed_logits(
        self, requests: Requests, inputs: RequestInputs, owner: Tensor, offsets: Tensor, item: Tensor
    ) -> Tensor:
        """float32 [n, T], by the kernel."""
        codes = self.store.cross_codes(requests.time.index_select(0, owner), item)
        return three_towers(
            self._packed.get(),
            request=self.network.request_side(inputs),
            offsets=offsets,
            item=item,
            codes=self.network.cross_fields.rows(codes),
            dynamic=self.store.frozen().dynamic(requests, offsets, item),
        ).T

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
