"""A ranking network in one call: a mixture of experts with a gate and a head for each target."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.checks import check_shape
from headrace.kernels.mixture_of_experts.model import MixtureModel, MixtureSizes
from headrace.kernels.registry import Op

__all__ = ["MixtureModel", "MixtureSizes", "mixture_of_experts"]

MAX_FIELDS = 8

OP = Op("mixture_of_experts", __name__, "multi-target ranking by a mixture of experts", ("scalar", "avx2", "avx512"))


def mixture_of_experts(
    model: MixtureModel,
    *,
    request: Tensor,
    taste: Tensor,
    behaviours: Tensor,
    counts: Tensor,
    offsets: Tensor,
    item: Tensor,
    codes: Tensor,
    dynamic: Tensor,
    backend: str = "auto",
    threads: int = 0,
) -> Tensor:
    """float32 [T, n]: the logits of every target for the candidates of B requests.

    With e an item's embedding, `first = request W_r + item_rows[item] + sum_f code_rows[codes_f] +
    [taste e, attention(e), dynamic] W_c` gives each target's gates (softmax over the experts), the linear path and the
    experts' first layers; then expert = relu(relu(first) W + b), mixed = sum over the experts of gate times expert, and
    logit = v relu(mixed U + c) + d + linear path. attention(e): the behaviours' mean under softmax of e times each over
    sqrt(dim), zero without behaviours.

    request: float32 [B, R]. taste: float32 [B, dim]. behaviours: float32 [B, N, dim], of which request b has the first
    counts[b] (int32 [B]). offsets: int64 [B + 1]: request b owns candidates offsets[b] to offsets[b + 1]. item: int64
    [n], rows of the catalogue. codes: int32 [n, F], rows of `code_rows`, F at most 8. dynamic: float32 [n, D].
    threads: at most this many on a CPU; 0 means the process setting.

    Float32 throughout: each sum runs over its inputs in order, with fused multiply-adds. The native backend gives the
    same bits for every batch, thread count and instruction set.
    Raises TypeError or ValueError for a wrong type, shape or device; for an index out of range, offsets or counts out
    of order, or an input that is not finite. The gpu backend does not check the values, which would wait for the
    device: a candidate with an index out of range gets NaN.
    Source: Ma et al., "Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts", KDD
    2018; Zhou et al., "Deep Interest Network for Click-Through Rate Prediction", KDD 2018.
    """
    if not isinstance(model, MixtureModel):
        raise TypeError(f"model: expected a MixtureModel, got {type(model).__name__}")
    dim, device = model.sizes.dim, model.item_rows.device
    batch, n = len(request), len(item)
    expected = {
        "request": (request, torch.float32, (batch, len(model.request_weight))),
        "taste": (taste, torch.float32, (batch, dim)),
        "behaviours": (behaviours, torch.float32, (batch, None, dim)),
        "counts": (counts, torch.int32, (batch,)),
        "offsets": (offsets, torch.int64, (batch + 1,)),
        "item": (item, torch.int64, (n,)),
        "codes": (codes, torch.int32, (n, None)),
        "dynamic": (dynamic, torch.float32, (n, model.dynamic_width)),
    }
    for name, (tensor, dtype, shape) in expected.items():
        check_shape(name, tensor, dtype, shape, device)
    if codes.shape[1] > MAX_FIELDS:
        raise ValueError(f"codes: expected at most {MAX_FIELDS} columns, got {codes.shape[1]}")
    inputs = [tensor.contiguous() for tensor, *_ in expected.values()]
    return OP(model.weights, model.sizes.numbers(), *inputs, backend=backend, threads=threads)  # type: ignore[no-any-return]


def _fake(weights: list[Tensor], sizes: list[int], *rest: object) -> Tensor:
    item = rest[5]
    assert isinstance(item, Tensor)
    return weights[0].new_empty(sizes[0], item.shape[0])


OP.register(
    "(Tensor[] weights, int[] sizes, Tensor request, Tensor taste, Tensor behaviours, Tensor counts,"
    " Tensor offsets, Tensor item, Tensor codes, Tensor dynamic) -> Tensor",
    _fake,
)
