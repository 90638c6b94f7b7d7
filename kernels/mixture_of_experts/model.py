"""The weights of a mixture-of-experts ranking network, laid out for the kernels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from headrace.kernels.checks import check_at_least, check_weight
from headrace.kernels.rows import filled


@dataclass(frozen=True)
class MixtureSizes:
    """targets: T. experts: E. hidden, units: outputs of an expert's two layers. head_units: H. dim: of an item's
    embedding. attention: whether candidates attend to the behaviours. Each at least 1."""

    targets: int
    experts: int
    hidden: int
    units: int
    head_units: int
    dim: int
    attention: bool

    def __post_init__(self) -> None:
        for name in ("targets", "experts", "hidden", "units", "head_units", "dim"):
            check_at_least(name, getattr(self, name), 1)

    @property
    def small(self) -> int:
        """Columns of a row before the experts': gates, linear path, embedding, and zeros up to a multiple of 16."""
        return filled(self.targets * self.experts + self.targets + self.dim)

    @property
    def width(self) -> int:
        """Columns of a row."""
        return self.small + filled(self.experts * self.hidden)

    def row(self, gates: Tensor, wide: Tensor, hidden: Tensor, embedding: Tensor | None = None) -> Tensor:
        """[m, width]: rows from the outputs of the gates [m, T E], the linear path [m, T], the experts' first layers
        [m, E hidden], and the item's embedding [m, dim] (None: zeros)."""
        if embedding is None:
            embedding = gates.new_zeros(len(gates), self.dim)
        small = torch.cat([gates, wide, embedding], 1)
        fills = self.small - small.shape[1], self.width - self.small - hidden.shape[1]
        return torch.cat([pad(small, (0, fills[0])), pad(hidden, (0, fills[1]))], 1)

    def numbers(self) -> list[int]:
        """The sizes in the order of `hr_mixture_model`."""
        return [self.targets, self.experts, self.hidden, self.units, self.head_units, self.dim, int(self.attention)]


@dataclass(frozen=True)
class MixtureModel:
    """A ranking network whose first layer, linear in a concatenation, is multiplied out as far as it goes.

    All tensors are float32, contiguous, finite and on one device. The first four have rows as `MixtureSizes.row` makes
    them; item_rows hold the biases of the first layer and of the linear path, and alone have embeddings.
    request_weight: [R, width]. item_rows: [items, width]. code_rows: [codes, width]. candidate_weight:
    [dim + attention dim + D, width], of taste times embedding, of the attended behaviours, of the dynamic features.
    expert_weight: [E, hidden, units]; expert_bias: [E, units]. head_weight: [T, units, H]; head_bias: [T, H].
    out_weight: [T, H]; out_bias: [T].
    Raises TypeError or ValueError for another dtype, shape or device, NaN or infinity.
    """

    sizes: MixtureSizes
    request_weight: Tensor
    item_rows: Tensor
    code_rows: Tensor
    candidate_weight: Tensor
    expert_weight: Tensor
    expert_bias: Tensor
    head_weight: Tensor
    head_bias: Tensor
    out_weight: Tensor
    out_bias: Tensor

    def __post_init__(self) -> None:
        s = self.sizes
        shapes: dict[str, tuple[int | None, ...]] = {
            "request_weight": (None, s.width),
            "item_rows": (None, s.width),
            "code_rows": (None, s.width),
            "candidate_weight": (None, s.width),
            "expert_weight": (s.experts, s.hidden, s.units),
            "expert_bias": (s.experts, s.units),
            "head_weight": (s.targets, s.units, s.head_units),
            "head_bias": (s.targets, s.head_units),
            "out_weight": (s.targets, s.head_units),
            "out_bias": (s.targets,),
        }
        for name, shape in shapes.items():
            check_weight(name, getattr(self, name), shape, self.item_rows.device)
        if self.dynamic_width < 0:
            least = s.dim * (1 + s.attention)
            raise ValueError(
                f"candidate_weight: expected at least {least} rows, got {tuple(self.candidate_weight.shape)}"
            )

    @property
    def dynamic_width(self) -> int:
        return self.candidate_weight.shape[0] - self.sizes.dim * (1 + self.sizes.attention)

    @property
    def weights(self) -> list[Tensor]:
        """The tensors in the order of `hr_mixture_model`."""
        first = [self.request_weight, self.item_rows, self.code_rows, self.candidate_weight]
        experts = [self.expert_weight, self.expert_bias]
        return [*first, *experts, self.head_weight, self.head_bias, self.out_weight, self.out_bias]
