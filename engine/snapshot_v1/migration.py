"""All parts of a snapshot of format 1, whose facts stood apart, as today's states."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from headrace.snapshot_v1.features import Features, read_features
from headrace.snapshot_v1.parts import READERS
from headrace.snapshot_v1.rankers import RANKERS, read_ranker
from headrace.snapshot_v1.settings import settings_of
from headrace.state import State


def migrate(
    parts: dict[str, dict[str, Tensor]], info: dict[str, Any]
) -> tuple[dict[str, State], dict[str, Any], dict[str, str]]:
    """Today's states and info, and the parts that cannot be read -> why."""
    facts = info.get("meta", {})
    rest = {name: value for name, value in info.items() if name != "meta"}
    if "settings" in rest:
        rest["settings"] = settings_of(rest["settings"])
    states: dict[str, State] = {}
    lost: dict[str, str] = {}
    features: Features | None = None
    # The features first: the rankers need them.
    for name in sorted(parts, key=lambda name: name != "features"):
        try:
            if name == "features":
                features = read_features(parts[name], facts.get(name, {}))
                states[name] = features.store.state()
            else:
                states[name] = _state(name, features, parts[name], facts.get(name, {}))
        except (LookupError, TypeError, ValueError) as error:
            lost[name] = str(error) if isinstance(error, ValueError) else repr(error)
    return states, rest, lost


def _state(name: str, features: Features | None, tensors: dict[str, Tensor], facts: dict[str, Any]) -> State:
    if name in READERS:
        return READERS[name](tensors, facts)
    if name not in RANKERS:
        raise ValueError(f"expected one of features, {', '.join([*RANKERS, *READERS])}")
    if features is None:
        raise ValueError("it needs the features")
    return read_ranker(name, features, tensors, facts)
