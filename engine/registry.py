"""Names to classes: how the parts of the engine find each other without a list of them."""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """Name -> class or function, in the order of the names.

    kind: the word for one of them in errors, and the group of entry points ("headrace.<kind>s") that systems outside
    the tree add theirs by. package: the one whose modules register theirs when they are imported; all are imported at
    the first look.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self._package = package
        self._known: dict[str, T] = {}
        self._looked = False

    def add(self, name: str, value: T) -> T:
        """Registers `value`. Raises ValueError when the name stands for something else already."""
        held = self._known.get(name)
        # A module that is loaded again brings the same thing anew.
        if held is not None and _place(held) != _place(value):
            raise ValueError(f"{self.kind}: {name!r} is registered already, by {_place(held)}")
        self._known[name] = value
        return value

    def remove(self, name: str) -> None:
        """Forgets a name, e.g. after a test."""
        self._known.pop(name, None)

    def __getitem__(self, name: str) -> T:
        """Raises KeyError, listing the known names."""
        self._look()
        if name not in self._known:
            raise KeyError(f"{self.kind}: expected one of {', '.join(sorted(self._known))}, got {name!r}")
        return self._known[name]

    def __contains__(self, name: object) -> bool:
        self._look()
        return name in self._known

    def __iter__(self) -> Iterator[str]:
        self._look()
        return iter(sorted(self._known))

    def __len__(self) -> int:
        self._look()
        return len(self._known)

    def _look(self) -> None:
        if self._looked:
            return
        self._looked = True
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__, f"{self._package}."):
            importlib.import_module(module.name)
        for point in importlib.metadata.entry_points(group=f"headrace.{self.kind}s"):
            point.load()


def _place(value: object) -> str:
    return f"{getattr(value, '__module__', '?')}.{getattr(value, '__qualname__', value)}"
