"""Snapshots of format 1, read as states: their parts were flat tensors, with settings and numbers among them, and the
facts of some parts stood apart."""

from __future__ import annotations

import re
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
    if "settings" in rest:
        rest["settings"] = _settings(rest["settings"])
    return states, rest, tuple(name for name in parts if name not in READERS)


def _as_it_is(tensors: dict[str, Tensor], facts: dict[str, Any]) -> State:
    return State(tensors, facts)


def _without_seed(settings: dict[str, Any]) -> dict[str, Any]:
    train = settings["train"] and {name: value for name, value in settings["train"].items() if name != "seed"}
    return {**settings, "train": train}


def _exposure(tensors: dict[str, Tensor], facts: dict[str, Any]) -> State:
    newest = tensors["newest"].tolist()
    numbers = {name: tensors[name].tolist() for name in ("fpr", "window_ms", "generations", "capacities")}
    arrays = {name.replace(".", "/"): tensor for name, tensor in tensors.items() if name not in (*numbers, "newest")}
    return State(arrays, {**numbers, "newest": newest[0] if newest else None})


def _reranker(tensors: dict[str, Tensor], facts: dict[str, Any]) -> State:
    """The settings are those of the whole snapshot."""
    kinds = {name.replace("kinds.", "kinds/"): tensor for name, tensor in tensors.items() if name != "settings"}
    return State({"pins": tensors["vectors"].new_zeros(0).long(), **kinds})


def _slashes(tensors: dict[str, Tensor], facts: dict[str, Any]) -> State:
    """The names of a part's own parts ended with a dot."""
    return State({_SLASHED.sub(r"\1/", name): tensor for name, tensor in tensors.items()}, facts)


def _two_tower(tensors: dict[str, Tensor], facts: dict[str, Any]) -> State:
    """The sizes of the fields were tensors, in the order of the names."""
    state = _slashes({name.replace("user.", "users/", 1) if name.startswith("user.") else name: tensor
                      for name, tensor in tensors.items() if "_field." not in name}, facts)  # fmt: skip
    for side in ("user", "item"):
        prefix = f"{side}_field."
        names = sorted(name for name in tensors if name.startswith(prefix))
        state.facts[f"{side}_fields"] = [[name.removeprefix(prefix), int(tensors[name])] for name in names]
    return state


def _settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Quotas stood together, each trained channel had a section of its own, and training a seed of its own."""
    if "recall" not in settings:
        return settings
    recall = settings["recall"]
    rest = {name: value for name, value in settings.items() if name not in ("recall", *_TRAINED)}
    channels = {name: {"quota": quota} for name, quota in recall.items() if name not in ("total", *_OF_ITEMCF)}
    channels["itemcf"] |= {name: recall[name] for name in _OF_ITEMCF}
    for name in _TRAINED:
        channels[name] |= {key: value for key, value in settings[name].items() if key != "seed"}
    rankers: dict[str, Any] = {name: _ranker(rest[name]) for name in ("preranker", "ranker") if name in rest}
    return {**rest, **rankers, "channels": channels, "merge": {"total": recall["total"]}}


def _ranker(settings: dict[str, Any]) -> dict[str, Any]:
    """There was one network for each of the two, whose settings stood among the others."""
    network = {name: settings[name] for name in _NETWORK if name in settings}
    rest = {name: value for name, value in settings.items() if name not in network}
    return {**_without_seed(rest), "network": network}


_SLASHED = re.compile(r"^(history|model|index)\.")
_TRAINED = ("two_tower", "matrix_completion")
_OF_ITEMCF = ("neighbours", "min_common")
_NETWORK = (
    *("embedding_dim", "experts", "expert_units", "head_units", "attention", "expert_dropout"),
    *("tower_units", "vector_dim", "upper_units"),
)
#: Part -> what reads it; a part that is not here is lost: features and rankers are made anew.
READERS: dict[str, Reader] = {
    "exposure": _exposure,
    "reranker": _reranker,
    "channel-itemcf": _slashes,
    "channel-two_tower": _two_tower,
    "channel-matrix_completion": _slashes,
    "channel-author_latest": _as_it_is,
    "channel-popular_in_category": _as_it_is,
    "channel-popular": _as_it_is,
}
