"""What beam search over paths must do."""

from __future__ import annotations

from torch import Tensor

from headrace.kernels.work import Counted, Work


def work(batch: int, user_dim: int, depth: int, nodes: int, hidden: int, beam: int) -> Work:
    """Layers of float64: the user's part once a request, one table row for each node of a path, the output layer.

    Weights are read once, table rows once a gather. Softmax and selection are left out.
    """
    paths = [min(beam, nodes**d) for d in range(depth)]
    gathered = batch * sum(d * n for d, n in enumerate(paths))
    outputs = batch * sum(paths)
    flops = 2.0 * batch * depth * user_dim * hidden + gathered * hidden + 2.0 * outputs * hidden * nodes
    weights = depth * (user_dim * hidden + hidden + nodes * hidden + nodes)
    rows = 8.0 * gathered * hidden
    streamed = 8.0 * weights + 4.0 * batch * user_dim + batch * beam * (4.0 * depth + 4)
    return Work(flops, rows + streamed, "float64", random=rows > streamed)


def beam_search(user: Tensor, weights: list[Tensor], packed: list[Tensor], beam: int, threads: int) -> Counted:
    """A call, counted: requests in, paths out."""
    (batch, user_dim), nodes, (depth, hidden) = user.shape, weights[0].shape[1], weights[1].shape
    paths = batch * min(beam, nodes**depth)
    return Counted(batch, paths, work(batch, user_dim, depth, nodes, hidden, beam))
