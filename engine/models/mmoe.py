"""Multi-gate mixture of experts: shared experts, and a gate and a head for each target.

Source: Ma et al., "Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts", KDD 2018.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from headrace.features.columns import Columns
from headrace.models.base import Model, model
from headrace.models.blocks import Features, GroupedLinear, Read, attend, gate_dropout, mix
from headrace.section import Section


@model
class MMoE(Model):
    """Experts and gates over all features; beside the fields, what the candidate's item makes of the request: attention
    of the item over each sequence, and its product with the request's taste (the user's vector plus the sequences').

    A linear path from the statistics to the logits lies beside the mixture, which then learns what the rates alone do
    not say.
    """

    name = "mmoe"

    class Settings(Section):
        """MMoE: its experts, gates and heads."""

        embedding_dim: int = Field(default=8, ge=1, description="width of every discrete field's embedding")
        experts: int = Field(default=3, ge=1, description="experts that all targets share")
        expert_units: tuple[int, int] = Field(default=(64, 32), description="units of each expert's two layers")
        head_units: int = Field(default=16, ge=1, description="hidden units of each target's head")
        attention: bool = Field(default=True, description="target attention over the sequences, beside their mean")
        expert_dropout: float = Field(
            default=0.1, ge=0, lt=1, description="probability that training masks a gate's expert"
        )

    def __init__(self, columns: Columns, targets: int, settings: Settings) -> None:
        super().__init__(columns, targets, settings)
        self.shape = (targets, settings.experts)
        self.dropout, self.attention = settings.expert_dropout, settings.attention
        dim, (first, second) = settings.embedding_dim, settings.expert_units
        self.features = Features(columns, dim)
        lists, named = len(self.features.sequences), self.features.codes
        matched = lists * self.attention + ("item" in named and ("user" in named or lists > 0))
        self.first = nn.Linear(
            self.features.width() + matched * dim, settings.experts * first + targets * settings.experts
        )
        self.second = GroupedLinear(settings.experts, first, second)
        self.head_in = GroupedLinear(targets, second, settings.head_units)
        self.head_out = GroupedLinear(targets, settings.head_units, 1)
        rates = sum(self.features.widths.values())
        self.wide = nn.Linear(rates, targets) if rates else None
        if self.wide is not None:
            # What starts the logits is the prior.
            nn.init.zeros_(self.wide.bias)

    def forward(self, columns: dict[str, Tensor]) -> Tensor:
        read = self.features(columns)
        targets, experts = self.shape
        joint = self.first(torch.cat([*self._matched(read), read.joined()], 1))
        hidden = F.relu(joint[:, targets * experts :]).unflatten(1, (experts, -1))
        vectors = F.relu(self.second(hidden))
        gates = torch.softmax(joint[:, : targets * experts].unflatten(1, (targets, experts)), 2)
        if self.training and self.dropout:
            gates = gate_dropout(gates, self.dropout)
        logits = self.head_out(F.relu(self.head_in(mix(gates, vectors)))).flatten(1)
        return logits if self.wide is None else self.wide(read.all_statistics()) + logits  # type: ignore[no-any-return]

    def _matched(self, read: Read) -> list[Tensor]:
        """float32 [n, dim] each: what the item and the request make of each other."""
        if read.item is None:
            return []
        parts = []
        tastes = [*([] if read.user is None else [read.user]), *read.means]
        if tastes:
            parts.append(sum(tastes[1:], tastes[0]) * read.item)
        if self.attention:
            parts += [attend(sequence, present, read.item) for sequence, present in read.sequences]
        return parts
