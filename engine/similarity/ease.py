"""EASE: an item-to-item model with a closed form (Steck, WWW 2019)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor


def most_liked(likes: csr_array, most: int) -> NDArray[np.int64]:
    """int64 [min(most, N)], rising: the items that most users like, ties to the lower item.

    likes: users x items; each stored entry is one user.
    """
    if most < 1:
        raise ValueError(f"most: expected at least 1, got {most}")
    audience = np.bincount(likes.indices, minlength=likes.shape[1])
    return np.sort(np.argsort(-audience, kind="stable")[:most])


def ease_weights(likes: csr_array, l2: float) -> Tensor:
    """float32 [m, m]: what a like of the row's item adds to the score of the column's; 0 on the diagonal.

    likes: users x m, finite. The weights B are the least squares |X - X B|^2 + l2 |B|^2 with a diagonal of zeros:
    P = (X'X + l2 I)^-1, B_ij = -P_ij / P_jj. In float64, m^3 multiplications by LAPACK, and at most four matrices of
    8 m^2 bytes at once: 5,000 items take 0.8 GB, 20,000 items 13 GB.
    Raises ValueError for an l2 not above 0.
    """
    if not 0 < l2 < np.inf:
        raise ValueError(f"l2: expected a finite number above 0, got {l2}")
    matrix = likes.astype(np.float64)
    gram = torch.from_numpy((matrix.T @ matrix).toarray())
    gram.diagonal().add_(l2)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
    weights = inverse.div_(-inverse.diagonal().clone()).float()
    weights.fill_diagonal_(0)
    return weights
