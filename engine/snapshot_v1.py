"""Snapshots of format 1, read as states: their parts were flat tensors, with settings and numbers among them, and the
facts of some parts stood apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from headrace.state import State

#: From the tensors and facts of a part to its state of today.
Reader = Callable[[dict[str, Tensor], dict[str, Any]], State]


def migrate(
    parts: dict[str, dict[str, Tensor]], info: dict[str, Any]
) -> tuple[dict[str, State], dict[str, Any], tuple[str, ...]]:
    """Today's states and info, and the names of the parts that cannot be read."""
    facts = info.get("meta", {})
    states = {name: read(parts[name], facts.get(name, {})) for name, read in READERS.items() if name in parts}
    rest = {name: value for name, value in info.items() if name != "meta"}
    return states, rest, tuple(name for name in parts if name not in READERS)


def _as_it_is(tensors: dict[str, Tensor], facts: dict[str, Any]) -> State:
    return State(tensors, facts)


def _exposure(tensors: dict[str, Tensor], facts: dict[str, Any]) -> State:
    newest = tensors["newest"].tolist()
    numbers = {name: tensors[name].tolist() for name in ("fpr", "window_ms", "generations", "capacities")}
    arrays = {name.replace(".", "/"): tensor for name, tensor in tensors.items() if name not in (*numbers, "newest")}
    return State(arrays, {**numbers, "newest": newest[0] if newest else None})


def _reranker(tensors: dict[str, Tensor], facts: dict[str, Any]) -> State:
    """The settings are those of the whole snapshot."""
    kinds = {name.replace("kinds.", "kinds/"): tensor for name, tensor in tensors.items() if name != "settings"}
    return State({"pins": tensors["vectors"].new_zeros(0).long(), **kinds})


#: Part -> what reads it; a part that is not here is lost.
READERS: dict[str, Reader] = {
    "features": _as_it_is,
    "preranker": _as_it_is,
    "ranker": _as_it_is,
    "exposure": _exposure,
    "reranker": _reranker,
    "channel-itemcf": _as_it_is,
    "channel-two_tower": _as_it_is,
    "channel-matrix_completion": _as_it_is,
    "channel-author_latest": _as_it_is,
    "channel-popular_in_category": _as_it_is,
    "channel-popular": _as_it_is,
}
