"""The building blocks of the ranking models."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from headrace.features import Field


class FieldEmbedding(nn.Module):
    """The embeddings of several discrete fields in one table: codes int [..., F] -> float32 [..., F, dim]."""

    def __init__(self, fields: Sequence[Field], dim: int) -> None:
        super().__init__()
        self.fields = tuple(fields)
        starts = torch.tensor([0, *(field.size for field in fields)]).cumsum(0)
        self.table = nn.Embedding(int(starts[-1]), dim, sparse=True)
        nn.init.normal_(self.table.weight, std=0.02)
        self.register_buffer("starts", starts[:-1].int(), persistent=False)
        self.starts: Tensor

    def forward(self, codes: Tensor) -> Tensor:
        return self.table(self.rows(codes))  # type: ignore[no-any-return]

    def rows(self, codes: Tensor) -> Tensor:
        """Codes int [..., F] as rows of the table."""
        return codes + self.starts

    def one(self, codes: Tensor, field: int) -> Tensor:
        """Codes of a single field, int [...] -> float32 [..., dim]."""
        return self.table(codes + self.starts[field])  # type: ignore[no-any-return]


class SplitLinear(nn.Module):
    """A linear layer over the concatenation of a request side and a candidate side, the request side computed once."""

    def __init__(self, request_width: int, candidate_width: int, out: int) -> None:
        super().__init__()
        joint = nn.Linear(request_width + candidate_width, out)
        self.request = nn.Linear(request_width, out, bias=False)
        self.candidate = nn.Linear(candidate_width, out)
        self.request.weight.data = joint.weight.data[:, :request_width].contiguous()
        self.candidate.weight.data = joint.weight.data[:, request_width:].contiguous()

    def forward(self, request: Tensor, candidate: Tensor, owner: Tensor | None) -> Tensor:
        """request [B, r], candidate [n, c], owner int64 [n] (None: B = n, in step) -> [n, out]."""
        base = self.request(request)
        return self.candidate(candidate) + (base if owner is None else base.index_select(0, owner))  # type: ignore[no-any-return]


class GroupedLinear(nn.Module):
    """G linear layers side by side: [G, n, width] -> [G, n, out]."""

    def __init__(self, groups: int, width: int, out: int) -> None:
        super().__init__()
        bound = width**-0.5
        self.weight = nn.Parameter(torch.empty(groups, width, out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(groups, 1, out))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


def gate_dropout(gates: Tensor, probability: float) -> Tensor:
    """Masks each gate weight ([..., E], summing to 1) with `probability`, then scales the rest to sum to 1.

    Where all would be masked none is. It keeps gates from leaning on one expert (Zhao et al., RecSys 2019).
    """
    kept = torch.rand_like(gates) >= probability
    kept = kept | ~kept.any(-1, keepdim=True)
    masked = gates * kept
    return masked / masked.sum(-1, keepdim=True).clamp_min(1e-9)


def mean_of_sequence(sequence: Tensor, present: Tensor) -> Tensor:
    """The mean of the present vectors: [B, N, d] and bool [B, N] -> [B, d]; zero where there are none."""
    weight = present.to(sequence.dtype)
    total = torch.bmm(weight[:, None], sequence)[:, 0]
    return total / weight.sum(1, keepdim=True).clamp_min(1)


def attend(sequence: Tensor, present: Tensor, query: Tensor, offsets: Tensor | None) -> Tensor:
    """Target attention (DIN): each candidate's softmax-weighted mean of its request's sequence, by dot over sqrt d.

    sequence [B, N, d], present bool [B, N], query [n, d], offsets int64 [B + 1] (None: n = B) -> [n, d]; zero where the
    sequence is empty. Candidates are padded to the longest list, so that a request's sequence is never copied.
    """
    batch, _, dim = sequence.shape
    if offsets is None:
        asked, place = query[:, None], None
    else:
        counts = offsets.diff()
        longest = int(counts.max()) if batch else 0
        place = torch.arange(longest) < counts[:, None]
        asked = query.new_zeros(batch, longest, dim)
        asked[place] = query
    logits = torch.bmm(asked, sequence.transpose(1, 2)) * dim**-0.5
    logits = logits.masked_fill(~present[:, None], -1e9)
    weight = torch.softmax(logits, -1) * present[:, None]
    pooled = torch.bmm(weight, sequence)
    return pooled[:, 0] if place is None else pooled[place]
