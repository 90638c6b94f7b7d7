"""Random three-tower networks, their calls, and the answer by brute force."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from network_oracle import Value, float32, join

from headrace.kernels.three_towers import TowersModel, TowersSizes

SIZES = TowersSizes(targets=3, dim=5, tower_units=7, upper_units=6)


@dataclass
class Sums:
    """Rows of inputs of the cross tower's ReLU and of the linear path; and vectors for item rows."""

    cross: np.ndarray
    wide: np.ndarray
    vector: np.ndarray | None = None

    @classmethod
    def draw(cls, rng, rows, s, vector=False, scale=1.0):
        parts = [float32(rng, rows, width, scale=scale) for width in (s.dim, s.targets)]
        return cls(*parts, float32(rng, rows, s.dim) if vector else None)

    def packed(self, s):
        parts = (self.cross, self.wide, self.vector)
        return s.row(*(None if part is None else torch.from_numpy(part) for part in parts))


@dataclass
class Network:
    sizes: TowersSizes
    request: Sums
    items: Sums
    codes: Sums
    dynamic: Sums
    tower: list[np.ndarray]
    user_weight: np.ndarray
    upper_bias: np.ndarray
    upper: np.ndarray
    last: np.ndarray
    model: TowersModel


def network(s=SIZES, request=6, items=50, codes=7, dynamic=4, seed=0):
    rng = np.random.default_rng(seed)
    sums = [
        Sums.draw(rng, request, s, scale=max(request, 1) ** -0.5),
        Sums.draw(rng, items, s, vector=True),
        Sums.draw(rng, codes, s),
        Sums.draw(rng, dynamic, s, scale=max(dynamic, 1) ** -0.5),
    ]
    sums[0].cross[:] = 0
    tower = [
        float32(rng, request, s.tower_units, scale=max(request, 1) ** -0.5),
        float32(rng, s.tower_units),
        float32(rng, s.tower_units, s.dim, scale=s.tower_units**-0.5),
        float32(rng, s.dim),
    ]
    user_weight, upper_bias = float32(rng, s.dim, s.upper_units), float32(rng, s.upper_units)
    upper = float32(rng, 3 * s.dim, s.upper_units, scale=(3 * s.dim) ** -0.5)
    last = float32(rng, s.upper_units, s.targets, scale=s.upper_units**-0.5)
    given = (*tower, user_weight, upper_bias)
    tensors = [torch.from_numpy(weight) for weight in given] + [part.packed(s) for part in sums]
    model = TowersModel(s, *tensors, torch.from_numpy(upper), torch.from_numpy(last))
    return Network(s, *sums, tower, user_weight, upper_bias, upper, last, model)


def call(net, counts, fields=1, seed=1):
    """Keyword arguments of a call: request b has counts[b] candidates."""
    rng = np.random.default_rng(seed)
    batch, n = len(counts), sum(counts)
    arrays = {
        "request": float32(rng, batch, len(net.request.cross)),
        "offsets": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        "item": rng.integers(0, len(net.items.cross), n),
        "codes": rng.integers(0, len(net.codes.cross), (n, fields)).astype(np.int32),
        "dynamic": float32(rng, n, len(net.dynamic.cross)),
    }
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def brute(net, arguments):
    """[T, n] float64 logits and their bounds."""
    a = {name: tensor.numpy() for name, tensor in arguments.items()}
    columns = []
    for b in range(len(a["request"])):
        request = Value(a["request"][b])
        user = request.through(net.tower[0], Value(net.tower[1])).relu()
        user = user.through(net.tower[2], Value(net.tower[3]))
        start = user.through(net.user_weight, Value(net.upper_bias))
        wide = request.through(net.request.wide)
        columns += [_candidate(net, a, user, start, wide, c) for c in range(a["offsets"][b], a["offsets"][b + 1])]
    if not columns:
        return Value(np.zeros((net.sizes.targets, 0)))
    return Value(np.stack([v.value for v in columns], 1), np.stack([v.error for v in columns], 1))


def _candidate(net, a, user, start, wide, c):
    item = a["item"][c]
    cross, wide = Value(net.items.cross[item]), wide.plus(Value(net.items.wide[item]))
    for code in a["codes"][c]:
        cross, wide = cross.plus(Value(net.codes.cross[code])), wide.plus(Value(net.codes.wide[code]))
    dynamic = Value(a["dynamic"][c])
    cross, wide = dynamic.through(net.dynamic.cross, cross).relu(), dynamic.through(net.dynamic.wide, wide)
    vector = Value(net.items.vector[item])
    # Whether the user multiplies the item or the weights, a product of three numbers is rounded twice at most.
    joined = join(vector, cross, vector.times(user))
    extra = 3 * 2.0**-24 * (np.abs(joined.value) + joined.error) @ np.abs(net.upper.astype(np.float64))
    hidden = joined.through(net.upper, start)
    hidden.error = hidden.error + extra
    return hidden.relu().through(net.last, wide)
