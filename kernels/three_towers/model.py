"""The weights of a three-tower pre-ranking network, laid out for the kernels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from headrace.kernels.checks import check_at_least, check_weight
from headrace.kernels.rows import filled


@dataclass(frozen=True)
class TowersSizes:
    """targets: T. dim: of the towers' vectors. tower_units: U, hidden units of the request tower. upper_units: H, those
    of the upper network. Each at least 1."""

    targets: int
    dim: int
    tower_units: int
    upper_units: int

    def __post_init__(self) -> None:
        for name in ("targets", "dim", "tower_units", "upper_units"):
            check_at_least(name, getattr(self, name), 1)

    @property
    def width(self) -> int:
        """Columns of a row."""
        return filled(2 * self.dim + self.targets)

    def row(self, cross: Tensor, wide: Tensor, vector: Tensor | None = None) -> Tensor:
        """[m, width]: rows from the inputs of the cross tower's ReLU [m, dim], the linear path [m, T], and the item's
        vector [m, dim] (None: zeros)."""
        joined = torch.cat([torch.zeros_like(cross) if vector is None else vector, cross, wide], 1)
        return pad(joined, (0, self.width - joined.shape[1]))

    def numbers(self) -> list[int]:
        """The sizes in the order of `hr_towers_model`."""
        return [self.targets, self.dim, self.tower_units, self.upper_units]


@dataclass(frozen=True)
class TowersModel:
    """A three-tower network whose item tower, and whatever else depends on an item alone, is multiplied out.

    All tensors are float32, contiguous, finite and on one device. Those with `width` columns have rows as
    `TowersSizes.row` makes them; item_rows hold the biases of the cross tower, the last layer and the linear path, and
    alone have vectors.
    tower_weight: [R, U]; tower_bias: [U]. vector_weight: [U, dim]; vector_bias: [dim]. user_weight: [dim, H] and
    upper_bias: [H], of the upper network. request_weight: [R, width]. item_rows: [items, width]. code_rows:
    [codes, width]. dynamic_weight: [D, width]. upper_weight: [3 dim, H], of the item's vector, of the cross vector, of
    item times user. last_weight: [H, T].
    Raises TypeError or ValueError for another dtype, shape or device, NaN or infinity.
    """

    sizes: TowersSizes
    tower_weight: Tensor
    tower_bias: Tensor
    vector_weight: Tensor
    vector_bias: Tensor
    user_weight: Tensor
    upper_bias: Tensor
    request_weight: Tensor
    item_rows: Tensor
    code_rows: Tensor
    dynamic_weight: Tensor
    upper_weight: Tensor
    last_weight: Tensor

    def __post_init__(self) -> None:
        s = self.sizes
        shapes: dict[str, tuple[int | None, ...]] = {
            "tower_weight": (None, s.tower_units),
            "tower_bias": (s.tower_units,),
            "vector_weight": (s.tower_units, s.dim),
            "vector_bias": (s.dim,),
            "user_weight": (s.dim, s.upper_units),
            "upper_bias": (s.upper_units,),
            "request_weight": (len(self.tower_weight), s.width),
            "item_rows": (None, s.width),
            "code_rows": (None, s.width),
            "dynamic_weight": (None, s.width),
            "upper_weight": (3 * s.dim, s.upper_units),
            "last_weight": (s.upper_units, s.targets),
        }
        for name, shape in shapes.items():
            check_weight(name, getattr(self, name), shape, self.item_rows.device)

    @property
    def weights(self) -> list[Tensor]:
        """The tensors in the order of `hr_towers_model`."""
        tower = [self.tower_weight, self.tower_bias, self.vector_weight, self.vector_bias]
        rows = [self.request_weight, self.item_rows, self.code_rows, self.dynamic_weight]
        return [*tower, self.user_weight, self.upper_bias, *rows, self.upper_weight, self.last_weight]
