"""The ranking network: shared features, a mixture of experts, one head for each target (MMoE, Ma et al., KDD 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headrace.features import FeatureSpec, Inputs, RequestInputs
from headrace.jagged import segment_of
from headrace.ranking.layers import FieldEmbedding, GroupedLinear, SplitLinear, attend, gate_dropout, mean_of_sequence
from headrace.ranking.settings import RankerSettings


@dataclass(frozen=True)
class RequestSide:
    """What the network makes of B requests before it sees a candidate.

    inputs: float32 [B, r], the request side of the first layer. taste: float32 [B, dim], which each candidate's
    embedding is multiplied with. sequence: float32 [B, N, dim], embeddings of the behaviour. present: bool [B, N].
    """

    inputs: Tensor
    taste: Tensor
    sequence: Tensor
    present: Tensor


class RankingNetwork(nn.Module):
    """Inputs of n candidates -> float32 [n, T] logits, one column for each target.

    The play-time head's output z means exp(z) seconds. A linear path from the statistics to the logits lies beside the
    mixture, which then learns what the rates alone do not say.
    """

    def __init__(self, spec: FeatureSpec, targets: int, settings: RankerSettings) -> None:
        super().__init__()
        self.targets = targets
        self.units = settings.expert_units[0]
        self.experts = settings.experts
        self.dropout = settings.expert_dropout
        self.attention = settings.attention
        dim, (first, second) = settings.embedding_dim, settings.expert_units
        self.user_fields = FieldEmbedding(spec.user, dim)
        self.item_fields = FieldEmbedding(spec.item, dim)
        self.cross_fields = FieldEmbedding(spec.cross, dim)
        self.content = nn.Linear(spec.content_width, dim, bias=False) if spec.content_width else None
        request = len(spec.user) * dim + dim + spec.request_width
        candidate = (len(spec.item) + len(spec.cross)) * dim + spec.cross_width
        candidate += dim * (self.content is not None) + dim * self.attention + dim
        self.first = SplitLinear(request, candidate, settings.experts * first + targets * settings.experts)
        self.second = GroupedLinear(settings.experts, first, second)
        self.head_in = GroupedLinear(targets, second, settings.head_units)
        self.head_out = GroupedLinear(targets, settings.head_units, 1)
        self.wide = SplitLinear(spec.request_width, spec.cross_width, targets)

    def forward(self, inputs: Inputs) -> Tensor:
        owner = None if inputs.offsets is None else segment_of(inputs.offsets)
        request, candidate = self._sides(inputs, owner)
        split = self.targets * self.experts
        joint = self.first(request, candidate, owner)
        gates, hidden = joint[:, :split], joint[:, split:]
        hidden = F.relu(hidden).reshape(-1, self.experts, self.units).transpose(0, 1)
        vectors = F.relu(self.second(hidden))
        weights = torch.softmax(gates.reshape(-1, self.targets, self.experts), -1)
        if self.training and self.dropout:
            weights = gate_dropout(weights, self.dropout)
        mixed = torch.einsum("nte,enh->tnh", weights, vectors)
        logits = self.head_out(F.relu(self.head_in(mixed)))[:, :, 0].T
        return logits + self.wide(inputs.request.statistics, inputs.cross.statistics, owner)  # type: ignore[no-any-return]

    def set_prior(self, logits: Tensor) -> None:
        """Starts every target at its overall rate, float32 [T] log-odds."""
        with torch.no_grad():
            self.wide.candidate.bias.copy_(logits)

    def request_side(self, inputs: RequestInputs) -> RequestSide:
        user = self.user_fields(inputs.codes)
        present = inputs.behaviour > 0
        sequence = self.item_fields.one(inputs.behaviour, 0)
        recent = mean_of_sequence(sequence, present)
        joined = torch.cat([user.flatten(1), recent, inputs.statistics], 1)
        return RequestSide(joined, user[:, 0] + recent, sequence, present)

    def _sides(self, inputs: Inputs, owner: Tensor | None) -> tuple[Tensor, Tensor]:
        """The request side [B, r] and the candidate side [n, c], each a concatenation."""
        request = self.request_side(inputs.request)
        item = self.item_fields(inputs.item.codes)
        parts = [item.flatten(1), self.cross_fields(inputs.cross.codes).flatten(1), inputs.cross.statistics]
        if self.content is not None:
            parts.append(self.content(inputs.item.content))
        if self.attention:
            parts.append(attend(request.sequence, request.present, item[:, 0], inputs.offsets))
        parts.append((request.taste if owner is None else request.taste.index_select(0, owner)) * item[:, 0])
        return request.inputs, torch.cat(parts, 1)
