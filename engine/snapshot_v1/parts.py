"""The parts of format 1 that need their names changed alone: they were flat tensors, with numbers among them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from torch import Tensor

from headrace.state import State

#: From the tensors and facts of a part to its state of today.
Reader = Callable[[dict[str, Tensor], dict[str, Any]], State]


def _as_it_is(tensors: dict[str, Tensor], facts: dict[str, Any]) -> State:
    return State(tensors, facts)


def _exposure(tensors: dict[str, Tensor], facts: dict[str, Any]) -> State:
    """Numbers were tensors, and `newest` an empty one where there was none."""
    newest = tensors["newest"].tolist()
    numbers = {name: tensors[name].tolist() for name in ("fpr", "window_ms", "generations", "capacities")}
    arrays = {name.replace(".", "/"): tensor for name, tensor in tensors.items() if name not in (*numbers, "newest")}
    return State(arrays, {**numbers, "newest": newest[0] if newest else None})


def _reranker(tensors: dict[str, Tensor], facts: dict[str, Any]) -> State:
    """The settings are those of the whole snapshot; kinds had no texts."""
    kinds = {name.replace("kinds.", "kinds/"): tensor for name, tensor in tensors.items() if name != "settings"}
    return State({"pins": tensors["vectors"].new_zeros(0).long(), **kinds}, {"texts": {}})


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


_SLASHED = re.compile(r"^(history|model|index)\.")
#: Part -> what reads it.
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
