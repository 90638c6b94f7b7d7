"""Beam search in torch eager: the whole batch layer by layer, in float32."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from headrace.models.blocks.path_network import PathNetwork


def layers(network: PathNetwork) -> list[tuple[nn.Linear, nn.Linear]]:
    """The hidden and the output layer of each depth."""
    pairs = zip(network.hidden, network.output, strict=True)
    return [(one, two) for one, two in pairs if isinstance(one, nn.Linear) and isinstance(two, nn.Linear)]


@torch.inference_mode()
def concatenated(user: Tensor, network: PathNetwork, beam: int) -> Tensor:
    """int64 [B, beam, depth]. As the model is written: each path's input is put together, then the layers."""
    batch = len(user)
    paths = torch.zeros(batch, 1, 0, dtype=torch.int64)
    total = torch.zeros(batch, 1)
    for d, (hidden, output) in enumerate(layers(network)):
        known = [network.embeddings[layer][paths[:, :, layer]] for layer in range(d)]
        x = torch.cat([user[:, None].expand(-1, paths.shape[1], -1), *known], dim=-1)
        paths, total = _extend(paths, total, output(hidden(x).relu_()), beam)
    return paths


class Tables:
    """What tuning gives: the first linear layer split into the user's part and one table of outputs for each node."""

    def __init__(self, network: PathNetwork) -> None:
        self.layers = []
        width = network.embeddings.shape[2]
        for d, (hidden, output) in enumerate(layers(network)):
            user, *columns = hidden.weight.detach().split([network.user_dim, *[width] * d], dim=1)
            tables = [network.embeddings[layer].detach() @ w.T for layer, w in enumerate(columns)]
            self.layers.append((user.contiguous(), hidden.bias.detach(), tables, output))

    @torch.inference_mode()
    def __call__(self, user: Tensor, beam: int) -> Tensor:
        """int64 [B, beam, depth]."""
        paths = torch.zeros(len(user), 1, 0, dtype=torch.int64)
        total = torch.zeros(len(user), 1)
        for weight, bias, tables, output in self.layers:
            x = linear(user, weight, bias)[:, None].expand(-1, paths.shape[1], -1)
            for layer, table in enumerate(tables):
                x = x + table[paths[:, :, layer]]
            paths, total = _extend(paths, total, output(x.relu()), beam)
        return paths


def _extend(paths: Tensor, total: Tensor, logits: Tensor, beam: int) -> tuple[Tensor, Tensor]:
    """The best `beam` of every path with every next node: paths [B, n, d + 1], log-probabilities [B, n]."""
    nodes = logits.shape[-1]
    scores = logits.log_softmax(-1).add_(total[:, :, None]).flatten(1)
    total, best = scores.topk(min(beam, scores.shape[1]), dim=1)
    parent = (best // nodes)[:, :, None].expand(-1, -1, paths.shape[2])
    return torch.cat([paths.gather(1, parent), (best % nodes)[:, :, None]], dim=-1), total
