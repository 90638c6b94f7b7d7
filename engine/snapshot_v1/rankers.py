"""The ranking networks of format 1 as today's: one embedding table instead of three, one linear layer instead of its
two halves, and the inputs of each layer in the order of today's columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from headrace.features import Columns
from headrace.features.columns import Side
from headrace.models.blocks import CONTENT
from headrace.models.blocks.features import SIDES
from headrace.ranking import FusionSettings, Heads, NetworkSettings
from headrace.ranking.completion import CompletionCurve
from headrace.snapshot_v1.features import RECENT, Features
from headrace.snapshot_v1.settings import network_settings
from headrace.snapshot_v1.tensors import Spans, Tensors
from headrace.state import State


def read_ranker(part: str, features: Features, tensors: dict[str, Tensor], facts: dict[str, Any]) -> State:
    """The state of one of `RANKERS`. Raises LookupError, TypeError or ValueError for what is not as it was."""
    model, read = RANKERS[part]
    left, own = Tensors(tensors), network_settings(facts["settings"])
    settings = NetworkSettings.model_validate({"model": model, "network": own})
    fusion = FusionSettings.model_validate(facts["fusion"])
    heads = Heads(tuple(facts["targets"]), facts["negative_rate"], CompletionCurve(left.take("curve")), fusion)
    network = read(left, features, own)
    left.end()
    return State.of(settings=settings.model_dump(mode="json"), heads=heads.state(), network=State(network))


def _mmoe(left: Tensors, features: Features, settings: dict[str, Any]) -> dict[str, Tensor]:
    columns, dim = features.store.columns, int(settings["embedding_dim"])
    content = {CONTENT: "network/content.weight"} if "network/content.weight" in left else {}
    matched = ["taste", "attention"] if settings["attention"] else ["taste"]
    request = [*_vectors(features, "user_fields", dim), (RECENT, dim), *features.statistics["request"]]
    candidate = [*_vectors(features, "item_fields", dim), *_vectors(features, "cross_fields", dim)]
    candidate += [*features.statistics["cross"], *((name, dim) for name in [*content, *reversed(matched)])]
    halves = {**left.cut("network/first.request.weight", request),
              **left.cut("network/first.candidate.weight", candidate)}  # fmt: skip
    same = ("second.weight", "second.bias", "head_in.weight", "head_in.bias", "head_out.weight", "head_out.bias")
    return {
        **_shared(left, features),
        **{f"model.features.{name}.weight": left.take(table) for name, table in content.items()},
        "model.first.weight": _joined(halves, [*matched, *_fields(columns, *SIDES), *_statistics(columns, *SIDES)]),
        "model.first.bias": left.take("network/first.candidate.bias"),
        **{f"model.{name}": left.take(f"network/{name}") for name in same},
    }


def _three_towers(left: Tensors, features: Features, settings: dict[str, Any]) -> dict[str, Tensor]:
    columns, dim = features.store.columns, int(settings["embedding_dim"])
    content = [(CONTENT, column.size) for column in columns.of("dense", "item") if column.name == CONTENT]
    request = [*_vectors(features, "user_fields", dim), (RECENT, dim), *features.statistics["request"]]
    item = [*_vectors(features, "item_fields", dim), *content]
    cross = [*_vectors(features, "cross_fields", dim), *features.statistics["cross"]]
    towers = {
        "request": (request, [*_fields(columns, "request"), *_statistics(columns, "request")]),
        "item": (item, _fields(columns, "item")),
        "cross": (cross, [*_fields(columns, "pair"), *_statistics(columns, "item", "pair")]),
    }
    made = _shared(left, features)
    for tower, (before, now) in towers.items():
        made[f"model.{tower}.0.weight"] = _joined(left.cut(f"network/{tower}_mlp.0.weight", before), now)
        made[f"model.{tower}.0.bias"] = left.take(f"network/{tower}_mlp.0.bias")
    for tower in ("request", "item"):
        for name in ("2.weight", "2.bias"):
            made[f"model.{tower}.{name}"] = left.take(f"network/{tower}_mlp.{name}")
    upper = [left.take(f"network/first.{half}.weight") for half in ("request", "candidate")]
    return {
        **made,
        "model.upper.weight": torch.cat(upper, 1),
        "model.upper.bias": left.take("network/first.candidate.bias"),
        "model.last.weight": left.take("network/last.weight"),
        "model.last.bias": left.take("network/last.bias"),
    }


def _shared(left: Tensors, features: Features) -> dict[str, Tensor]:
    """The embeddings, and the linear path from the statistics; its bias began at the prior."""
    columns = features.store.columns
    rows: dict[str, Tensor] = {}
    for table, fields in features.fields.items():
        rows |= left.cut(f"network/{table}.table.weight", fields, dim=0)
    wide = {**left.cut("network/wide.request.weight", features.statistics["request"]),
            **left.cut("network/wide.candidate.weight", features.statistics["cross"])}  # fmt: skip
    prior = left.take("network/wide.candidate.bias")
    return {
        "prior": prior,
        "model.features.embedding.table.weight": torch.cat(
            [rows[column.name] for side in SIDES for column in columns.of("code", side)]
        ),
        "model.wide.weight": _joined(wide, _statistics(columns, *SIDES)),
        "model.wide.bias": torch.zeros_like(prior),
    }


def _joined(parts: dict[str, Tensor], names: Iterable[str]) -> Tensor:
    return torch.cat([parts[name] for name in names], 1)


def _vectors(features: Features, table: str, dim: int) -> Spans:
    """The vectors of a table's fields, side by side."""
    return [(name, dim) for name, _ in features.fields[table]]


def _fields(columns: Columns, *sides: Side) -> list[str]:
    """What today's networks have a vector of, in their order: codes, then the mean of the list and the content."""
    names = []
    for side in sides:
        names += [column.name for kind in ("code", "sequence") for column in columns.of(kind, side)]
        names += [column.name for column in columns.of("dense", side) if column.name == CONTENT]
    return names


def _statistics(columns: Columns, *sides: Side) -> list[str]:
    """The dense columns of today's networks, in their order."""
    return [column.name for side in sides for column in columns.of("dense", side) if column.name != CONTENT]


#: Part -> the model its network is, and what reads it.
RANKERS: dict[str, tuple[str, Callable[[Tensors, Features, dict[str, Any]], dict[str, Tensor]]]] = {
    "preranker": ("three_towers", _three_towers),
    "ranker": ("mmoe", _mmoe),
}
