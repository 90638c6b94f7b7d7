"""Tensors of a part, taken one by one, and cut into what lay in them side by side."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

#: What lies side by side in a tensor, in order: (name, width). A name may come again.
Spans = Sequence[tuple[str, int]]


class Tensors:
    """Each tensor can be taken once, so that none is forgotten."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self._left = dict(tensors)

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def take(self, name: str) -> Tensor:
        """Raises ValueError where it is not there."""
        if name not in self._left:
            raise ValueError(f"expected a tensor {name!r}, got {', '.join(self._left) or 'none'}")
        return self._left.pop(name)

    def end(self) -> None:
        """Raises ValueError for tensors that nobody took."""
        if self._left:
            raise ValueError(f"expected no other tensors, got {', '.join(self._left)}")

    def cut(self, name: str, spans: Spans, dim: int = -1) -> dict[str, Tensor]:
        """name of a span -> its part of the tensor along `dim`. Raises ValueError where they do not fill it."""
        tensor = self.take(name)
        widths = [width for _, width in spans]
        if tensor.shape[dim] != sum(widths):
            held = ", ".join(f"{width} of {span}" for span, width in spans)
            raise ValueError(f"{name}: expected {sum(widths)} columns ({held}), got shape {list(tensor.shape)}")
        parts: dict[str, list[Tensor]] = {}
        for (span, _), part in zip(spans, tensor.split(widths, dim), strict=True):
            parts.setdefault(span, []).append(part)
        return {span: torch.cat(each, dim) for span, each in parts.items()}
