"""The ranking network in torch: the module as it is trained, and written over the rows that our kernel gathers."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.benchmarks.networks import DIM, Asked
from headrace.features import RequestInputs
from headrace.kernels import MixtureModel
from headrace.ranking.layers import attend
from headrace.ranking.multitarget import RankingNetwork, RequestSide


class GivenRequests(RankingNetwork):
    """The module, with the concatenation of all inputs of a candidate in front of one layer; `side` is given to it."""

    side: RequestSide

    def request_side(self, inputs: RequestInputs) -> RequestSide:
        return self.side


def rows(model: MixtureModel, side: RequestSide, asked: Asked) -> Tensor:
    """float32 [T, n]: what depends on the request, the item or the age alone is a row that is gathered and added."""
    s = model.sizes
    gates_end, wide_end = s.targets * s.experts, s.targets * s.experts + s.targets
    owner = torch.repeat_interleave(asked.offsets.diff())
    first = model.item_rows.index_select(0, asked.item)
    embedding = first[:, wide_end : wide_end + DIM].clone()
    taste = side.taste.index_select(0, owner).mul_(embedding)
    attended = attend(side.sequence, side.present, embedding, asked.offsets)
    first.addmm_(torch.cat([taste, attended, asked.dynamic], 1), model.candidate_weight)
    first.add_((side.inputs @ model.request_weight).index_select(0, owner))
    first.add_(model.code_rows.index_select(0, asked.ages[:, 0]))
    gates = first[:, :gates_end].view(-1, s.targets, s.experts).softmax(2)
    hidden = first[:, s.small : s.small + s.experts * s.hidden].relu().view(-1, s.experts, s.hidden)
    vectors = torch.baddbmm(model.expert_bias[:, None], hidden.transpose(0, 1), model.expert_weight).relu_()
    mixed = torch.bmm(gates, vectors.transpose(0, 1)).transpose(0, 1)
    head = torch.baddbmm(model.head_bias[:, None], mixed, model.head_weight).relu_()
    logits = torch.baddbmm(model.out_bias[:, None, None], head, model.out_weight[:, :, None])[:, :, 0]
    return logits.add_(first[:, gates_end:wide_end].T)
