"""What a trained part is on disk: tensors and facts, each checked as it is taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from headrace.section import first_problem

#: Stands between the name of a part and the names inside it; no name has it.
SEPARATOR = "/"

_M = TypeVar("_M", bound=nn.Module)


@dataclass(frozen=True)
class State:
    """tensors: name -> tensor. facts: name -> what JSON can hold: settings, sizes, names.

    Names of a part inside a part are joined by "/". A snapshot stores a state as it is. Whoever wrote it, `tensor`,
    `offsets`, `fact` and `module` give only what fits; `[]` gives what there is.
    rows: "users" and "items" -> how many the snapshot has, against which rows are checked; where it is not known,
    they are not.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict, compare=False, repr=False)

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
        return State(_under(self.tensors, name), _under(self.facts, name), self.rows)

    def tensor(
        self,
        name: str,
        dtype: torch.dtype,
        *shape: int | str | None,
        least: float | None = None,
        below: float | str | None = None,
        rising: bool = False,
        distinct: bool = False,
    ) -> Tensor:
        """The tensor of that name. shape: a length each; None: any; "users", "items": as many as there are.

        least <= every entry < below, which may be "users" or "items" too; rising: each is above the one before;
        distinct: none twice. Floating numbers must be finite. Raises KeyError where there is none, ValueError, naming
        it, what was expected and what came, where it does not fit. Costs one pass over the tensor.
        """
        found = self[name]
        sizes = [self.rows.get(size) if isinstance(size, str) else size for size in shape]
        if not isinstance(found, Tensor):
            raise ValueError(f"{name}: expected a tensor, got {found!r:.80}")
        fits = len(sizes) == found.ndim and all(
            size is None or size == got for size, got in zip(sizes, found.shape, strict=True)
        )
        if found.dtype != dtype or not fits:
            wanted = ", ".join("any" if size is None else str(size) for size in sizes)
            raise ValueError(f"{name}: expected {dtype} [{wanted}], got {found.dtype} {list(found.shape)}")
        if found.numel() == 0:
            return found
        # The byte of a bool may hold anything in a file.
        low, high = (end.item() for end in (found.view(torch.uint8) if dtype == torch.bool else found).aminmax())
        stop = self.rows.get(below) if isinstance(below, str) else below
        if dtype == torch.bool:
            least, stop = 0, 2
        if dtype.is_floating_point and not abs(high - low) < float("inf"):
            raise ValueError(f"{name}: expected finite numbers, got {low} to {high}")
        if (least is not None and low < least) or (stop is not None and high >= stop):
            upwards = "" if least is None else f" from {least:g}"
            raise ValueError(
                f"{name}: expected numbers{upwards}{'' if stop is None else f' below {stop:g}'}, got {low} to {high}"
            )
        if rising and not bool((found[1:] > found[:-1]).all()):
            raise ValueError(f"{name}: expected rising numbers, got others")
        if distinct and len(found.unique()) < found.numel():
            raise ValueError(f"{name}: expected each number once, got one twice")
        return found

    def offsets(self, name: str, lists: int | str | None, entries: int) -> Tensor:
        """int64 [lists + 1]: where each of `lists` begins among `entries`, and the last one ends."""
        count = self.rows.get(lists) if isinstance(lists, str) else lists
        found = self.tensor(name, torch.int64, None if count is None else count + 1)
        if len(found) == 0 or int(found[0]) or int(found[-1]) != entries or bool((found[1:] < found[:-1]).any()):
            ends = found[[0, -1]].tolist() if len(found) else []
            raise ValueError(f"{name}: expected numbers from 0 to {entries} that do not fall, got {ends or 'none'}")
        return found

    def fact(self, name: str, kind: Any, strict: bool = True) -> Any:
        """The fact of that name, of a type as pydantic knows them, nothing converted. Raises as `tensor` does."""
        found = self[name]
        try:
            return TypeAdapter(kind).validate_python(found, strict=strict)
        except ValidationError as error:
            raise ValueError(f"{name}: {first_problem(error):.200}") from error

    def module(self, make: Callable[[], _M]) -> _M:
        """The module that `make` makes, with all of its weights from this state. Raises ValueError, before any memory
        is taken, where the names, shapes or types are others, or a weight is not finite."""
        try:
            with torch.device("meta"):
                expected = make().state_dict()
        # A module that looks at numbers while it is made.
        except (RuntimeError, NotImplementedError):
            expected = make().state_dict()
        if odd := sorted(expected.keys() ^ self.tensors.keys()):
            raise ValueError(f"{odd[0]}: expected the weights {', '.join(expected)}, got {', '.join(self.tensors)}")
        held = {name: self.tensor(name, one.dtype, *one.shape) for name, one in expected.items()}
        made = make()
        made.load_state_dict(held)
        return made

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
