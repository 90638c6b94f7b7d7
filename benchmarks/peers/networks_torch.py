"""The default funnel's two networks in torch eager as one serves them: what is of a request once a request, and the
item tower of pre-ranking once for all."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from headrace.features.columns import Side
from headrace.models import WithPrior
from headrace.models.blocks import Features, attend, mean_of_sequence
from headrace.models.blocks.features import SIDES
from headrace.models.mmoe import MMoE
from headrace.models.three_towers import ThreeTowers

Made = dict[str, Tensor]
_CHUNK = 1 << 14


def fields_of(features: Features, side: Side, made: Made) -> Tensor:
    """float32 [m, F dim]: the vectors of a side's columns, side by side."""
    embedding = features.embedding
    assert embedding is not None
    parts = [embedding(made[name], field=name) for name in features.codes[features.spans[side]]]
    if side == "request":
        for name in features.sequences:
            parts.append(mean_of_sequence(embedding(made[name], field="item"), made[name] > 0))
    if side == "item" and features.content is not None:
        parts.append(features.content(made["content"]))
    return torch.cat(parts, 1)


def statistics_of(features: Features, side: Side, made: Made) -> Tensor:
    """float32 [m, S]."""
    return torch.cat([made[name] for name in features.statistics[side]], 1)


class Towers:
    """Three towers over a catalogue. Called with the columns of requests and of pairs, whose candidates are `item`,
    each of the request `owner`; gives the logits, float32 [n, T]."""

    def __init__(self, network: WithPrior, items: Made) -> None:
        assert isinstance(network.model, ThreeTowers)
        self._model, self._prior = network.model, network.prior
        features, count = self._model.features, len(next(iter(items.values())))
        parts = []
        for first in range(0, count, _CHUNK):
            chunk = {name: column[first : first + _CHUNK] for name, column in items.items()}
            content = [chunk["content"]] if features.content_width else []
            parts.append(self._model.item(torch.cat([fields_of(features, "item", chunk), *content], 1)))
        self._vectors = torch.cat(parts)
        self._statistics = statistics_of(features, "item", items)

    def __call__(self, made: Made, pairs: Made, owner: Tensor, item: Tensor) -> Tensor:
        model = self._model
        own = statistics_of(model.features, "request", made)
        user = model.request(torch.cat([fields_of(model.features, "request", made), own], 1)).index_select(0, owner)
        vectors = self._vectors.index_select(0, item)
        statistics = torch.cat(
            [self._statistics.index_select(0, item), statistics_of(model.features, "pair", pairs)], 1
        )
        cross = model.cross(torch.cat([fields_of(model.features, "pair", pairs), statistics], 1))
        logits = model.last(F.relu(model.upper(torch.cat([user, vectors, cross, vectors * user], 1))))
        assert model.wide is not None
        wide = model.wide(torch.cat([own.index_select(0, owner), statistics], 1))
        return logits + wide + self._prior  # type: ignore[no-any-return]


class Mixture:
    """MMoE over a catalogue; see `Towers`. The first layer's request part is computed once a request."""

    def __init__(self, network: WithPrior, items: Made) -> None:
        assert isinstance(network.model, MMoE)
        self._model, self._prior, self._items = network.model, network.prior, items

    def __call__(self, made: Made, pairs: Made, owner: Tensor, item: Tensor) -> Tensor:
        model, features = self._model, self._model.features
        items = {name: column.index_select(0, item) for name, column in self._items.items()}
        given: dict[Side, Made] = {"request": made, "item": items, "pair": pairs}
        fields = {side: fields_of(features, side, given[side]) for side in SIDES}
        statistics = {side: statistics_of(features, side, given[side]) for side in SIDES}
        matched = self._matched(made, items, owner)
        sizes = [
            sum(part.shape[1] for part in matched),
            *(fields[side].shape[1] for side in SIDES),
            *(statistics[side].shape[1] for side in SIDES),
        ]
        w = model.first.weight.split(sizes, 1)
        request = F.linear(torch.cat([fields["request"], statistics["request"]], 1), torch.cat([w[1], w[4]], 1))
        own = torch.cat([*matched, fields["item"], fields["pair"], statistics["item"], statistics["pair"]], 1)
        first = F.linear(own, torch.cat([w[0], w[2], w[3], w[5], w[6]], 1), model.first.bias)
        joint = first.add_(request.index_select(0, owner))
        targets, experts = model.shape
        gates = joint[:, : targets * experts].unflatten(1, (targets, experts)).softmax(2)
        hidden = F.relu(joint[:, targets * experts :]).unflatten(1, (experts, -1))
        mixed = torch.bmm(gates, F.relu(model.second(hidden)))
        logits = model.head_out(F.relu(model.head_in(mixed))).flatten(1)
        assert model.wide is not None
        rates = [statistics["request"].index_select(0, owner), statistics["item"], statistics["pair"]]
        return model.wide(torch.cat(rates, 1)) + logits + self._prior  # type: ignore[no-any-return]

    def _matched(self, made: Made, items: Made, owner: Tensor) -> list[Tensor]:
        features = self._model.features
        embedding = features.embedding
        assert embedding is not None
        item = embedding(items["item"], field="item")
        taste = embedding(made["user"], field="user")
        sequences = [(embedding(made[name], field="item"), made[name] > 0) for name in features.sequences]
        for sequence, present in sequences:
            taste = taste + mean_of_sequence(sequence, present)
        parts = [taste.index_select(0, owner) * item]
        if self._model.attention:
            parts += [attend(s.index_select(0, owner), p.index_select(0, owner), item) for s, p in sequences]
        return parts


#: Model -> its peer.
PEERS: dict[str, type[Mixture] | type[Towers]] = {"mmoe": Mixture, "three_towers": Towers}
