"""What a trained part is on disk: tensors and facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

#: Stands between the name of a part and the names inside it; no name has it.
SEPARATOR = "/"


@dataclass(frozen=True)
class State:
    """tensors: name -> tensor. facts: name -> what JSON can hold: settings, sizes, names.

    Names of a part inside a part are joined by "/". A snapshot stores a state as it is.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, **parts: State | Tensor | Any) -> State:
        """A state made of parts: states keep their names under the part's, tensors and facts have the part's name.

        Raises ValueError for a name with "/" in it.
        """
        tensors: dict[str, Tensor] = {}
        facts: dict[str, Any] = {}
        for name, part in parts.items():
            if SEPARATOR in name:
                raise ValueError(f"name: expected none with {SEPARATOR!r}, got {name!r}")
            if isinstance(part, State):
                tensors.update({f"{name}{SEPARATOR}{key}": tensor for key, tensor in part.tensors.items()})
                facts.update({f"{name}{SEPARATOR}{key}": fact for key, fact in part.facts.items()})
            elif isinstance(part, Tensor):
                tensors[name] = part
            else:
                facts[name] = part
        return cls(tensors, facts)

    def under(self, name: str) -> State:
        """The part of that name; empty where there is none."""
        return State(_under(self.tensors, name), _under(self.facts, name))

    def __getitem__(self, name: str) -> Any:
        """The tensor or the fact of that name. Raises KeyError, naming what there is."""
        if name in self.tensors:
            return self.tensors[name]
        if name in self.facts:
            return self.facts[name]
        raise KeyError(f"{name!r}: expected one of {', '.join([*self.tensors, *self.facts]) or 'nothing'}")

    def __contains__(self, name: str) -> bool:
        return name in self.tensors or name in self.facts


def _under(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    prefix = name + SEPARATOR
    return {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}
