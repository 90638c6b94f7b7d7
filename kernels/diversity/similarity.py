"""Vectors whose inner products are the similarity that DPP and MMR are to see."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from headrace.kernels.checks import check_tensor
from headrace.kernels.edge import FLOATS, IDS, MATRICES, takes

__all__ = ["blend", "cosine", "factor", "gaussian", "one_hot", "theta_of"]


@takes(vectors=FLOATS)
def cosine(vectors: Tensor) -> Tensor:
    """float32 [n, d]: the rows at length 1, so that inner products are cosines. A zero row stays zero, unlike all.

    vectors: float32 [n, d]. Raises TypeError or ValueError for another dtype or shape.
    """
    check_tensor("vectors", vectors, dtype=torch.float32, ndim=2)
    rows = vectors.double()
    length = rows.norm(dim=1, keepdim=True)
    return torch.where(length > 0, rows / length, 0.0).float()


@takes(kinds=IDS)
def one_hot(kinds: Tensor) -> Tensor:
    """float32 [n, kinds]: inner product 1 for items of one kind and 0 for others. A negative kind is like no other.

    kinds: int64 or int32 [n]; as many columns come as there are kinds >= 0. Raises TypeError or ValueError for another
    dtype or shape.
    """
    check_tensor("kinds", kinds, dtype=(torch.int64, torch.int32), ndim=1)
    known = kinds[kinds >= 0].unique()
    out: Tensor = (kinds[:, None] == known).float()
    return out


@takes(parts=[(None, FLOATS)])
def blend(parts: Sequence[tuple[float, Tensor]]) -> Tensor:
    """float32 [n, sum of d]: inner product sum_p weight_p <x_p, y_p>, by stacking each part times sqrt(weight_p).

    parts: (weight >= 0, float32 [n, d]) each, say 0.7 of content and 0.3 of `one_hot` categories. Unit parts whose
    weights sum to 1 give unit rows. Raises TypeError or ValueError for a negative weight or parts of other shapes.
    """
    if not parts:
        raise ValueError("parts: expected at least 1, got 0")
    items = len(parts[0][1])
    for weight, vectors in parts:
        check_tensor("parts", vectors, dtype=torch.float32, ndim=2)
        if not 0.0 <= weight < float("inf"):
            raise ValueError(f"parts: expected finite weights of at least 0, got {weight}")
        if len(vectors) != items:
            raise ValueError(f"parts: expected {items} rows in each, got {len(vectors)}")
    return torch.cat([vectors * weight**0.5 for weight, vectors in parts], dim=1)


@takes(kernel=MATRICES)
def factor(kernel: Tensor) -> Tensor:
    """float32 [..., n, n]: vectors whose inner products are the kernel, for a similarity known only as a matrix.

    kernel: float64 or float32 [..., n, n], symmetric and positive semidefinite up to 1e-6 of its largest eigenvalue. It
    costs O(n^3) once a list and makes d = n. Raises TypeError or ValueError for another matrix.
    """
    if kernel.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"kernel: expected float32 or float64, got {str(kernel.dtype).removeprefix('torch.')}")
    if kernel.ndim < 2 or kernel.shape[-1] != kernel.shape[-2]:
        raise ValueError(f"kernel: expected square matrices, got shape {tuple(kernel.shape)}")
    if not bool(torch.isfinite(kernel).all()):
        raise ValueError("kernel: expected finite numbers, got NaN or infinity")
    matrix = kernel.double()
    if kernel.numel() == 0:
        return matrix.float()
    if not torch.allclose(matrix, matrix.mT, rtol=0.0, atol=1e-6 * float(matrix.abs().max())):
        raise ValueError("kernel: expected a symmetric matrix")
    values, basis = torch.linalg.eigh(matrix)
    lowest, highest = values.amin(-1), values.abs().amax(-1)
    if bool((lowest < -1e-6 * highest).any()):
        raise ValueError(f"kernel: expected no negative eigenvalue, got {float(lowest.min()):.3g}")
    out: Tensor = (basis * values.clamp_min(0.0).sqrt()[..., None, :]).float()
    return out


@takes(vectors=FLOATS)
def gaussian(vectors: Tensor, scale: float) -> Tensor:
    """float32 [..., n, n]: vectors whose inner product is exp(-|x - y|^2 / (2 scale^2)), see `factor`.

    vectors: float32 [..., n, d]. Raises TypeError or ValueError for other vectors or a scale that is not above 0.
    """
    if vectors.dtype != torch.float32 or vectors.ndim < 2:
        raise TypeError("vectors: expected float32 of at least 2 dimensions")
    if not 0.0 < scale < float("inf"):
        raise ValueError(f"scale: expected a finite number above 0, got {scale}")
    rows = vectors.double()
    return factor(torch.exp(-torch.cdist(rows, rows).square() / (2.0 * scale**2)))


def theta_of(alpha: float) -> float:
    """theta = 2 alpha / (1 + 2 alpha): greedy MAP of the kernel exp(alpha r_i) S_ij exp(alpha r_j) picks as `dpp` does.

    The logarithm of that kernel's determinant is 2 alpha sum r + log det S = (theta sum r + (1 - theta) log det S) /
    (1 - theta). Raises ValueError for alpha below 0 or not finite.
    Source: Chen, Zhang, Zhou, NeurIPS 2018, section 4: alpha = theta / (2 (1 - theta)).
    """
    if not 0.0 <= alpha < float("inf"):
        raise ValueError(f"alpha: expected a finite number of at least 0, got {alpha}")
    return 2.0 * alpha / (1.0 + 2.0 * alpha)
