"""Beam search over the paths of a Deep Retrieval model: the most probable paths of every request."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.kernels.beam_search.model import PathModel
from headrace.kernels.beam_search.path_index import PathIndex
from headrace.kernels.checks import check_k, check_tensor
from headrace.kernels.edge import FLOATS, takes
from headrace.kernels.registry import Op

__all__ = ["PathIndex", "PathModel", "beam_search"]

MAX_BEAM = 2**31 - 1

OP = Op("beam_search", __name__, "beam search over the paths of Deep Retrieval", ("scalar", "avx2", "avx512"))


@takes(user=FLOATS)
def beam_search(
    user: Tensor, model: PathModel, beam: int, *, backend: str = "auto", threads: int = 0
) -> tuple[Tensor, Tensor]:
    """The `beam` most probable paths that a beam search finds for each request, most probable first.

    Every layer keeps the best `beam` of the beam * K extended paths; equal ones go to the lexicographically lower path.
    A beam of K^(D-1) or more finds the most probable of all paths.

    user: float32 [B, user_dim], on the model's device.
    threads: at most this many on a CPU; 0 means the process setting.
    Returns paths int32 [B, beam, D], nodes from 0, and log-probabilities float32 [B, beam]. Where fewer than `beam`
    paths exist the rest is -1 and -inf.

    Computed in float64: the paths are those of a float64 brute force unless two log-probabilities lie within rounding
    (about 1e-12 of the logits' size) of each other, and `logp` is the float64 value rounded once. The native backend
    gives the same bits for every batch, thread count and instruction set, so nodes of equal weights tie exactly.

    Raises TypeError or ValueError for a wrong type, shape or device, a beam below 1, beyond 2^31 - 1 or beyond both
    65,536 and the number of paths, or a user that is not finite. The gpu backend does not check the last, which would
    wait for the device: such a request gets paths -1 and logp NaN.
    Source: Gao et al., "Learning an End-to-End Structure for Retrieval in Large-Scale Recommendations", CIKM 2021,
    algorithm 1.
    """
    if not isinstance(model, PathModel):
        raise TypeError(f"model: expected a PathModel, got {type(model).__name__}")
    check_tensor("user", user, dtype=torch.float32, ndim=2, device=model.device)
    if user.shape[1] != model.user_dim:
        raise ValueError(f"user: expected {model.user_dim} columns as in the model, got {user.shape[1]}")
    check_k("beam", beam, min(model.nodes**model.depth, MAX_BEAM))
    paths, logp = OP(user, model.weights, model.packed, beam, backend=backend, threads=threads)
    return paths, logp


def empty_result(user: Tensor, weights: list[Tensor], packed: list[Tensor], beam: int) -> tuple[Tensor, Tensor]:
    batch, depth = user.shape[0], weights[1].shape[0]
    return user.new_empty((batch, beam, depth), dtype=torch.int32), user.new_empty((batch, beam))


OP.register(
    "(Tensor user, Tensor[] weights, Tensor[] packed, int beam) -> (Tensor paths, Tensor logp)",
    "user float32 B d, weights any, packed any",
    empty_result,
)
