"""What each recall channel brings for its quota, and beside the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from headrace.evaluation.held_out import HeldOut
from headrace.report.model import Recall, RecallRow

#: Lengths of the lists of the curves: these, and the longest list there is.
_LENGTHS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)


def measure_recall(lists: Mapping[str, NDArray[np.int64]], quotas: Sequence[int], question: HeldOut) -> Recall:
    """lists: channel -> int64 [B, L] distinct items for each request, best first, -1 padding, `quotas` long or longer
    where there are so many.

    Shares and overlaps are those of the quotas.
    """
    n_items = len(question.users_of)
    wanted = np.sort(question.items.numpy() + np.repeat(np.arange(len(question.requests)), _sizes(question)) * n_items)
    keys = [_keys(found[:, :quota], n_items) for found, quota in zip(lists.values(), quotas, strict=True)]
    # bool [C, W]: which channel's quota has which of what was wanted.
    has = np.stack([np.isin(wanted, one) for one in keys])
    rows = []
    for c, (name, found) in enumerate(lists.items()):
        others = np.delete(has, c, 0).any(0)
        rows.append(
            RecallRow(
                name.replace("_", " "),
                quotas[c],
                float((found[:, : quotas[c]] >= 0).sum(1).mean()),
                _share(has[c]),
                _share(np.asarray(has[c] & ~others)),
            )
        )
    longest = max(found.shape[1] for found in lists.values())
    lengths = sorted({*(length for length in _LENGTHS if length < longest), longest})
    curves = [_curve(found, wanted, _sizes(question), lengths, n_items) for found in lists.values()]
    return Recall(rows, len(question.requests), _share(np.asarray(has.any(0))), _overlaps(keys), lengths, curves)


def _sizes(question: HeldOut) -> NDArray[np.int64]:
    """int64 [B]: how many items each request wanted."""
    return np.asarray(question.offsets.diff().numpy(), np.int64)


def _keys(lists: NDArray[np.int64], n_items: int) -> NDArray[np.int64]:
    """int64 [n], rising: a number for each (request, item) of the lists."""
    request, place = np.nonzero(lists >= 0)
    return np.sort(request * n_items + lists[request, place])


def _share(of: NDArray[np.bool_]) -> float | None:
    return float(of.mean()) if len(of) else None


def _overlaps(keys: Sequence[NDArray[np.int64]]) -> list[list[float | None]]:
    """[C][C]: the part of the first channel's items, request by request, that the second found too."""
    every = np.unique(np.concatenate(keys))
    member = np.stack([np.isin(every, one, assume_unique=True) for one in keys])
    common = [[int(np.count_nonzero(one & other)) for other in member] for one in member]
    return [[both / row[c] if row[c] else None for both in row] for c, row in enumerate(common)]


def _curve(
    found: NDArray[np.int64],
    wanted: NDArray[np.int64],
    sizes: NDArray[np.int64],
    lengths: Sequence[int],
    n_items: int,
) -> list[float | None]:
    """The mean recall of the first so many of each list."""
    hit = (found >= 0) & np.isin(np.arange(len(found))[:, None] * n_items + found, wanted)
    held = np.cumsum(hit, 1)
    asked = sizes > 0
    if not asked.any() or not found.shape[1]:
        return [None] * len(lengths)
    ends = np.minimum(lengths, found.shape[1]) - 1
    return [float(mean) for mean in (held[asked][:, ends] / sizes[asked, None]).mean(0)]
