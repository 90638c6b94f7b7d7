"""The definition of the mixture-of-experts ranking network, in float64."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.checks import check_finite, check_indices, check_offsets
from headrace.kernels.rows import filled


def mixture_of_experts(
    weights: list[Tensor],
    sizes: list[int],
    request: Tensor,
    taste: Tensor,
    behaviours: Tensor,
    counts: Tensor,
    offsets: Tensor,
    item: Tensor,
    codes: Tensor,
    dynamic: Tensor,
    threads: int,
) -> Tensor:
    request_weight, item_rows, code_rows, *layers = weights
    candidate_weight, expert_weight, expert_bias, head_weight, head_bias, out_weight, out_bias = (
        layer.double() for layer in layers
    )
    targets, experts, hidden, _, _, dim, attention = sizes
    check_offsets("offsets", offsets, len(item))
    check_indices("item", item, len(item_rows))
    check_indices("codes", codes, len(code_rows))
    check_indices("counts", counts, behaviours.shape[1] + 1)
    for name, values in {"request": request, "taste": taste, "behaviours": behaviours, "dynamic": dynamic}.items():
        check_finite(name, values)
    owner = torch.repeat_interleave(offsets.diff())
    wide, embedding = targets * experts, targets * experts + targets
    start = candidate_weight.shape[1] - filled(experts * hidden)

    rows = item_rows[item].double()
    item_vector = rows[:, embedding : embedding + dim]
    inputs = [taste.double()[owner] * item_vector]
    if attention:
        inputs.append(_attend(behaviours.double()[owner], counts[owner], item_vector))
    first = (request.double() @ request_weight.double())[owner] + rows + code_rows[codes].double().sum(1)
    first = first + torch.cat([*inputs, dynamic.double()], 1) @ candidate_weight

    gates = first[:, :wide].unflatten(1, (targets, experts)).softmax(2)
    units = first[:, start : start + experts * hidden].relu().unflatten(1, (experts, hidden))
    vectors = (torch.einsum("neh,ehu->neu", units, expert_weight) + expert_bias).relu()
    mixed = torch.einsum("nte,neu->ntu", gates, vectors)
    head = (torch.einsum("ntu,tuh->nth", mixed, head_weight) + head_bias).relu()
    logits = torch.einsum("nth,th->tn", head, out_weight) + out_bias[:, None] + first[:, wide:embedding].T
    return logits.float().contiguous()


def _attend(behaviours: Tensor, counts: Tensor, query: Tensor) -> Tensor:
    """[n, dim]: the mean of each candidate's first counts[i] behaviours [n, N, dim] by softmax; 0 where it has none."""
    present = torch.arange(behaviours.shape[1], device=counts.device) < counts[:, None]
    logits = torch.einsum("nbd,nd->nb", behaviours, query) * query.shape[1] ** -0.5
    weight = logits.masked_fill(~present, -torch.inf).softmax(1).masked_fill(~present, 0)
    return torch.einsum("nb,nbd->nd", weight, behaviours)
