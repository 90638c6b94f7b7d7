"""Products of fields with one another."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headrace.models.blocks.leaf import leaf
from headrace.models.blocks.linear import GroupedLinear


@leaf
def fm(fields: Tensor) -> Tensor:
    """The sum of v_f * v_g over all pairs f < g, element by element: [n, F, d] -> [n, d] (Rendle, ICDM 2010)."""
    return (fields.sum(1).square() - fields.square().sum(1)) / 2


@leaf
def pairs(a: Tensor, b: Tensor, inner: bool = False) -> Tensor:
    """a[:, f] * b[:, g] of all pairs f < g of F fields, f by f; `inner`: summed up.

    a [n, F - 1 or F, d], b [n, F, d] -> [n, F (F - 1) / 2, d], or [n, F (F - 1) / 2].
    """
    first, second = torch.triu_indices(b.shape[1], b.shape[1], 1, device=b.device)
    product = a[:, first] * b[:, second]
    return product.sum(2) if inner else product


@leaf
def self_attend(q: Tensor, k: Tensor, v: Tensor, heads: int = 1) -> Tensor:
    """Each of F vectors attends to all: softmax of q[f].k[g] over sqrt(d / heads), times v[g] (Vaswani et al., 2017).

    q, k, v [n, F, d], of which each head has its own part -> [n, F, d].
    """
    n, fields, width = q.shape
    q, k, v = (x.reshape(n, fields, heads, width // heads).transpose(1, 2) for x in (q, k, v))
    weight = torch.softmax(q @ k.transpose(2, 3) * (width // heads) ** -0.5, 3)
    return (weight @ v).transpose(1, 2).reshape(n, fields, width)


class Excitation(nn.Module):
    """A weight for each field, from the means of all: [n, F, d] -> [n, F, d] (SENet; Hu et al., CVPR 2018).

    reduction: the weights come from max(1, F // reduction) hidden units.
    """

    def __init__(self, fields: int, reduction: int) -> None:
        super().__init__()
        hidden = max(fields // reduction, 1)
        self.squeeze = nn.Linear(fields, hidden)
        self.excite = nn.Linear(hidden, fields)

    def forward(self, fields: Tensor) -> Tensor:
        weight = torch.sigmoid(self.excite(F.relu(self.squeeze(fields.mean(2)))))
        return fields * weight[:, :, None]


class Bilinear(nn.Module):
    """(W v_f) * v_g of all pairs f < g of F fields: [n, F, d] -> [n, F (F - 1) / 2, d] (Huang et al., RecSys 2019).

    kind: one W for "all", one for "each" field f, or one for each "interaction" of f and g.
    """

    def __init__(self, fields: int, dim: int, kind: Literal["all", "each", "interaction"]) -> None:
        super().__init__()
        self.kind = kind
        groups = {"all": 1, "each": fields - 1, "interaction": fields * (fields - 1) // 2}[kind]
        self.weight = nn.Linear(dim, dim, bias=False) if kind == "all" else GroupedLinear(groups, dim, dim, bias=False)
        first, second = torch.triu_indices(fields, fields, 1).tolist()
        self.first, self.second = list(first), list(second)

    def forward(self, fields: Tensor) -> Tensor:
        if self.kind == "interaction":
            return self.weight(fields[:, self.first]) * fields[:, self.second]  # type: ignore[no-any-return]
        return pairs(self.weight(fields[:, :-1]), fields)


class Cross(nn.Module):
    """x0 * (W x + b) + x (Wang et al., "DCN V2", WWW 2021). rank: of W; 0: full.

    With a rank, W x is the sum over `experts` of U g(C g(V x)) under gates of x, g being tanh (their equation 6).
    """

    def __init__(self, width: int, rank: int, experts: int) -> None:
        super().__init__()
        self.experts = experts
        self.full = nn.Linear(width, width) if rank == 0 else None
        if rank:
            self.down = nn.Linear(width, experts * rank, bias=False)
            self.middle = GroupedLinear(experts, rank, rank, bias=False)
            self.up = nn.Linear(experts * rank, width)
            self.gate = nn.Linear(width, experts)

    def forward(self, start: Tensor, x: Tensor) -> Tensor:
        if self.full is not None:
            return start * self.full(x) + x  # type: ignore[no-any-return]
        low = torch.tanh(self.middle(torch.tanh(self.down(x)).unflatten(1, (self.experts, -1))))
        gates = torch.softmax(self.gate(x), 1)
        return start * self.up((low * gates[:, :, None]).flatten(1)) + x  # type: ignore[no-any-return]
