"""The definition of beam search in float64: every layer on the concatenation of user and embeddings."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear, pad


def beam_search(
    user: Tensor, weights: list[Tensor], packed: list[Tensor], beam: int, threads: int
) -> tuple[Tensor, Tensor]:
    if not bool(user.isfinite().all()):
        row = int((~user.isfinite()).any(1).nonzero()[0])
        raise ValueError(f"user: expected finite numbers, got NaN or infinity in request {row}")
    embeddings, hidden_bias, output_weight, output_bias, *hidden_weight = (w.double() for w in weights)
    depth, nodes = output_bias.shape
    batch = user.shape[0]
    paths = user.new_zeros((batch, 1, 0), dtype=torch.int64)
    logp = user.new_zeros((batch, 1), dtype=torch.float64)
    for d in range(depth):
        known = [embeddings[layer][paths[:, :, layer]] for layer in range(d)]
        x = torch.cat([user.double()[:, None].expand(-1, paths.shape[1], -1), *known], dim=-1)
        hidden = linear(x, hidden_weight[d], hidden_bias[d]).relu()
        scores = logp[:, :, None] + linear(hidden, output_weight[d], output_bias[d]).log_softmax(-1)
        # Parents stand in order of their paths, so a stable sort leaves the lower path first among equals.
        best = scores.flatten(1).argsort(dim=1, descending=True, stable=True)[:, :beam]
        best = best.sort(dim=1).values
        logp = scores.flatten(1).gather(1, best)
        parent = (best // nodes)[:, :, None].expand(-1, -1, d)
        paths = torch.cat([paths.gather(1, parent), (best % nodes)[:, :, None]], dim=-1)
    order = logp.argsort(dim=1, descending=True, stable=True)
    paths = paths.gather(1, order[:, :, None].expand(-1, -1, depth))
    short = beam - paths.shape[1]
    return (
        pad(paths.to(torch.int32), (0, 0, 0, short), value=-1),
        pad(logp.gather(1, order).float(), (0, short), value=-torch.inf),
    )
