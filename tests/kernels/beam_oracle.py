"""An independent judge of beam search: every path enumerated in NumPy float64, one layer at a time."""

import itertools

import numpy as np
import torch

from headrace.kernels.beam_search import PathModel


def random_model(depth, nodes, user_dim, embed_dim, hidden, seed=0, scale=1.0):
    make = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=make)

    widths = [user_dim + d * embed_dim for d in range(depth)]
    return PathModel(
        draw(depth - 1, nodes, embed_dim),
        [draw(hidden, width) / width**0.5 for width in widths],
        [draw(hidden) * 0.1 for _ in widths],
        [draw(nodes, hidden) * scale / hidden**0.5 for _ in widths],
        [draw(nodes) * 0.1 for _ in widths],
    )


def table_model(first, *later):
    """A model whose layer d has the logits later[d-1][c_{d-1}], whatever the user: embeddings are one-hot."""
    nodes = len(first)
    depth = 1 + len(later)
    one_hot = torch.eye(nodes)
    hidden_weight = [torch.zeros(nodes, 1)]
    output_weight = [torch.zeros(nodes, nodes)]
    for d, logits in enumerate(later, start=1):
        weight = torch.zeros(nodes, 1 + d * nodes)
        weight[:, 1 + (d - 1) * nodes :] = torch.eye(nodes)
        hidden_weight.append(weight)
        output_weight.append(torch.as_tensor(logits, dtype=torch.float32).T.contiguous())
    zeros = [torch.zeros(nodes) for _ in range(depth)]
    biases = [torch.as_tensor(first, dtype=torch.float32), *zeros[1:]]
    return PathModel(one_hot.expand(depth - 1, -1, -1).contiguous(), hidden_weight, zeros, output_weight, biases)


def step_logp(model, user, path):
    """log p(c | user, path) for all nodes c, float64 [K]."""
    embeddings, hidden_bias, output_weight, output_bias, *hidden_weight = (w.double().numpy() for w in model.weights)
    d = len(path)
    x = np.concatenate([user.double().numpy(), *(embeddings[layer, c] for layer, c in enumerate(path))])
    logits = output_weight[d] @ np.maximum(hidden_weight[d] @ x + hidden_bias[d], 0) + output_bias[d]
    top = logits.max()
    return logits - (top + np.log(np.exp(logits - top).sum()))


def brute_beam(model, user, beam):
    """One request: paths and float64 log-probabilities, best first, ties to the lower path."""
    kept = [((), 0.0)]
    for _ in range(model.depth):
        grown = []
        for path, logp in kept:
            steps = step_logp(model, user, path)
            grown += [((*path, c), logp + steps[c]) for c in range(model.nodes)]
        kept = sorted(grown, key=lambda entry: (-entry[1], entry[0]))[:beam]
    return [path for path, _ in kept], np.array([logp for _, logp in kept])


def all_paths(model, user):
    """Every path of one request with its float64 log-probability, best first."""
    found = []
    for path in itertools.product(range(model.nodes), repeat=model.depth):
        found.append((path, sum(step_logp(model, user, path[:d])[c] for d, c in enumerate(path))))
    return sorted(found, key=lambda entry: (-entry[1], entry[0]))
