"""The pre-ranking network: a tower for the request, one for the item, one for what crosses them (COLD, Wang et al.,
DLP-KDD 2020)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headrace.features import CrossInputs, FeatureSpec, Inputs, ItemInputs, RequestInputs
from headrace.jagged import segment_of
from headrace.ranking.layers import FieldEmbedding, SplitLinear, mean_of_sequence
from headrace.ranking.settings import PreRankerSettings


class ThreeTowers(nn.Module):
    """Inputs of n candidates -> float32 [n, T] logits.

    The request tower runs once for each request, the item tower is static and can be computed ahead for the whole
    catalogue, the cross tower and the upper network run for each candidate and are kept small.
    """

    def __init__(self, spec: FeatureSpec, targets: int, settings: PreRankerSettings) -> None:
        super().__init__()
        dim, width, units = settings.embedding_dim, settings.vector_dim, settings.tower_units
        self.user_fields = FieldEmbedding(spec.user, dim)
        self.item_fields = FieldEmbedding(spec.item, dim)
        self.cross_fields = FieldEmbedding(spec.cross, dim)
        request = (len(spec.user) + 1) * dim + spec.request_width
        item = len(spec.item) * dim + spec.content_width
        cross = len(spec.cross) * dim + spec.cross_width
        self.request_mlp = nn.Sequential(nn.Linear(request, units), nn.ReLU(), nn.Linear(units, width))
        self.item_mlp = nn.Sequential(nn.Linear(item, units), nn.ReLU(), nn.Linear(units, width))
        self.cross_mlp = nn.Sequential(nn.Linear(cross, width), nn.ReLU())
        self.first = SplitLinear(width, 3 * width, settings.upper_units)
        self.last = nn.Linear(settings.upper_units, targets)
        self.wide = SplitLinear(spec.request_width, spec.cross_width, targets)

    def set_prior(self, logits: Tensor) -> None:
        """Starts every target at its overall rate, float32 [T] log-odds."""
        with torch.no_grad():
            self.wide.candidate.bias.copy_(logits)

    def request_side(self, inputs: RequestInputs) -> Tensor:
        """float32 [B, r]: what the request tower reads, the statistics last."""
        sequence = self.item_fields.one(inputs.behaviour, 0)
        recent = mean_of_sequence(sequence, inputs.behaviour > 0)
        return torch.cat([self.user_fields(inputs.codes).flatten(1), recent, inputs.statistics], 1)

    def request_vector(self, inputs: RequestInputs) -> Tensor:
        """float32 [B, vector_dim]."""
        return self.request_mlp(self.request_side(inputs))  # type: ignore[no-any-return]

    def item_vector(self, inputs: ItemInputs) -> Tensor:
        """float32 [n, vector_dim]."""
        fields = self.item_fields(inputs.codes).flatten(1)
        joined = fields if inputs.content is None else torch.cat([fields, inputs.content], 1)
        return self.item_mlp(joined)  # type: ignore[no-any-return]

    def cross_vector(self, inputs: CrossInputs) -> Tensor:
        """float32 [n, vector_dim]."""
        return self.cross_mlp(torch.cat([self.cross_fields(inputs.codes).flatten(1), inputs.statistics], 1))  # type: ignore[no-any-return]

    def upper(
        self,
        user: Tensor,
        item: Tensor,
        cross: Tensor,
        request: RequestInputs,
        inputs: CrossInputs,
        owner: Tensor | None,
    ) -> Tensor:
        """float32 [n, T] from user [B, d], item and cross [n, d]; owner int64 [n] is the request of each candidate."""
        product = item * (user if owner is None else user.index_select(0, owner))
        hidden = F.relu(self.first(user, torch.cat([item, cross, product], 1), owner))
        return self.last(hidden) + self.wide(request.statistics, inputs.statistics, owner)  # type: ignore[no-any-return]

    def forward(self, inputs: Inputs) -> Tensor:
        owner = None if inputs.offsets is None else segment_of(inputs.offsets)
        return self.upper(
            self.request_vector(inputs.request),
            self.item_vector(inputs.item),
            self.cross_vector(inputs.cross),
            inputs.request,
            inputs.cross,
            owner,
        )
