"""The ranker: every target of every candidate of every request in one forward pass, then one fused score."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from headrace.features import FeatureStore
from headrace.jagged import segment_of
from headrace.kernels.mixture_of_experts import mixture_of_experts
from headrace.ranking.heads import Heads
from headrace.ranking.multitarget import RankingNetwork
from headrace.ranking.packed import Packed, mixture_model
from headrace.ranking.settings import RankerSettings
from headrace.types import Candidates, Requests


@dataclass
class Ranker:
    """A trained ranking network with the feature store it was trained on."""

    store: FeatureStore
    network: RankingNetwork
    settings: RankerSettings
    heads: Heads

    def __post_init__(self) -> None:
        self._packed = Packed(mixture_model, self.network, self.store)

    def warm_cache(self) -> None:
        """Packs the network for serving, which the first request would do otherwise."""
        self._packed.get()

    def clear_cache(self) -> None:
        """Forgets the packed network; to be called when its weights have changed behind the back of autograd."""
        self._packed.clear()

    def predict(self, requests: Requests, offsets: Tensor | None, item: Tensor) -> dict[str, Tensor]:
        """name -> float32 [n]: the prediction of every target, as `Heads.predictions` names them.

        Request b owns item[offsets[b]:offsets[b+1]]; offsets None: one item each. Requests after the end of the log are
        answered by the packed network, the same model in one kernel.
        """
        with torch.inference_mode():
            if offsets is not None and self.store.frozen().covers(requests):
                logits = self._packed_logits(requests, offsets, item)
            else:
                logits = self.network(self.store.inputs(requests, offsets, item))
            return self.heads.predictions(logits, self.store.items.duration_bucket(item))

    def _packed_logits(self, requests: Requests, offsets: Tensor, item: Tensor) -> Tensor:
        """float32 [n, T], by the kernel."""
        store = self.store
        side = self.network.request_side(store.request_inputs(requests))
        time = requests.time.index_select(0, segment_of(offsets))
        return mixture_of_experts(
            self._packed.get(),
            request=side.inputs,
            taste=side.taste,
            behaviours=side.sequence,
            counts=side.present.sum(1, dtype=torch.int32),
            offsets=offsets,
            item=item,
            codes=self.network.cross_fields.rows(store.cross_codes(time, item)),
            dynamic=store.frozen().dynamic(requests, offsets, item),
        ).T

    def score(self, requests: Requests, candidates: Candidates) -> Candidates:
        """The same candidates under the fused score, with a column for every prediction."""
        with torch.inference_mode():
            return self.heads.scored(candidates, self.predict(requests, candidates.offsets, candidates.item))

    def state(self) -> tuple[dict[str, Tensor], dict[str, object]]:
        """Tensors and json-able settings; the feature store keeps its own."""
        heads, meta = self.heads.state()
        tensors = {f"network/{name}": tensor for name, tensor in self.network.state_dict().items()}
        return {**tensors, **heads}, {"settings": self.settings.model_dump(mode="json"), **meta}

    @classmethod
    def from_state(cls, tensors: dict[str, Tensor], meta: dict[str, object], store: FeatureStore) -> Ranker:
        settings = RankerSettings.model_validate(meta["settings"])
        heads = Heads.from_state(tensors, meta)
        network = RankingNetwork(store.spec, len(heads.targets), settings)
        network.load_state_dict(network_state(tensors))
        model = cls(store, network.eval(), settings, heads)
        model.warm_cache()
        return model


def network_state(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The part of a model's state that is its network's."""
    prefix = "network/"
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
