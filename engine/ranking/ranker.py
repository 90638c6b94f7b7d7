"""The ranker: every target of every candidate of every request in one pass, then one fused score."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from headrace.features import FeatureStore
from headrace.jagged import gather_rows
from headrace.models import WithPrior
from headrace.models.lower import Ready, prepare
from headrace.models.lower.staged import StagedReady
from headrace.ranking.heads import Heads
from headrace.ranking.packed import Packed
from headrace.ranking.settings import NetworkSettings
from headrace.state import State
from headrace.types import Candidates, Requests


@dataclass
class Ranker:
    """A trained ranking network with the feature store it was trained on; pre-ranking is another of the same kind.

    settings: of the network.
    """

    store: FeatureStore
    network: WithPrior
    settings: NetworkSettings
    heads: Heads

    def __post_init__(self) -> None:
        # By whether requests lie within the log, where the items' statistics still move.
        self._packed = {live: Packed(partial(self._pack, live), self.network) for live in (False, True)}

    def _pack(self, live: bool) -> Ready | StagedReady:
        items = self.store.items
        sides = {column.name: column.side for column in (self.store.live_columns if live else self.store.columns)}
        with torch.no_grad():
            prepared = prepare(self.network, self.store.columns, sides=sides)
            return prepared.with_items(self.store.item_columns(torch.arange(items)), items)

    @property
    def reason(self) -> str | None:
        """Why the network is no program, and so runs in torch; None where it is one."""
        ready = self._packed[False].get()
        return ready.staged.reason if isinstance(ready, StagedReady) else None

    def warm_cache(self) -> None:
        """Packs the network for serving after the log, which the first request would do otherwise."""
        self._packed[False].get()

    def clear_cache(self) -> None:
        """Forgets the packed network; to be called when its weights have changed behind the back of autograd."""
        for packed in self._packed.values():
            packed.clear()

    def predict(self, requests: Requests, offsets: Tensor, item: Tensor) -> dict[str, Tensor]:
        """name -> float32 [n]: the prediction of every target, as `Heads.predictions` names them.

        Request b owns item[offsets[b]:offsets[b+1]]. What a request gets does not depend on the others.
        """
        with torch.no_grad():
            logits = self._logits(requests, offsets, item)
            return self.heads.predictions(logits, self.store.item_code("duration", item))

    def score(self, requests: Requests, candidates: Candidates) -> Candidates:
        """The same candidates under the fused score, with a column for every prediction."""
        with torch.no_grad():
            return self.heads.scored(candidates, self.predict(requests, candidates.offsets, candidates.item))

    def _logits(self, requests: Requests, offsets: Tensor, item: Tensor) -> Tensor:
        """float32 [n, T]."""
        ended = self.store.ended(requests)
        for live in (False, True):
            if bool((ended != live).all()):
                return self._of_one_kind(requests, offsets, item, live)
        logits = torch.empty(len(self.heads.targets), len(item), dtype=torch.float32).T
        for live in (False, True):
            rows = (ended != live).nonzero()[:, 0]
            index, bounds = gather_rows(offsets, rows)
            logits[index] = self._of_one_kind(requests.take(rows), bounds, item.index_select(0, index), live)
        return logits

    def _of_one_kind(self, requests: Requests, offsets: Tensor, item: Tensor, live: bool) -> Tensor:
        """float32 [n, T] of requests that all lie within the log (`live`), or all after it."""
        made = self.store.request_columns(requests)
        pairs = self.store.pair_columns(requests, made, offsets, item, live=live)
        return self._packed[live].get()(made, pairs, offsets, item)

    def state(self) -> State:
        """All but the feature store, which keeps its own state."""
        names = set(NetworkSettings.model_fields)
        return State.of(
            settings=self.settings.model_dump(mode="json", include=names),
            heads=self.heads.state(),
            network=State(dict(self.network.state_dict())),
        )

    @classmethod
    def from_state(cls, state: State, store: FeatureStore) -> Ranker:
        settings = NetworkSettings.model_validate(state["settings"])
        heads = Heads.from_state(state.under("heads"))
        network = state.under("network").module(lambda: settings.build(store.columns, len(heads.targets)))
        model = cls(store, network.eval(), settings, heads)
        model.warm_cache()
        return model
