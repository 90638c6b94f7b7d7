"""All parts of a snapshot of format 1, whose facts stood apart, as today's states."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from torch import Tensor

from headrace.snapshot_v1.features import Features, read_features
from headrace.snapshot_v1.parts import READERS
from headrace.snapshot_v1.rankers import RANKERS, read_ranker
from headrace.snapshot_v1.settings import settings_of
from headrace.state import State

T = TypeVar("T")


def migrate(
    parts: dict[str, dict[str, Tensor]], info: dict[str, Any]
) -> tuple[dict[str, State], dict[str, Any], dict[str, str]]:
    """Today's states and info, and the parts that cannot be read -> why."""
    rest = {name: value for name, value in info.items() if name != "meta"}
    if "settings" in rest:
        rest["settings"] = settings_of(rest["settings"])
    reading = _Reading(parts, info.get("meta", {}))
    reading.all()
    return reading.states, rest, reading.lost


class _Reading:
    """states: of the parts read so far. lost: the others -> why."""

    def __init__(self, parts: dict[str, dict[str, Tensor]], facts: dict[str, Any]) -> None:
        self._parts, self._facts = parts, facts
        self.states: dict[str, State] = {}
        self.lost: dict[str, str] = {}

    def all(self) -> None:
        features: Features | None = None
        if "features" in self._parts and (features := self._read("features", read_features)):
            self.states["features"] = features.store.state()
        for name in self._parts:
            if name in RANKERS:
                if features is None:
                    self.lost[name] = "it needs the features"
                elif state := self._read(name, partial(read_ranker, name, features)):
                    self.states[name] = state
            elif name in READERS:
                if state := self._read(name, READERS[name]):
                    self.states[name] = state
            elif name != "features":
                self.lost[name] = f"expected one of features, {', '.join([*RANKERS, *READERS])}"

    def _read(self, name: str, read: Callable[[dict[str, Tensor], dict[str, Any]], T]) -> T | None:
        try:
            return read(self._parts[name], self._facts.get(name, {}))
        except (LookupError, TypeError, ValueError) as error:
            self.lost[name] = str(error) if isinstance(error, ValueError) else repr(error)
            return None
