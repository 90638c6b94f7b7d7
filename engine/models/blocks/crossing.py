"""Products of fields with one another."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.models.blocks.leaf import leaf


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
