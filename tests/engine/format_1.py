"""A writer of format 1, which was flat tensors, with facts apart. It makes today's parts into what they were."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from pydantic import TypeAdapter
from safetensors.torch import save_file
from torch import Tensor

from headrace.channels.author_latest import AuthorLatest
from headrace.channels.itemcf import ItemCF
from headrace.channels.popular import Popular
from headrace.channels.popular_in_category import PopularInCategory
from headrace.channels.two_tower import TwoTower
from headrace.exposure import ExposureFilter
from headrace.features import FeatureStore
from headrace.features.bank import StatisticsMeta
from headrace.features.families.age import Age
from headrace.features.families.behaviours import Behaviours
from headrace.features.families.content import Content
from headrace.features.families.contexts import Contexts
from headrace.features.families.items import ItemCodes
from headrace.features.families.statistics import Statistics
from headrace.features.families.users import UserCodes
from headrace.features.windows import WindowCounter
from headrace.ranking import Ranker
from headrace.reranking import Reranker

Tensors = dict[str, Tensor]


def write_v1(folder: Path, parts: dict[str, Tensors], tables: dict[str, pa.Table], info: dict[str, Any]) -> None:
    version = folder / "20250101T000000-00000000"
    version.mkdir(parents=True)
    for name, tensors in parts.items():
        save_file(
            {key: tensor.clone().contiguous() for key, tensor in tensors.items()}, version / f"{name}.safetensors"
        )
    for name, table in tables.items():
        with pa.OSFile(str(version / f"{name}.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
    written = {path.name: path.read_bytes() for path in sorted(version.iterdir())}
    known = {name: {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()} for name, text in written.items()}
    text = json.dumps({"format": "headrace-snapshot", "version": 1, "info": info, "parts": known}, indent=1)
    (version / "manifest.json").write_text(text)
    (folder / "CURRENT").write_text(f"{version.name} {hashlib.sha256(text.encode()).hexdigest()}\n")


def exposure_v1(seen: ExposureFilter) -> Tensors:
    """All users' slots held the same generations; format 1 said the newest alone."""
    newest = [] if seen._clock.newest is None else [seen._clock.newest // seen._days.period]
    return {
        "fpr": torch.tensor(seen.fpr, dtype=torch.float64),
        "window_ms": torch.tensor(seen.window_ms),
        "generations": torch.tensor(seen.generations),
        "capacities": torch.tensor([bank.capacity for bank in seen._banks]),
        "newest": torch.tensor(newest, dtype=torch.int64),
        "count": seen._days.count,
        "recent.items": seen._recent.items,
        "recent.count": seen._recent.count,
        **{f"bank{c}.row": bank.row for c, bank in enumerate(seen._banks)},
        **{f"bank{c}.bits": bank.bits for c, bank in enumerate(seen._banks)},
    }


def reranker_v1(reranker: Reranker) -> Tensors:
    text = bytearray(reranker.settings.model_dump_json().encode())
    return {
        "vectors": reranker.vectors,
        "pins": reranker.pins,
        "settings": torch.frombuffer(text, dtype=torch.uint8),
        **{f"kinds.{name}": column for name, column in reranker.kinds.items()},
    }


def channel_v1(channel: object) -> Tensors:
    names: tuple[str, ...] = ()
    more: Tensors = {}
    match channel:
        case ItemCF():
            names = ("offsets", "item", "similarity")
            history = channel.history
            more = {f"history.{name}": getattr(history, name) for name in ("offsets", "item", "interest", "time")}
        case TwoTower():
            names = ("recent", "known", "rows", "vectors", "user_keys", "item_keys")
            more = {
                **{f"model.{name}": tensor for name, tensor in channel.model.state_dict().items()},
                **{f"user.{name}": getattr(channel.users, name) for name in ("offsets", "codes", "weights")},
                **{f"user_field.{name}": torch.tensor(size) for name, size in channel.users.sizes.items()},
                **{f"item_field.{name}": torch.tensor(size) for name, size in channel.item_fields.items()},
            }
        case AuthorLatest():
            names = ("user_offsets", "author", "interest", "item_offsets", "item", "published", "per_author")
        case PopularInCategory():
            names = ("user_offsets", "interest", "item_offsets", "item")
            more = {"category": channel.code, "share": channel.about}
        case Popular():
            names = ("item", "score")
    return more | {name: getattr(channel, name) for name in names}


def features_v1(store: FeatureStore) -> tuple[Tensors, dict[str, Any]]:
    users, items, contexts = (_family(store, kind) for kind in (UserCodes, ItemCodes, Contexts))
    statistics, content = _family(store, Statistics), store.family(Content)
    bank, last = statistics.bank, _family(store, Behaviours).kinds["engaged"]
    scales = {name: (scale.mean, scale.factor) for name, scale in store._scales.items()}
    tensors = {
        "users/codes": users.codes,
        "items/codes": items.codes,
        "items/raw": torch.stack([statistics.items.author, statistics.items.category], 1),
        "items/publish_time": _family(store, Age).publish_time,
        "behaviours/items": last._items,
        **_counter_v1("behaviours/counter", last._counter),
        "bank/priors": bank._rates.priors,
        "bank/past_priors": bank._past_rates.priors,
    }
    for name, group in bank._groups.items():
        tensors |= _counter_v1(f"bank/{name}", group.counter)
    if content is not None:
        tensors["items/content"] = content.vectors
    widths = {}
    for which, name in enumerate(("mean", "scale")):
        sides = statistics_v1(store, {column: pair[which] for column, pair in scales.items()})
        for side, values in zip(("request", "cross"), sides, strict=True):
            tensors[f"scaling/{side}.{name}"] = values
            widths[f"{side}_width"] = len(values)
    own = [("user", len(users.codes)), *users.sizes.items(), *contexts.sizes.items(), ("hour", 25), ("weekday", 8)]
    fields = {"user": own, "item": [("item", store.items + 1), *items.sizes.items()], "cross": [("age", 24)]}
    spec = {side: [{"name": name, "size": size} for name, size in sizes] for side, sizes in fields.items()}
    content_width = 0 if content is None else content.vectors.shape[1]
    facts = {
        "spec": {**spec, **widths, "content_width": content_width, "behaviours": store.columns["last_engaged"].size},
        "statistics": TypeAdapter(StatisticsMeta).dump_python(bank.meta, mode="json"),
        "contexts": [list(pair) for pair in contexts.sizes.items()],
        "utc_offset_ms": contexts.utc_offset_ms,
        **{name: getattr(store, name) for name in ("start", "end", "refresh_ms")},
    }
    return tensors, facts


def statistics_v1(store: FeatureStore, by_column: Tensors) -> tuple[Tensor, Tensor]:
    """Of a column's numbers ([..., width]) for each column of statistics, those of the request and those of the item
    and the pair, by group in the order in which groups were counted, the closeness last."""
    bank = _family(store, Statistics).bank
    columns = {"request": "request_statistics", "item": "item_statistics", "pair": "statistics"}
    used = dict.fromkeys(columns, 0)
    request, cross = [], []
    for name in bank._groups:
        (side,) = (side for side, names in bank.sides.items() if name in names)
        first, used[side] = used[side], used[side] + bank.width(name)
        part = by_column[columns[side]][..., first : used[side]]
        (request if side == "request" else cross).append(part)
    cross += [by_column["closeness"]] if "closeness" in by_column else []
    return torch.cat(request, -1), torch.cat(cross, -1)


def ranker_v1(ranker: Ranker) -> tuple[Tensors, dict[str, Any]]:
    """Of a mixture of experts or of three towers. The bias of the linear path, where the prior lay, has to be 0."""
    network = ranker.network.model
    assert network.wide.bias.abs().sum() == 0
    tensors = {"three_towers": _towers_v1, "mmoe": _mixture_v1}[ranker.settings.model](ranker.store, network)
    tensors |= _embeddings_v1(ranker.store, network)
    wide = _inputs(network, network.wide.weight, fields=(), statistics=("request", "item", "pair"))
    request, cross = statistics_v1(ranker.store, wide)
    tensors |= {"wide.request.weight": request, "wide.candidate.weight": cross}
    tensors["wide.candidate.bias"] = ranker.network.prior
    facts = {
        "settings": {
            **ranker.settings.network.model_dump(mode="json"),
            **{"negative_rate": {}, "weights": {}, "train": None},
        },
        "targets": list(ranker.heads.targets),
        "negative_rate": ranker.heads.negative_rate,
        "fusion": ranker.heads.fusion.model_dump(mode="json"),
    }
    held = {f"network/{name}": tensor.detach() for name, tensor in tensors.items()}
    return {"curve": ranker.heads.curve.rate, **held}, facts


def _mixture_v1(store: FeatureStore, network: Any) -> Tensors:
    matched = ("taste", "attention")[: 1 + network.attention]
    every = ("request", "item", "pair")
    inputs = _inputs(network, network.first.weight, matched, fields=every, statistics=every)
    request, cross = statistics_v1(store, inputs)
    users, items, crossed = _fields_v1(store)
    content = ["content"] if network.features.content is not None else []
    candidate = [*items, *crossed, None, *content, *reversed(matched)]
    layers = ("second", "head_in", "head_out")
    return {
        "first.request.weight": torch.cat([*(inputs[name] for name in [*users, "last_engaged"]), request], 1),
        "first.candidate.weight": torch.cat([cross if name is None else inputs[name] for name in candidate], 1),
        "first.candidate.bias": network.first.bias,
        **{f"{name}.{kind}": getattr(getattr(network, name), kind) for name in layers for kind in ("weight", "bias")},
        **({"content.weight": network.features.content.weight} if content else {}),
    }


def _towers_v1(store: FeatureStore, network: Any) -> Tensors:
    users = _fields_v1(store)[0]
    request = _inputs(network, network.request[0].weight, fields=("request",), statistics=("request",))
    cross = _inputs(network, network.cross[0].weight, fields=("pair",), statistics=("item", "pair"))
    empty = {"request_statistics": torch.zeros(len(network.cross[0].weight), store.columns["request_statistics"].size)}
    width = network.request[2].weight.shape[0]
    layers = {"request_mlp.0": network.request[0], "request_mlp.2": network.request[2], "item_mlp.0": network.item[0],
              "item_mlp.2": network.item[2], "cross_mlp.0": network.cross[0], "last": network.last}  # fmt: skip
    return {
        **{f"{name}.{kind}": getattr(layer, kind) for name, layer in layers.items() for kind in ("weight", "bias")},
        "request_mlp.0.weight": torch.cat(
            [request[name] for name in [*users, "last_engaged", "request_statistics"]], 1
        ),
        "cross_mlp.0.weight": torch.cat([cross["age"], statistics_v1(store, {**empty, **cross})[1]], 1),
        "first.request.weight": network.upper.weight[:, :width],
        "first.candidate.weight": network.upper.weight[:, width:],
        "first.candidate.bias": network.upper.bias,
    }


def _inputs(network: Any, weight: Tensor, matched: Any = (), *, fields: Any, statistics: Any) -> Tensors:
    """The columns of a layer's weight by what they are multiplied with: what is matched, then the vectors of some
    sides, then the statistics of some sides."""
    features = network.features
    spans = [(name, features.dim) for name in matched]
    for side in fields:
        spans += [(name, features.dim) for name in features.codes[features.spans[side]]]
        spans += [(name, features.dim) for name in features.sequences if side == "request"]
        spans += [("content", features.dim)] if side == "item" and features.content is not None else []
    for side in statistics:
        names = features.statistics[side]
        # Only the closeness and the counts of pairs share a side.
        spans += [(name, 2 if name == "closeness" else features.widths[side] - 2 * (len(names) - 1)) for name in names]
    parts = weight.split([width for _, width in spans], 1)
    return dict(zip((name for name, _ in spans), parts, strict=True))


def _embeddings_v1(store: FeatureStore, network: Any) -> Tensors:
    embedding = network.features.embedding
    starts = dict(zip(embedding.names, embedding.starts.tolist(), strict=True))
    tables = zip(("user_fields", "item_fields", "cross_fields"), _fields_v1(store), strict=True)
    return {
        f"{table}.table.weight": torch.cat(
            [embedding.table.weight[starts[name] : starts[name] + store.columns[name].size] for name in names]
        )
        for table, names in tables
    }


def _fields_v1(store: FeatureStore) -> tuple[list[str], list[str], list[str]]:
    """The columns that were the fields of the user, of the item and of what crosses them."""
    kinds = ((UserCodes, Contexts), (ItemCodes,), (Age,))
    users, items, crossed = ([c.name for kind in some for c in _family(store, kind).columns] for some in kinds)
    return users, items, crossed


def _counter_v1(name: str, counter: WindowCounter) -> Tensors:
    clock = torch.tensor([counter.origin, counter.span, counter.entities])
    return {f"{name}.keys": counter.keys, f"{name}.totals": counter.totals, f"{name}.clock": clock}


def _family(store: FeatureStore, kind: Any) -> Any:
    found = store.family(kind)
    assert found is not None, kind
    return found
