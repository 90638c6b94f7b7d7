"""The trainable network behind beam search."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from headrace.kernels.checks import check_at_least, check_tensor


class PathNetwork(nn.Module):
    """p(path | user) = prod_d p(c_d | user, c_1 ... c_{d-1}): for each d one hidden layer and a softmax over the nodes.

    embeddings: parameter [depth-1, nodes, embed_dim]. hidden: `depth` linear layers from user_dim + d * embed_dim to
    `hidden`. output: `depth` linear layers from `hidden` to `nodes`. `PathModel.from_module` packs it for beam search.
    Source: Gao et al., "Learning an End-to-End Structure for Retrieval in Large-Scale Recommendations", CIKM 2021.
    """

    def __init__(self, user_dim: int, nodes: int, depth: int, embed_dim: int, hidden: int) -> None:
        super().__init__()
        sizes = {"user_dim": user_dim, "nodes": nodes, "depth": depth, "embed_dim": embed_dim, "hidden": hidden}
        for name, size in sizes.items():
            check_at_least(name, size, 1)
        self.user_dim, self.nodes, self.depth = user_dim, nodes, depth
        self.embeddings = nn.Parameter(
            torch.empty(depth - 1, nodes, embed_dim, dtype=torch.float32).normal_(std=embed_dim**-0.5)
        )
        self.hidden = nn.ModuleList(nn.Linear(user_dim + d * embed_dim, hidden) for d in range(depth))
        self.output = nn.ModuleList(nn.Linear(hidden, nodes) for _ in range(depth))

    def log_prob(self, user: Tensor, paths: Tensor) -> Tensor:
        """log p(path | user), differentiable.

        user: float [B, user_dim], of the dtype of the weights. paths: int32 or int64 [B, D], or [B, J, D] for J paths
        of each user, nodes from 0. Returns float [B] or [B, J]. -log sum_j p(path_j | user), the loss of an item with J
        paths, is `-log_prob(user, paths).logsumexp(-1)`. Raises TypeError or ValueError for wrong dtypes or shapes, or
        a node outside 0 to nodes-1.
        """
        check_tensor("user", user, dtype=(torch.float32, torch.float64), ndim=2)
        check_tensor("paths", paths, dtype=(torch.int32, torch.int64), ndim=3 if paths.ndim == 3 else 2)
        if user.shape[1] != self.user_dim:
            raise ValueError(f"user: expected {self.user_dim} columns, got {user.shape[1]}")
        if paths.shape[0] != user.shape[0] or paths.shape[-1] != self.depth:
            raise ValueError(f"paths: expected [{user.shape[0]}, ..., {self.depth}], got {list(paths.shape)}")
        if bool(((paths < 0) | (paths >= self.nodes)).any()):
            raise ValueError(
                f"paths: expected nodes from 0 to {self.nodes - 1}, got {int(paths.min())} to {int(paths.max())}"
            )
        known = user if paths.ndim == 2 else user[:, None].expand(-1, paths.shape[1], -1)
        total = user.new_zeros(paths.shape[:-1])
        for d, (hidden, output) in enumerate(zip(self.hidden, self.output, strict=True)):
            node = paths[..., d].long()
            logp = output(hidden(known).relu()).log_softmax(-1)
            total = total + logp.gather(-1, node[..., None])[..., 0]
            if d + 1 < self.depth:
                known = torch.cat([known, nn.functional.embedding(node, self.embeddings[d])], dim=-1)
        return total
