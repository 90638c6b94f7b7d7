"""The definition of the three-tower pre-ranking network, in float64."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.checks import check_finite, check_indices, check_offsets


def three_towers(
    weights: list[Tensor],
    sizes: list[int],
    request: Tensor,
    offsets: Tensor,
    item: Tensor,
    codes: Tensor,
    dynamic: Tensor,
    threads: int,
) -> Tensor:
    *tower, user_weight, upper_bias, request_weight, item_rows, code_rows, dynamic_weight, upper, last = weights
    tower_weight, tower_bias, vector_weight, vector_bias = (weight.double() for weight in tower)
    targets, dim = sizes[:2]
    check_offsets("offsets", offsets, len(item))
    check_indices("item", item, len(item_rows))
    check_indices("codes", codes, len(code_rows))
    check_finite("request", request)
    check_finite("dynamic", dynamic)
    owner = torch.repeat_interleave(offsets.diff())

    user = (request.double() @ tower_weight + tower_bias).relu() @ vector_weight + vector_bias
    start = (user @ user_weight.double() + upper_bias.double())[owner]
    sums = (request.double() @ request_weight.double())[owner] + item_rows[item].double()
    sums = sums + code_rows[codes].double().sum(1) + dynamic.double() @ dynamic_weight.double()
    vector, cross, wide = sums[:, : 2 * dim + targets].split([dim, dim, targets], 1)
    joined = torch.cat([vector, cross.relu(), vector * user[owner]], 1)
    hidden = (joined @ upper.double() + start).relu()
    logits: Tensor = (hidden @ last.double() + wide).T
    return logits.float().contiguous()
