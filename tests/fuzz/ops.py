"""Random calls of the ops: the native answer is the reference's, or both refuse and name the argument.

Sizes are awkward, and a third of the calls have one argument bent so that it may not fit.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headrace import kernels

NAMED = re.compile(r"^[a-zA-Z_][\w.\[\], ]*: ")
SIZES = (0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 97)
Call = tuple[Callable[..., Any], dict[str, Any]]


class Draw:
    """Random numbers of one attempt."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def size(self, least: int = 0, most: int = 97) -> int:
        return int(self.rng.choice([size for size in SIZES if least <= size <= most]))

    def one_of(self, *values: Any) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def floats(self, *shape: int) -> Tensor:
        return torch.from_numpy(self.rng.standard_normal(shape).astype(np.float32))

    def few(self, *shape: int) -> Tensor:
        """Of which many are equal."""
        return torch.from_numpy(self.rng.integers(-3, 4, shape).astype(np.float32))

    def ints(self, low: int, high: int, *shape: int) -> Tensor:
        """low to high - 1; low where there is nothing between."""
        return torch.from_numpy(self.rng.integers(low, max(high, low + 1), shape))

    def offsets(self, lists: int, total: int) -> Tensor:
        """int64 [lists + 1], from 0 to `total`, or to 0 where there are no lists."""
        inner = np.sort(self.rng.integers(0, total + 1, max(lists - 1, 0)))
        return torch.from_numpy(np.concatenate([[0], inner, [total]] if lists else [[0]]).astype(np.int64))

    def ragged(self, most: int = 97) -> tuple[Tensor, int]:
        """Offsets and how many entries they bound."""
        offsets = self.offsets(self.size(most=33), self.size(most=most))
        return offsets, int(offsets[-1])


def topk(draw: Draw) -> Call:
    batch, count, dim = draw.size(most=17), draw.size(), draw.size(1, 33)
    make = draw.one_of(draw.floats, draw.few)
    words = -(-count // 64)
    mask = None
    if draw.chance(0.4):
        mask = draw.ints(-(2**63), 2**63 - 1, *draw.one_of((words,), (batch, words)))
    metric = draw.one_of("ip", "cosine", "l2")
    return kernels.topk, {
        **{"queries": make(batch, dim), "items": make(count, dim), "k": draw.size(1), "metric": metric, "mask": mask}
    }


def index(draw: Draw) -> Call:
    count, dim = draw.size(), draw.size(1, 33)
    make = draw.one_of(draw.floats, draw.few)
    scan, keep = draw.one_of(("float32", "memory"), ("bfloat16", "memory"), ("int8", "memory"), ("int8", "none"))

    def search(items: Tensor, ids: Tensor, more: Tensor, queries: Tensor, **how: Any) -> Any:
        one = kernels.TopKIndex(items, ids, how.pop("metric"), scan, keep)
        one.add(more, torch.arange(len(more)) + 10_000)
        return one.search(queries, **how)

    ids = torch.from_numpy(draw.rng.permutation(1000)[:count])
    parts = {"items": make(count, dim), "ids": ids, "more": make(draw.size(most=9), dim)}
    parts |= {"queries": make(draw.size(most=17), dim), "k": draw.size(1), "metric": draw.one_of("ip", "cosine", "l2")}
    return search, parts


def segment_topk(draw: Draw) -> Call:
    offsets, count = draw.ragged()
    make = draw.one_of(draw.floats, draw.few)
    return kernels.segment_topk, {
        **{"offsets": offsets, "score": make(count), "tie": draw.ints(-4, 5, count), "k": draw.size(1)}
    }


def pool_items(draw: Draw) -> Call:
    lists, batch, count = draw.one_of(1, 2, 5, 63), draw.size(most=17), draw.size()
    offsets = torch.stack([draw.offsets(batch, count) for _ in range(lists)])
    scored = draw.chance(0.7)
    item = draw.ints(-3, 12, count) if scored else torch.from_numpy(draw.rng.permutation(count))
    limits = [draw.size(1) for _ in range(lists)] if draw.chance(0.5) else None
    return kernels.pool_items, {
        **{"offsets": offsets, "item": item, "k": draw.size(1), "score": draw.few(count).double() if scored else None},
        **{"limits": limits, "constant": float(draw.rng.random() * 60), "ranks": draw.chance(0.5)},
    }


def two_hop(draw: Draw) -> Call:
    users, nodes = draw.size(1, 33), draw.size(1, 33)
    first, second = draw.size(), draw.size()
    timed = draw.chance(0.4)
    times = draw.offsets(nodes, second)

    def walk(a: Tensor, b: Tensor, c: Tensor, d: Tensor, e: Tensor, f: Any, g: Any, **how: Any) -> Any:
        return kernels.two_hop(how.pop("users"), kernels.Edges(a, b, c), kernels.Edges(d, e, f, g), **how)

    batch = draw.size(most=17)
    return walk, {
        **{
            "a": draw.offsets(users, first),
            "b": draw.ints(0, nodes, first),
            "c": draw.few(first).abs() + 1,
            "d": times,
        },
        **{"e": draw.ints(-5, 20, second), "f": draw.few(second) if draw.chance(0.5) else None},
        **{"g": draw.ints(0, 9, second).sort(descending=True).values if timed else None, "k": draw.size(1)},
        **{"users": draw.ints(-1, users, batch), "now": draw.ints(0, 10, batch) if timed else None},
        **{"limit": draw.one_of(None, 1, 3, 100), "share": draw.chance(0.3)},
    }


def lookup_pairs(draw: Draw) -> Call:
    lists, entries, width, items = draw.size(1, 33), draw.size(), draw.size(1, 17), draw.size(1, 33)
    by_item = draw.chance(0.5)
    bounds = draw.offsets(lists, entries)
    codes = torch.cat([torch.arange(int(n)) * int(draw.rng.integers(1, 4)) for n in bounds.diff()]).int()
    offsets, count = draw.ragged()

    def look(a: Tensor, b: Tensor, c: Tensor, d: Any, **how: Any) -> Any:
        return kernels.lookup_pairs([kernels.PairTable(a, b, c, d)], **how)

    return look, {
        **{"a": bounds, "b": codes, "c": draw.floats(entries + 1, width)},
        **{"d": None if by_item else draw.ints(-1, 40, items).int(), "offsets": offsets},
        **{"keys": draw.ints(-1, 40 if by_item else lists, 1, len(offsets) - 1)},
        **{"item": draw.ints(0, lists if by_item else items, count)},
    }


def closeness(draw: Draw) -> Call:
    items, dim = draw.size(1), draw.size(1, 33)
    offsets, count = draw.ragged()
    return kernels.closeness, {
        **{
            "content": draw.floats(items, dim) / dim**0.5,
            "recent": draw.ints(-1, items, len(offsets) - 1, draw.size(most=9)).int(),
        },
        **{"offsets": offsets, "item": draw.ints(0, items, count)},
    }


def embedding_bag(draw: Draw) -> Call:
    tables, batch, per = draw.size(1, 7), draw.size(most=9), draw.size(most=9)
    rows = draw.size(1, 33)
    stored = draw.one_of(None, "bfloat16", "int8")
    offsets = draw.offsets(tables * batch, per * tables * batch)
    count = int(offsets[-1])
    mean = draw.chance(0.3)

    def bag(rows: Tensor, **how: Any) -> Any:
        return kernels.embedding_bag(kernels.EmbeddingTables([rows] * tables, stored), **how)

    return bag, {
        **{"rows": draw.floats(rows, draw.size(1, 33)), "indices": draw.ints(0, rows, count), "offsets": offsets},
        **{"pooling": "mean" if mean else "sum", "weights": None if mean or draw.chance(0.5) else draw.floats(count)},
    }


def bloom(draw: Draw) -> Call:
    layout = draw.one_of("block", "classic")
    words = draw.one_of(4, 8, 64) if layout == "block" else draw.size(1, 33)
    filters, count = draw.size(1, 9), draw.size()
    hashes = draw.one_of(1, 3, 8)

    def insert_and_ask(bits: Tensor, rows: Tensor, keys: Tensor, asked: Tensor, fan: Tensor, **how: Any) -> Any:
        bits = bits.clone()
        kernels.bloom_insert(bits, rows, keys, hashes, layout=layout, **how)
        seen = kernels.bloom_contains(bits, fan, asked, hashes, layout=layout, **how)
        offsets = torch.tensor([0, len(asked) // 2, len(asked)])
        of_lists = kernels.bloom_contains_lists([bits], [fan[:2].int()], [hashes], offsets, asked, layout=layout, **how)
        return bits, seen, of_lists

    asked = draw.size(2)
    return insert_and_ask, {
        **{"bits": torch.zeros(filters, words, dtype=torch.int64), "rows": draw.ints(-1, filters, count)},
        **{"keys": draw.ints(-(2**63), 2**63 - 1, count), "asked": draw.ints(-50, 50, asked)},
        **{"fan": draw.ints(-1, filters, asked, draw.size(1, 3))},
    }


def diverse(draw: Draw) -> Call:
    offsets, count = draw.ragged()
    k, pins = draw.size(1, 17), None
    if draw.chance(0.3):
        pins = torch.full((len(offsets) - 1, k), -1)
        pins[offsets.diff() > 0, 0] = 0
    rules = None
    if draw.chance(0.4):
        limits = [[draw.one_of(1, 2, 5), draw.one_of(0, 1, 2), draw.one_of(0, 1)] for _ in range(draw.one_of(1, 3))]
        rules = kernels.Rules(draw.ints(-1, 4, len(limits), count).int(), torch.tensor(limits))
    picks = draw.one_of(kernels.dpp_picks, kernels.mmr_picks)
    return picks, {
        **{"vectors": draw.floats(count, draw.size(1, 33)), "rewards": draw.floats(count), "offsets": offsets, "k": k},
        **{"theta": float(draw.rng.random()), "window": draw.one_of(None, 1, 3, 8), "rules": rules, "pinned": pins},
    }


def beam_search(draw: Draw) -> Call:
    depth, nodes, hidden, width = draw.one_of(1, 2, 3), draw.size(1, 17), draw.size(1, 17), draw.size(1, 9)
    embedding = draw.size(1, 9)

    def search(nodes_of: Tensor, **how: Any) -> Any:
        return kernels.beam_search(how.pop("user"), kernels.PathModel(nodes_of, *layers), **how)

    layers = [
        [draw.floats(hidden, width + d * embedding) for d in range(depth)],
        [draw.floats(hidden) for _ in range(depth)],
        [draw.floats(nodes, hidden) for _ in range(depth)],
        [draw.floats(nodes) for _ in range(depth)],
    ]
    parts = {"nodes_of": draw.floats(depth - 1, nodes, embedding), "user": draw.floats(draw.size(most=9), width)}
    return search, {**parts, "beam": draw.size(1, 33)}


def likes(draw: Draw) -> dict[str, Any]:
    users, items = draw.size(most=33), draw.size(1, 65)
    there = draw.rng.random((users, items)) < draw.one_of(0.02, 0.3, 1.0)
    offsets = torch.from_numpy(np.append(0, there.sum(1).cumsum()))
    parts = {"offsets": offsets, "item": torch.from_numpy(np.nonzero(there)[1]), "k": draw.size(1), "items": items}
    return {**parts, "kept": draw.one_of(None, draw.ints(0, 2, items).bool())}


def co_occurrence(draw: Draw) -> Call:
    parts = likes(draw)
    count, items = len(parts["item"]), parts["items"]
    weight = draw.one_of(None, draw.few(count).double(), draw.ints(1, 5, count).double(), draw.floats(count).double())
    parts |= {"weight": weight, "formula": draw.one_of("cosine", "product"), "min_common": draw.one_of(1, 1, 2)}
    if parts["formula"] == "cosine":
        return kernels.co_occurrence, {**parts, "shrink": draw.one_of(0.0, 1.5)}
    return kernels.co_occurrence, {**parts, "column": draw.one_of(None, draw.floats(items).double().abs())}


def swing(draw: Draw) -> Call:
    return kernels.swing, {**likes(draw), "alpha": draw.one_of(0.5, 1.0, 3.0)}


DRAWS = (
    *(topk, index, segment_topk, pool_items, two_hop, lookup_pairs),
    *(closeness, embedding_bag, bloom, diverse, beam_search, co_occurrence, swing),
)
#: Sums in float32, in an order of their own.
ROUNDED = {"closeness", "embedding_bag", "diverse"}


def bend(draw: Draw, parts: dict[str, Any]) -> str:
    """Changes one argument so that it may not fit; says which and how."""
    name = draw.one_of(*(name for name, part in parts.items() if isinstance(part, (Tensor, int)) and part is not True))
    value = parts[name]
    if not isinstance(value, Tensor):
        parts[name] = draw.one_of(0, -1, 2**63, 1.5, None, "1", True)
        return f"{name} = {parts[name]!r}"
    how = draw.one_of("value", "value", "shorter", "longer", "narrower", "axis", "dtype")
    if how == "value" and value.numel():
        worst = (np.nan, np.inf, -np.inf) if value.is_floating_point() else (-1, -2, 40, 2**31 - 1, -(2**31))
        worst += () if value.is_floating_point() or value.dtype == torch.int32 else (2**62, -(2**63), 2**63 - 1)
        value = value.clone()
        value.view(-1)[int(draw.rng.integers(value.numel()))] = draw.one_of(*worst)
    elif how == "shorter":
        value = value[:-1]
    elif how == "longer":
        value = torch.cat([value, value[:1] if len(value) else value.new_zeros(1, *value.shape[1:])])
    elif how == "narrower":
        value = value[..., :-1]
    elif how == "axis":
        value = draw.one_of(value[None], value[..., None], value.reshape(-1))
    elif how == "dtype":
        value = draw.one_of(value.double(), value.cfloat(), value.bool(), value.short().half())
    parts[name] = value
    return f"{name} {how} {list(value.shape)} {value.dtype}"


def outcome(function: Callable[..., Any], parts: dict[str, Any], **how: Any) -> list[Tensor] | Exception:
    own = {name: part.clone() if isinstance(part, Tensor) else part for name, part in parts.items()}
    try:
        return [part for part in function(**own, **how) if part is not None]
    except (ValueError, TypeError) as error:
        if NAMED.match(str(error)):
            return error
        raise AssertionError(f"an error without a name: {error!r}") from error


def attempt(seed: int) -> str:
    """One call, on two backends. The seed is its whole input."""
    draw = Draw(seed)
    made = draw.one_of(*DRAWS)
    function, parts = made(draw)
    bent = bend(draw, parts) if draw.chance(1 / 3) else "as drawn"
    native = outcome(function, parts, backend="native", threads=draw.one_of(1, 2, 3))
    reference = outcome(function, parts, backend="reference")
    where = f"{made.__name__}, {bent}:\nnative {native}\nreference {reference}"
    if isinstance(native, Exception) or isinstance(reference, Exception):
        assert type(native) is type(reference), where
        return f"{made.__name__}, refused"
    assert len(native) == len(reference), where
    for got, expected in zip(native, reference, strict=True):
        assert got.shape == expected.shape, where
        if made.__name__ in ROUNDED and got.is_floating_point():
            assert torch.allclose(got, expected, rtol=1e-4, atol=1e-4, equal_nan=True), where
        else:
            equal = (got == expected) | ((got != got) & (expected != expected))
            assert bool(equal.all()), where
    return made.__name__
