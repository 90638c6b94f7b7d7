"""The nearest items of every item, by what makes items alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from headrace.kernels.co_occurrence import co_occurrence

Similarity = Literal["cosine", "count", "pearson", "tfidf", "bm25", "p3alpha", "rp3beta"]
#: BM25: how soon more points say no more, and how much an item's length counts (Robertson and Zaragoza, 2009).
_K, _B = 1.2, 0.75


@dataclass(frozen=True)
class Weighting:
    """similarity, with x the points of a user's like of an item, d their sums by user or item, N the number of items:

    count, cosine: of the items' likes by user, as ones or as points (Sarwar et al. 2001). pearson: cosine of x less the
    item's mean. tfidf: cosine of sqrt(x) idf(user). bm25: products of BM25 weights, an item the document and a user the
    term. idf = ln(1 + (N - n + 1/2) / (n + 1/2)), n the user's items: who likes everything says little. rp3beta:
    sum (x_ui / d_i)^alpha (x_uj / d_u)^alpha / d_j^beta, a walk from an item to a user to an item that the popularity
    of its end holds back (Paudel et al. 2016); p3alpha: without d_j (Cooper et al. 2014).
    shrink: added to the product of two items' norms; for the cosines. min_common: users that two items must share.
    """

    similarity: Similarity = "cosine"
    shrink: float = 0.0
    min_common: int = 1
    alpha: float = 1.0
    beta: float = 0.6


def nearest_items(
    likes: csr_array, neighbours: int, weighting: Weighting, kept: NDArray[np.bool_] | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The most similar items of each item: (offsets int64 [N+1], item int64, similarity float32), ties to the lower.

    likes: float64 > 0, users x items, each pair once. kept: bool [N], the items that may be neighbours; None: all. As
    `headrace.kernels.co_occurrence` orders them.
    """
    items = likes.shape[1]
    offsets, item = likes.indptr.astype(np.int64), likes.indices.astype(np.int64)
    points, user = likes.data.astype(np.float64), np.repeat(np.arange(likes.shape[0]), np.diff(likes.indptr))
    of_item = np.bincount(item, points, minlength=items)
    weight: NDArray[np.float64] | None
    match weighting.similarity:
        case "count":
            weight = None
        case "cosine":
            weight = points
        case "pearson":
            # A cosine does not ask for an item's scale: over a power of 2 nothing is rounded, and what cancels is 0.
            fans = np.bincount(item, minlength=items)[item]
            scale = fans if weighting.shrink else np.exp2(np.floor(np.log2(fans)))
            weight = (points * fans - of_item[item]) / scale
        case "tfidf":
            weight = np.sqrt(points) * _idf(likes)[user]
        case "bm25":
            length = 1 - _B + _B * of_item / max(of_item.mean(), 1e-300)
            weight = points * (_K + 1) / (_K * length[item] + points) * _idf(likes)[user]
        case "p3alpha" | "rp3beta":
            of_user = np.bincount(user, points, minlength=likes.shape[0])
            weight = points**weighting.alpha / of_user[user] ** (weighting.alpha / 2)
    product = weighting.similarity in ("bm25", "p3alpha", "rp3beta")
    row = column = None
    if weighting.similarity in ("p3alpha", "rp3beta"):
        degree = np.maximum(of_item, 1e-9)
        row = torch.from_numpy(degree**-weighting.alpha)
        if weighting.similarity == "rp3beta":
            column = torch.from_numpy(degree**-weighting.beta)
    return co_occurrence(
        torch.from_numpy(offsets),
        torch.from_numpy(item),
        neighbours,
        items=items,
        weight=None if weight is None else torch.from_numpy(weight),
        formula="product" if product else "cosine",
        shrink=0.0 if product else weighting.shrink,
        row=row,
        column=column,
        min_common=weighting.min_common,
        kept=None if kept is None else torch.from_numpy(kept),
    )


def nearest_users(
    likes: csr_array, neighbours: int, discount: bool, kept: NDArray[np.bool_] | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The most similar users of each user: (offsets int64 [U+1], user int64, similarity float32), ties to the lower.

    likes: users x items, each pair once; points do not count. kept: bool [U], the users that may be neighbours; None:
    all. sim(u, v) = sum over the common items l of 1, or with `discount` of 1 / ln(1 + n_l), over sqrt(|J_u| |J_v|), n
    the users of an item and J the items of a user.
    """
    by_item = csr_array(likes.T.tocsr())
    fans = np.diff(by_item.indptr)
    weight = 1 / np.sqrt(np.log1p(np.maximum(fans, 1))) if discount else np.ones(len(fans))
    length = torch.from_numpy(1 / np.sqrt(np.maximum(np.diff(likes.indptr), 1)))
    return co_occurrence(
        torch.from_numpy(by_item.indptr.astype(np.int64)),
        torch.from_numpy(by_item.indices.astype(np.int64)),
        neighbours,
        items=likes.shape[0],
        weight=torch.from_numpy(np.repeat(weight, fans)),
        formula="product",
        row=length,
        column=length,
        kept=None if kept is None else torch.from_numpy(kept),
    )


def by_seed(offsets: Tensor, item: Tensor, similarity: Tensor, power: float) -> tuple[Tensor, Tensor, Tensor]:
    """Neighbours turned round, as shares: for each seed j the candidates i among whose neighbours N(i) it is.

    s~_ij = s_ij / (sum of s_ij' over N(i))^power, float32, highest first, ties to the lower candidate. Returns offsets
    int64 [N+1], candidate int64, s~.
    """
    count = len(offsets) - 1
    candidate = np.repeat(np.arange(count), offsets.diff().numpy())
    seed, part = item.numpy(), similarity.double().numpy()
    part = part / np.bincount(candidate, part, minlength=count)[candidate] ** power
    order = np.lexsort((candidate, -part, seed))
    bounds = np.append(0, np.cumsum(np.bincount(seed, minlength=count)))
    share = part[order].astype(np.float32)
    return torch.from_numpy(bounds), torch.from_numpy(candidate[order]), torch.from_numpy(share)


def centre(offsets: Tensor, candidate: Tensor, share: Tensor, mean: NDArray[np.float64]) -> Tensor:
    """float32 [N]: m_i - sum over j in N(i) of s~_ij m_j, what a candidate has before any seed, from `by_seed`'s lists.

    With it, and a power of 1, sums over seeds are m_i + sum over j in N(i) of s~_ij (x_uj - m_j). mean: float64 [N].
    """
    seed = np.repeat(np.arange(len(mean)), offsets.diff().numpy())
    expected = np.bincount(candidate.numpy(), share.double().numpy() * mean[seed], minlength=len(mean))
    return torch.from_numpy((mean - expected).astype(np.float32))


def _idf(likes: csr_array) -> NDArray[np.float64]:
    """float64 [U]."""
    count = np.diff(likes.indptr)
    found: NDArray[np.float64] = np.log(1 + (likes.shape[1] - count + 0.5) / (count + 0.5))
    return found
