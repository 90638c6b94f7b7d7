"""Trained networks as the kernels want them, for requests after the end of the log: what depends on an item alone is
one row for each item of the catalogue."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from headrace.features import FeatureStore, ItemInputs
from headrace.kernels.memory import zeros_on_huge_pages
from headrace.kernels.mixture_of_experts import MixtureModel, MixtureSizes
from headrace.kernels.three_towers import TowersModel, TowersSizes
from headrace.ranking.layers import FieldEmbedding
from headrace.ranking.multitarget import RankingNetwork
from headrace.ranking.towers import ThreeTowers

_CHUNK = 1 << 14

Network = TypeVar("Network", bound=nn.Module)
Model = TypeVar("Model")


class Packed(Generic[Network, Model]):
    """The packed model of a network, made at first use and again after the network's weights have changed.

    Safe from many threads. A change is seen by the version counters of the parameters, which every optimiser and
    `load_state_dict` move; after one that does not (through `.data`), call `clear`.
    """

    def __init__(self, pack: Callable[[Network, FeatureStore], Model], network: Network, store: FeatureStore) -> None:
        self._pack, self._network, self._store = pack, network, store
        self._weights = list(network.parameters())
        self._lock = threading.Lock()
        self._held: tuple[list[int], Model] | None = None

    def get(self) -> Model:
        versions = [weight._version for weight in self._weights]
        held = self._held
        if held is not None and held[0] == versions:
            return held[1]
        with self._lock:
            if self._held is None or self._held[0] != versions:
                self._held = None
                self._held = versions, self._pack(self._network, self._store)
            return self._held[1]

    def clear(self) -> None:
        with self._lock:
            self._held = None


def mixture_model(network: RankingNetwork, store: FeatureStore) -> MixtureModel:
    """`network` with the item features that `store` has frozen. Later changes of the network need a new model."""
    with torch.no_grad():
        return _Mixture(network, store).model()


class _Mixture:
    """Splits the first layer's weights by what they are multiplied with; all in float64, rounded once at the end."""

    def __init__(self, network: RankingNetwork, store: FeatureStore) -> None:
        self.network, self.store, self.frozen = network, store, store.frozen()
        second, head = network.second.weight, network.head_in.weight
        dim = network.item_fields.table.embedding_dim
        self.sizes = MixtureSizes(
            network.targets, network.experts, network.units, second.shape[2], head.shape[2], dim, network.attention
        )
        spec = store.spec
        widths = {
            "item": len(spec.item) * dim,
            "codes": len(spec.cross) * dim,
            "statistics": spec.cross_width,
            "content": dim * (network.content is not None),
            "attention": dim * network.attention,
            "taste": dim,
        }
        parts = network.first.candidate.weight.double().split(list(widths.values()), 1)
        self.first = dict(zip(widths, parts, strict=True))
        self.wide = network.wide.candidate.weight.double()

    def model(self) -> MixtureModel:
        network = self.network
        request = network.first.request.weight.double()
        wide = request.new_zeros(network.targets, request.shape[1])
        if self.store.spec.request_width:
            wide[:, -self.store.spec.request_width :] = network.wide.request.weight
        columns = self.frozen.dynamic_columns
        candidate = [
            self._rows(self.first["taste"].T),
            self._rows(self.first["attention"].T),
            self._rows(self.first["statistics"][:, columns].T, self.wide[:, columns].T),
        ]
        return MixtureModel(
            self.sizes,
            self._rows(request.T, wide.T),
            rows_of_catalogue(len(self.store.items), self.sizes.width, self._items),
            self._rows(codes_through(network.cross_fields, self.first["codes"])),
            torch.cat(candidate),
            *(as_kept(network.second.weight), as_kept(network.second.bias[:, 0])),
            *(as_kept(network.head_in.weight), as_kept(network.head_in.bias[:, 0])),
            *(as_kept(network.head_out.weight[:, :, 0]), as_kept(network.head_out.bias[:, 0, 0])),
        )

    def _rows(self, first: Tensor, wide: Tensor | None = None, embedding: Tensor | None = None) -> Tensor:
        """float32 rows of outputs [m, ...] of the first layer and of the linear path (None: zeros)."""
        gates = self.sizes.targets * self.sizes.experts
        if wide is None:
            wide = first.new_zeros(len(first), self.sizes.targets)
        return self.sizes.row(first[:, :gates], wide, first[:, gates:], embedding).float().contiguous()

    def _items(self, item: Tensor) -> Tensor:
        network, columns = self.network, self.frozen.static_columns
        inputs: ItemInputs = self.store.item_inputs(item)
        statistics = self.frozen.item_statistics[item].double()
        fields = network.item_fields(inputs.codes).double()
        first = network.first.candidate.bias + fields.flatten(1) @ self.first["item"].T
        first += statistics @ self.first["statistics"][:, columns].T
        if network.content is not None and inputs.content is not None:
            first += inputs.content.double() @ (self.first["content"] @ network.content.weight.double()).T
        wide = network.wide.candidate.bias + statistics @ self.wide[:, columns].T
        return self._rows(first, wide, fields[:, 0])


def towers_model(network: ThreeTowers, store: FeatureStore) -> TowersModel:
    """`network` with the item vectors and the item features that `store` has frozen. Later changes of the network need
    a new model."""
    with torch.no_grad():
        return _Towers(network, store).model()


class _Towers:
    """Splits the cross tower's weights by what they are multiplied with; sums in float64, rounded once at the end."""

    def __init__(self, network: ThreeTowers, store: FeatureStore) -> None:
        self.network, self.store, self.frozen = network, store, store.frozen()
        self.tower, self.vector = linear_layers(network.request_mlp)
        (self.cross,) = linear_layers(network.cross_mlp)
        upper = network.first.request.weight.shape[0]
        self.sizes = TowersSizes(network.last.out_features, self.vector.out_features, self.tower.out_features, upper)
        weight = self.cross.weight.double()
        self.codes, self.statistics = weight.split(
            [weight.shape[1] - store.spec.cross_width, store.spec.cross_width], 1
        )
        self.wide = network.wide.candidate.weight.double()

    def model(self) -> TowersModel:
        network, tower, vector, columns = self.network, self.tower, self.vector, self.frozen.dynamic_columns
        wide = self.wide.new_zeros(tower.in_features, self.sizes.targets)
        if self.store.spec.request_width:
            wide[-self.store.spec.request_width :] = network.wide.request.weight.T
        codes = codes_through(network.cross_fields, self.codes)
        return TowersModel(
            self.sizes,
            *(as_kept(tower.weight.T), as_kept(tower.bias), as_kept(vector.weight.T), as_kept(vector.bias)),
            *(as_kept(network.first.request.weight.T), as_kept(network.first.candidate.bias)),
            as_kept(self.sizes.row(wide.new_zeros(len(wide), self.sizes.dim), wide)),
            rows_of_catalogue(len(self.store.items), self.sizes.width, self._items),
            as_kept(self.sizes.row(codes, codes.new_zeros(len(codes), self.sizes.targets))),
            as_kept(self.sizes.row(self.statistics[:, columns].T, self.wide[:, columns].T)),
            *(as_kept(network.first.candidate.weight.T), as_kept(network.last.weight.T)),
        )

    def _items(self, item: Tensor) -> Tensor:
        network, columns = self.network, self.frozen.static_columns
        statistics = self.frozen.item_statistics[item].double()
        cross = self.cross.bias + statistics @ self.statistics[:, columns].T
        wide = network.wide.candidate.bias.double() + network.last.bias + statistics @ self.wide[:, columns].T
        return self.sizes.row(cross, wide, network.item_vector(self.store.item_inputs(item)).double())


def linear_layers(module: nn.Sequential) -> list[nn.Linear]:
    return [layer for layer in module if isinstance(layer, nn.Linear)]


def as_kept(weight: Tensor) -> Tensor:
    """A copy: float32 and contiguous."""
    return weight.detach().float().clone(memory_format=torch.contiguous_format)


def rows_of_catalogue(items: int, width: int, rows: Callable[[Tensor], Tensor]) -> Tensor:
    """float32 [items, width] from `rows`, which makes those of some items (int64 [m])."""
    out = zeros_on_huge_pages(items * width, torch.float32, torch.device("cpu")).view(items, width)
    for chunk in torch.split(torch.arange(items), _CHUNK):
        out[chunk[0] : chunk[-1] + 1] = rows(chunk)
    return out


def codes_through(fields: FieldEmbedding, weight: Tensor) -> Tensor:
    """[codes, out]: every code of every field through its part of `weight` (float64 [out, fields dim])."""
    dim = fields.table.embedding_dim
    tables = fields.table.weight.double().split([field.size for field in fields.fields])
    parts = [table @ weight[:, f * dim : (f + 1) * dim].T for f, table in enumerate(tables)]
    return torch.cat(parts) if parts else weight.new_zeros(0, len(weight))
