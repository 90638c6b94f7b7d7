"""The nearest items of every item by the users who like both: sparse products of which only the best of a row stay."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from headrace.kernels.checks import check_at_least, check_count, check_number, check_tensor
from headrace.kernels.edge import DOUBLES, FLAGS, IDS, takes
from headrace.kernels.registry import Op

__all__ = ["co_occurrence", "swing"]

_NO_GPU = "a row's sums lie in a core's cache, and the likes in the memory of the process: it runs on CPUs"
OP = Op("co_occurrence", __name__, "nearest items of every item, by the users of both", ("scalar",), _NO_GPU)
SWING = Op("swing", __name__, "nearest items of every item, by pairs of users", ("scalar",), _NO_GPU)
_CPU = torch.device("cpu")
_MOST = 1 << 30


@takes(offsets=IDS, item=IDS, weight=DOUBLES, row=DOUBLES, column=DOUBLES, kept=FLAGS)
def co_occurrence(
    offsets: Tensor,
    item: Tensor,
    k: int,
    *,
    items: int,
    weight: Tensor | None = None,
    formula: Literal["cosine", "product"] = "cosine",
    shrink: float = 0.0,
    row: Tensor | None = None,
    column: Tensor | None = None,
    min_common: int = 1,
    kept: Tensor | None = None,
    backend: str = "auto",
    threads: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """The `k` other items of each item with the highest scores above 0, best first, ties to the lower item.

    offsets: int64 [U+1]; user u likes item[offsets[u] : offsets[u + 1]], each once. item: int64 [nnz], below `items`.
    weight: float64 [nnz], 0 or from 1e-60 up in magnitude; None: all 1. With dot(i, j) the sum, over the users who like
    both, of the products of their weights, the score of j for i is, by `formula`,
    "cosine": dot(i, j) / (sqrt(n_i n_j) + shrink), n the sums of the squared weights (Sarwar et al., WWW 2001);
    "product": dot(i, j) row[i] column[j]; row, column: float64 [items], 0 to 1e9; None: all 1.
    min_common: users that a pair must share. kept: bool [items], False for an item that is to be in nobody's list; it
    has a list of its own, and its likes count as before; None: all may be. All are on the CPU.
    Returns offsets int64 [items+1], item int64 [m], score float32 [m]. Sums run over the users in rising order, in
    float64. Scores are compared by 40 bits of their mantissa, so that those which differ by the order of a sum tie; but
    where all weights are whole numbers, cosines without shrinkage are compared by dot^2 / (n_i n_j), whose parts are
    exact. The same answer for every number of threads. An item costs the likes of all of its users; beside the likes,
    16 bytes an entry are held, and for each thread 12 an item.
    Raises ValueError for an item twice in a user or out of range, offsets that do not rise from 0 to nnz, weights whose
    squares add up to more than 1e18 in an item, numbers out of range, wrong shapes or devices; TypeError for wrong
    types.
    """
    items, kept = _check_likes(offsets, item, k, items, kept)
    if weight is not None:
        check_tensor("weight", weight, dtype=torch.float64, ndim=1, device=_CPU)
        if weight.shape != item.shape:
            raise ValueError(f"weight: expected {len(item)} entries, one for each item, got {len(weight)}")
        weight = weight.contiguous()
    if formula not in ("cosine", "product"):
        raise ValueError(f"formula: expected cosine or product, got {formula!r}")
    check_number("shrink", shrink)
    if not 0 <= shrink <= 1e18:
        raise ValueError(f"shrink: expected 0 to 1e18, got {shrink}")
    if formula == "product" and shrink:
        raise ValueError(f"shrink: expected 0 with formula 'product', got {shrink}")
    factors = []
    for name, one in (("row", row), ("column", column)):
        if one is not None:
            check_tensor(name, one, dtype=torch.float64, ndim=1, device=_CPU)
            if formula == "cosine":
                raise ValueError(f"{name}: expected None with formula 'cosine'")
            if len(one) != items:
                raise ValueError(f"{name}: expected {items} entries, one for each item, got {len(one)}")
        factors.append(None if one is None else one.contiguous())
    check_count("min_common", min_common)
    inputs = offsets.contiguous(), item.contiguous(), weight, *factors, kept, items, formula == "cosine", float(shrink)
    return OP(*inputs, min(min_common, _MOST), min(k, _MOST), backend=backend, threads=threads)  # type: ignore[no-any-return]


@takes(offsets=IDS, item=IDS, kept=FLAGS)
def swing(
    offsets: Tensor,
    item: Tensor,
    k: int,
    *,
    items: int,
    alpha: float = 1.0,
    kept: Tensor | None = None,
    backend: str = "auto",
    threads: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """The `k` other items of each item that most pairs of users like together, by Swing (Yang et al. 2020).

    offsets, item, items, kept, and what is returned: as `co_occurrence` has them. The score of two items is the sum,
    over the ordered pairs of different users who like both, of 1 / (alpha + the number of items that both users like).
    Sums run over the pairs in rising order, in float64, and are compared by 40 bits of their mantissa. The same answer
    for every number of threads. An item of a users costs a^2 / 2 times the likes of a user: bound a before.
    Raises as `co_occurrence`; ValueError for an alpha not above 0, or above 1e18.
    """
    items, kept = _check_likes(offsets, item, k, items, kept)
    check_number("alpha", alpha)
    if not 0 < alpha <= 1e18:
        raise ValueError(f"alpha: expected more than 0 and at most 1e18, got {alpha}")
    inputs = offsets.contiguous(), item.contiguous(), kept, items, float(alpha), min(k, _MOST)
    return SWING(*inputs, backend=backend, threads=threads)  # type: ignore[no-any-return]


def _check_likes(offsets: Tensor, item: Tensor, k: int, items: int, kept: Tensor | None) -> tuple[int, Tensor | None]:
    check_tensor("offsets", offsets, dtype=torch.int64, ndim=1, device=_CPU)
    check_tensor("item", item, dtype=torch.int64, ndim=1, device=_CPU)
    if len(offsets) < 1:
        raise ValueError("offsets: expected at least 1 entry, got 0")
    check_count("k", k)
    check_at_least("items", items, 0)
    if items >= 1 << 31:
        raise ValueError(f"items: expected fewer than 2^31, got {items}")
    if kept is None:
        return items, None
    check_tensor("kept", kept, dtype=torch.bool, ndim=1, device=_CPU)
    if len(kept) != items:
        raise ValueError(f"kept: expected {items} entries, one for each item, got {len(kept)}")
    return items, kept.contiguous()


def _fake_co_occurrence(
    offsets: Tensor, item: Tensor, weight: Tensor, row: Tensor, column: Tensor, kept: Tensor, items: int, *_: object
) -> tuple[Tensor, Tensor, Tensor]:
    found = torch.library.get_ctx().new_dynamic_size()
    nearest = item.new_empty(found)
    return offsets.new_empty(items + 1), nearest, nearest.new_empty(found, dtype=torch.float32)


def _fake_swing(offsets: Tensor, item: Tensor, kept: Tensor, items: int, *_: object) -> tuple[Tensor, Tensor, Tensor]:
    return _fake_co_occurrence(offsets, item, item, item, item, kept, items)


OP.register(
    "(Tensor offsets, Tensor item, Tensor? weight, Tensor? row, Tensor? column, Tensor? kept, int items, bool cosine,"
    " float shrink, int min_common, int k) -> (Tensor, Tensor, Tensor)",
    "offsets int64 U+1, item int64 n, weight float64 n, row float64 N, column float64 N, kept bool N",
    _fake_co_occurrence,
)
SWING.register(
    "(Tensor offsets, Tensor item, Tensor? kept, int items, float alpha, int k) -> (Tensor, Tensor, Tensor)",
    "offsets int64 U+1, item int64 n, kept bool N",
    _fake_swing,
)
