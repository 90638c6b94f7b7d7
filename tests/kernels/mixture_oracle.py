"""Random mixture-of-experts networks, their calls, and the answer by brute force."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from network_oracle import U, Value, float32, join

from headrace.kernels.mixture_of_experts import MixtureModel, MixtureSizes

SIZES = MixtureSizes(targets=3, experts=2, hidden=9, units=5, head_units=4, dim=3, attention=True)


@dataclass
class First:
    """Outputs of the first layer by column: gates, linear path, experts; and embeddings for item rows."""

    gates: np.ndarray
    wide: np.ndarray
    hidden: np.ndarray
    embedding: np.ndarray | None = None

    @classmethod
    def draw(cls, rng, rows, s, embedding=False, scale=1.0):
        widths = s.targets * s.experts, s.targets, s.experts * s.hidden
        parts = [float32(rng, rows, width, scale=scale) for width in widths]
        return cls(*parts, float32(rng, rows, s.dim) if embedding else None)

    def packed(self, s):
        parts = (self.gates, self.wide, self.hidden, self.embedding)
        return s.row(*(None if part is None else torch.from_numpy(part) for part in parts))

    def joined(self):
        return np.concatenate([self.gates, self.wide, self.hidden], 1)


@dataclass
class Network:
    sizes: MixtureSizes
    request: First
    items: First
    codes: First
    candidate: First
    layers: list[np.ndarray]
    model: MixtureModel


def network(s=SIZES, request=6, items=50, codes=7, dynamic=4, seed=0):
    rng = np.random.default_rng(seed)
    inputs = s.dim * (1 + s.attention) + dynamic
    first = [
        First.draw(rng, request, s, scale=max(request, 1) ** -0.5),
        First.draw(rng, items, s, embedding=True),
        First.draw(rng, codes, s),
        First.draw(rng, inputs, s, scale=inputs**-0.5),
    ]
    layers = [
        float32(rng, s.experts, s.hidden, s.units, scale=s.hidden**-0.5),
        float32(rng, s.experts, s.units),
        float32(rng, s.targets, s.units, s.head_units, scale=s.units**-0.5),
        float32(rng, s.targets, s.head_units),
        float32(rng, s.targets, s.head_units),
        float32(rng, s.targets),
    ]
    model = MixtureModel(s, *(part.packed(s) for part in first), *map(torch.from_numpy, layers))
    return Network(s, *first, layers, model)


def call(net, counts, longest=5, fields=1, seed=1):
    """Keyword arguments of a call: request b has counts[b] candidates and b % (longest + 1) behaviours."""
    rng = np.random.default_rng(seed)
    s, batch, n = net.sizes, len(counts), sum(counts)
    arrays = {
        "request": float32(rng, batch, len(net.request.gates)),
        "taste": float32(rng, batch, s.dim),
        "behaviours": float32(rng, batch, longest, s.dim),
        "counts": (np.arange(batch) % (longest + 1)).astype(np.int32),
        "offsets": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        "item": rng.integers(0, len(net.items.gates), n),
        "codes": rng.integers(0, len(net.codes.gates), (n, fields)).astype(np.int32),
        "dynamic": float32(rng, n, net.model.dynamic_width),
    }
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def brute(net, arguments):
    """[T, n] float64 logits and their bounds."""
    a = {name: tensor.numpy() for name, tensor in arguments.items()}
    columns = [_candidate(net, a, int(b), c) for b in range(len(a["request"])) for c in _own(a["offsets"], b)]
    empty = np.zeros((net.sizes.targets, 0))
    if not columns:
        return Value(empty)
    return Value(np.stack([v.value for v in columns], 1), np.stack([v.error for v in columns], 1))


def _own(offsets, b):
    return range(offsets[b], offsets[b + 1])


def _candidate(net, a, b, c):
    s = net.sizes
    expert_weight, expert_bias, head_weight, head_bias, out_weight, out_bias = net.layers
    query = Value(net.items.embedding[a["item"][c]])
    inputs = [Value(a["taste"][b]).times(query)]
    if s.attention:
        own = a["behaviours"][b, : a["counts"][b]]
        keys = own.astype(np.float64).T * s.dim**-0.5
        if len(own):
            # The keys are rounded once more when they are scaled.
            logits = query.through(keys)
            logits.error = logits.error + 2 * U * (np.abs(query.value) @ np.abs(keys))
            inputs.append(logits.softmax().through(own))
        else:
            inputs.append(Value(np.zeros(s.dim)))
    inputs.append(Value(a["dynamic"][c]))
    first = Value(a["request"][b]).through(net.request.joined())
    first = first.plus(Value(net.items.joined()[a["item"][c]]))
    for code in a["codes"][c]:
        first = first.plus(Value(net.codes.joined()[code]))
    first = join(*inputs).through(net.candidate.joined(), first)
    split = s.targets * s.experts
    gates, wide, hidden = first[:split], first[split : split + s.targets], first[split + s.targets :].relu()
    vectors = [
        hidden[e * s.hidden : (e + 1) * s.hidden].through(expert_weight[e], Value(expert_bias[e])).relu()
        for e in range(s.experts)
    ]
    logits = []
    for t in range(s.targets):
        weight = gates[t * s.experts : (t + 1) * s.experts].softmax()
        mixed = weight[0:1].times(vectors[0])
        for e in range(1, s.experts):
            mixed = mixed.plus(weight[e : e + 1].times(vectors[e]))
        head = mixed.through(head_weight[t], Value(head_bias[t])).relu()
        out = head.through(out_weight[t][:, None], Value(out_bias[t : t + 1]))
        logits.append(out.plus(wide[t : t + 1]))
    return join(*logits)
