"""What the tensors of an op look like: checked where torch's dispatcher brings them, which has asked nobody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


class _Shape(NamedTuple):
    """dtypes: those that fit. sizes: a name or a number for each dimension, "n+1" for one more. None: any."""

    dtypes: tuple[torch.dtype, ...] | None
    sizes: tuple[str, ...] | None
    on_cpu: bool


class Layout:
    """The dtypes and shapes of an op's inputs.

    schema: its inputs, as torch.library writes them. text: "offsets int64 B+1, score float32 n, mask int64|uint64":
    a name, a dtype and a size each; equal names of sizes are equal, * is any size. A list has many of that shape;
    "any" is what only the op's own classes make. All are on one device, but for those with "cpu:" before the dtype.
    """

    def __init__(self, schema: str, text: str) -> None:
        inputs = [one.split() for one in schema.strip("()").split(", ")]
        self.names = [name for _, name in inputs]
        self.written = [kind.startswith("Tensor(") for kind, _ in inputs]
        self.shapes: dict[str, _Shape] = {}
        for part in text.split(", "):
            name, dtypes, *sizes = part.split()
            words = dtypes.removeprefix("cpu:").split("|")
            kinds = None if words == ["any"] else tuple(getattr(torch, one) for one in words)
            self.shapes[name] = _Shape(kinds, tuple(sizes) or None, dtypes.startswith("cpu:"))
        tensors = {name for kind, name in inputs if kind.startswith("Tensor")}
        if tensors != self.shapes.keys():
            raise ValueError(f"layout: expected {', '.join(sorted(tensors))}, got {', '.join(sorted(self.shapes))}")

    def checked(self, inputs: Sequence[Any]) -> list[Any]:
        """The inputs, contiguous. Raises TypeError or ValueError, naming the one that does not fit."""
        known: dict[str, int] = {}
        devices: list[torch.device] = []
        return [self._input(place, value, known, devices) for place, value in enumerate(inputs)]

    def _input(self, place: int, value: Any, known: dict[str, int], devices: list[torch.device]) -> Any:
        name = self.names[place]
        if name not in self.shapes or value is None:
            return value
        if not isinstance(value, Tensor):
            return [
                None if one is None else _fitting(f"{name}[{i}]", one, self.shapes[name], known, devices)
                for i, one in enumerate(value)
            ]
        if self.written[place] and not value.is_contiguous():
            raise ValueError(f"{name}: expected a contiguous tensor, since it changes in place")
        return _fitting(name, value, self.shapes[name], known, devices)


def _fitting(name: str, tensor: Tensor, shape: _Shape, known: dict[str, int], devices: list[torch.device]) -> Tensor:
    if shape.dtypes is None:
        return tensor
    if tensor.dtype not in shape.dtypes:
        words = " or ".join(str(one).removeprefix("torch.") for one in shape.dtypes)
        raise TypeError(f"{name}: expected {words}, got {str(tensor.dtype).removeprefix('torch.')}")
    if not shape.on_cpu:
        devices.append(tensor.device)
    device = torch.device("cpu") if shape.on_cpu else devices[0]
    if tensor.device != device:
        raise ValueError(f"{name}: expected a tensor on {device}, got {tensor.device}")
    if shape.sizes is not None:
        got = tuple(tensor.shape)
        fits = len(got) == len(shape.sizes)
        for size, length in zip(shape.sizes, got, strict=False):
            less = length - size.endswith("+1")
            wanted = int(size) if size.isdigit() else known.setdefault(size.removesuffix("+1"), less)
            fits = fits and less >= 0 and (size == "*" or wanted == less)
        if not fits:
            told = ", ".join(f"{size} = {length}" for size, length in known.items() if size != "*")
            raise ValueError(f"{name}: expected shape [{', '.join(shape.sizes)}] with {told}, got {list(got)}")
    return tensor.contiguous()
