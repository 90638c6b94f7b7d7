"""The pre-ranking network in torch: the module as it is trained, and written over the rows that our kernel gathers."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.benchmarks.networks import Asked
from headrace.features import RequestInputs
from headrace.kernels import TowersModel
from headrace.ranking.towers import ThreeTowers


class GivenRequests(ThreeTowers):
    """The module, item tower and all; what the request tower reads is given to it as `side`, float32 [B, r]."""

    side: Tensor

    def request_side(self, inputs: RequestInputs) -> Tensor:
        return self.side


def rows(model: TowersModel, asked: Asked) -> Tensor:
    """float32 [T, n]: an item's vector and its part of the cross tower are a row that is gathered and added."""
    dim, targets = model.sizes.dim, model.sizes.targets
    owner = torch.repeat_interleave(asked.offsets.diff())
    hidden = torch.addmm(model.tower_bias, asked.request, model.tower_weight).relu_()
    user = torch.addmm(model.vector_bias, hidden, model.vector_weight)
    start = torch.addmm(model.upper_bias, user, model.user_weight)
    sums = model.item_rows.index_select(0, asked.item)
    sums.addmm_(asked.dynamic, model.dynamic_weight)
    sums.add_(model.code_rows.index_select(0, asked.ages[:, 0]))
    sums.add_((asked.request @ model.request_weight).index_select(0, owner))
    vector, cross = sums[:, :dim], sums[:, dim : 2 * dim].relu_()
    joined = torch.cat([vector, cross, vector * user.index_select(0, owner)], 1)
    upper = start.index_select(0, owner).addmm_(joined, model.upper_weight).relu_()
    return torch.addmm(sums[:, 2 * dim : 2 * dim + targets], upper, model.last_weight).T
