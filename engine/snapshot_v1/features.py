"""The feature store of format 1, one for all features, as today's families."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor

from headrace.features import Family, FeatureStore, WindowCounter
from headrace.features.bank import StatisticsBank, StatisticsMeta
from headrace.features.families.age import Age
from headrace.features.families.behaviours import Behaviours, LastN, column_of
from headrace.features.families.content import Content
from headrace.features.families.contexts import Contexts
from headrace.features.families.items import ItemCodes
from headrace.features.families.statistics import COLUMNS, Statistics
from headrace.features.families.users import UserCodes
from headrace.features.family import Scale
from headrace.features.keys import ItemKeys
from headrace.features.settings import ENGAGED
from headrace.snapshot_v1.tensors import Spans, Tensors

#: The column that has the list there was.
RECENT = column_of(ENGAGED)


@dataclass(frozen=True)
class Features:
    """The store, and where its columns stood for a network.

    fields: embedding table -> the codes of its fields, in order. statistics: side, "request" or "cross" -> the columns
    of its statistics, in order.
    """

    store: FeatureStore
    fields: dict[str, Spans]
    statistics: dict[str, Spans]


def read_features(tensors: dict[str, Tensor], facts: dict[str, Any]) -> Features:
    """Raises LookupError, TypeError or ValueError for what is not as it was."""
    left, spec = Tensors(tensors), facts["spec"]
    items, bank = _items(left, spec), _bank(left, facts["statistics"])
    users = _users(left, spec)
    publish_time, raw = left.take("items/publish_time"), left.take("items/raw")
    keys = ItemKeys(raw[:, 0].contiguous(), raw[:, 1].contiguous())
    made: list[Family] = [
        Age(publish_time),
        Behaviours({ENGAGED: LastN(_counter(left, "behaviours/counter"), left.take("behaviours/items"))},
                   int(spec["behaviours"])),
        Contexts({name: int(size) for name, size in facts["contexts"]}, int(facts["utc_offset_ms"])),
        items,
        Statistics(bank, keys, len(users.codes) - 1),
        users,
    ]  # fmt: skip
    if "items/content" in left:
        made.append(_content(left.take("items/content")))
    # The order that a build gives its families, and so its networks their columns.
    families = {family.name: family for family in sorted(made, key=lambda family: family.name)}
    statistics = _statistics(bank, "content" in families)
    start, end, refresh = (int(facts[name]) for name in ("start", "end", "refresh_ms"))
    store = FeatureStore(families, _scales(left, statistics), len(items.codes), start, end, refresh)
    left.end()
    return Features(store, _fields(families, store), statistics)


def _users(left: Tensors, spec: dict[str, Any]) -> UserCodes:
    """The user, and what is known of the user, stood before what is known of the request."""
    codes = left.take("users/codes")
    own = spec["user"][1 : codes.shape[1]]
    return UserCodes({field["name"]: int(field["size"]) for field in own}, codes)


def _items(left: Tensors, spec: dict[str, Any]) -> ItemCodes:
    """All categories of an item were not kept."""
    sizes = {field["name"]: int(field["size"]) for field in spec["item"][1:]}
    return ItemCodes(sizes, left.take("items/codes"), None)


def _content(vectors: Tensor) -> Content:
    """The axes were not kept, so that there is no content of other items."""
    none = torch.zeros(0, dtype=torch.float64)
    return Content(vectors, none, none.new_zeros(0, vectors.shape[1]), RECENT)


def _bank(left: Tensors, facts: dict[str, Any]) -> StatisticsBank:
    meta = TypeAdapter(StatisticsMeta).validate_python(facts)
    counters = {name: _counter(left, f"bank/{name}") for name in _groups(meta) if f"bank/{name}.keys" in left}
    return StatisticsBank(meta, left.take("bank/priors"), left.take("bank/past_priors"), counters)


def _groups(meta: StatisticsMeta) -> list[str]:
    """All groups there may be, in the order of their statistics; a file has sorted them."""
    single = ("user", "item", "author", "user_category", "user_author")
    crossed = [f"{kind}_{name}" for name in meta.contexts for kind in ("user", "item")]
    return [*single, *crossed, *(f"past_{name}" for name in single)]


def _counter(left: Tensors, name: str) -> WindowCounter:
    origin, span, entities = left.take(f"{name}.clock").tolist()
    return WindowCounter(left.take(f"{name}.keys"), left.take(f"{name}.totals"), origin, span, entities)


def _statistics(bank: StatisticsBank, content: bool) -> dict[str, Spans]:
    """Statistics of items and of pairs stood together, by group, and the closeness of the content after them."""
    spans: dict[str, list[tuple[str, int]]] = {"request": [], "cross": []}
    side_of = {group: side for side, groups in bank.sides.items() for group in groups}
    for group in (name for name in _groups(bank.meta) if name in side_of):
        side = side_of[group]
        spans["request" if side == "request" else "cross"].append((COLUMNS[side], bank.width(group)))
    if content:
        spans["cross"].append(("closeness", 2))
    return dict(spans)


def _scales(left: Tensors, statistics: dict[str, Spans]) -> dict[str, Scale]:
    scales: dict[str, Scale] = {}
    for side, spans in statistics.items():
        mean, factor = (left.cut(f"scaling/{side}.{name}", spans) for name in ("mean", "scale"))
        scales |= {column: Scale(mean[column], factor[column]) for column in mean}
    # The order that a build gives them.
    return {name: scales[name] for name in ("closeness", *COLUMNS.values()) if name in scales}


def _fields(families: dict[str, Family], store: FeatureStore) -> dict[str, Spans]:
    tables = {"user_fields": ("users", "contexts"), "item_fields": ("items",), "cross_fields": ("age",)}
    return {
        table: [(column.name, store.columns[column.name].size) for name in names for column in families[name].columns]
        for table, names in tables.items()
    }
