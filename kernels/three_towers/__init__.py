"""A pre-ranking network in one call: towers for request, item and what crosses them, and a network over the three."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.checks import check_shape
from headrace.kernels.registry import Op
from headrace.kernels.three_towers.model import TowersModel, TowersSizes

__all__ = ["TowersModel", "TowersSizes", "three_towers"]

MAX_FIELDS = 8

OP = Op("three_towers", __name__, "pre-ranking by three towers", ("scalar", "avx2", "avx512"))


def three_towers(
    model: TowersModel,
    *,
    request: Tensor,
    offsets: Tensor,
    item: Tensor,
    codes: Tensor,
    dynamic: Tensor,
    backend: str = "auto",
    threads: int = 0,
) -> Tensor:
    """float32 [T, n]: the logits of every target for the candidates of B requests.

    user = relu(request W_t + b) W_v + c. With v an item's vector, sum = request row + item row + code rows +
    dynamic W_d, cross its columns of the cross tower after ReLU and wide those of the linear path:
    logit = relu([v, cross, v user] W_u + user W_r + d) W_l + wide.

    request: float32 [B, R]. offsets: int64 [B + 1]: request b owns candidates offsets[b] to offsets[b + 1]. item: int64
    [n], rows of the catalogue. codes: int32 [n, F], rows of `code_rows`, F at most 8. dynamic: float32 [n, D].
    threads: at most this many on a CPU; 0 means the process setting.

    Float32 throughout: each sum runs over its inputs in order, with fused multiply-adds. The native backend gives the
    same bits for every batch, thread count and instruction set.
    Raises TypeError or ValueError for a wrong type, shape or device; for an index out of range, offsets out of order,
    or an input that is not finite. The gpu backend does not check the values, which would wait for the device: a
    candidate with an index out of range gets NaN.
    Source: Wang et al., "COLD: Towards the Next Generation of Pre-Ranking System", DLP-KDD 2020.
    """
    if not isinstance(model, TowersModel):
        raise TypeError(f"model: expected a TowersModel, got {type(model).__name__}")
    batch, n = len(request), len(item)
    expected = {
        "request": (request, torch.float32, (batch, len(model.tower_weight))),
        "offsets": (offsets, torch.int64, (batch + 1,)),
        "item": (item, torch.int64, (n,)),
        "codes": (codes, torch.int32, (n, None)),
        "dynamic": (dynamic, torch.float32, (n, len(model.dynamic_weight))),
    }
    for name, (tensor, dtype, shape) in expected.items():
        check_shape(name, tensor, dtype, shape, model.item_rows.device)
    if codes.shape[1] > MAX_FIELDS:
        raise ValueError(f"codes: expected at most {MAX_FIELDS} columns, got {codes.shape[1]}")
    inputs = [tensor.contiguous() for tensor, *_ in expected.values()]
    return OP(model.weights, model.sizes.numbers(), *inputs, backend=backend, threads=threads)  # type: ignore[no-any-return]


def _fake(
    weights: list[Tensor], sizes: list[int], request: Tensor, offsets: Tensor, item: Tensor, *_: object
) -> Tensor:
    return weights[0].new_empty(sizes[0], item.shape[0])


OP.register(
    "(Tensor[] weights, int[] sizes, Tensor request, Tensor offsets, Tensor item, Tensor codes,"
    " Tensor dynamic) -> Tensor",
    _fake,
)
