"""What is known at a request, by name: words or codes outside, codes inside."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from headrace.channels import Channel
from headrace.data.dataset import UNKNOWN
from headrace.features import FeatureStore
from headrace.features.codes import HOURS, WEEKDAYS
from headrace.features.families.contexts import Contexts
from headrace.features.families.words import Words
from headrace.serving.checks import listed_of, shown

#: Of the clock; the request's own time says them where they are not given.
_CLOCK = {"hour": HOURS, "weekday": WEEKDAYS}


def channel_codes(channels: Sequence[Channel], context: Mapping[str, Any], count: int) -> dict[str, Tensor]:
    """Channel -> int64 [count] codes of what requests say to it by its context, -1 unknown.

    Raises ValueError for another length and what the channel cannot read.
    """
    told = {}
    for one in channels:
        if one.context is not None and one.context in context:
            values = _listed(one.context, context[one.context], count)
            try:
                told[one.name] = one.told(values)
            except ValueError as error:
                raise ValueError(f"context[{one.context!r}]: {error}") from error
    return told


def context_codes(
    store: FeatureStore, context: Mapping[str, Any], count: int, others: Collection[str] = ()
) -> tuple[dict[str, Tensor], int]:
    """Name -> int64 [count] codes, -1 unknown, and how many words are none that the log had.

    context: name -> for each request a word (where the log's column had words) or a code; None and -1 are unknown.
    others: names that may be given though the log had none such.
    Raises ValueError for a name that the log did not have, another length and a code out of range, TypeError for what
    is neither word nor whole number.
    """
    contexts, words = store.family(Contexts), store.family(Words)
    sizes = {**_CLOCK, **(contexts.sizes if contexts else {})}
    codes, strange = {}, 0
    for name, given in context.items():
        if name not in sizes:
            if name in others:
                continue
            raise ValueError(f"context: expected names of {', '.join([*sizes, *others])}, got {shown(name)}")
        found = _of_one_kind(name, _listed(name, given, count))
        if pa.types.is_string(found.type):
            known = None if words is None else words.context(name, found)
            if known is None:
                raise TypeError(f"context[{name!r}]: expected codes, as the log had no words for it, got words")
            strange += int((known == UNKNOWN).sum()) - found.null_count
        else:
            known = _checked(name, found, sizes[name] - 2)
        codes[name] = torch.from_numpy(known)
    return codes, strange


def _listed(name: str, given: Any, count: int) -> list[Any]:
    listed = listed_of(f"context[{name!r}]", given, "words or codes")
    if len(listed) != count:
        raise ValueError(f"context[{name!r}]: expected {count} values, one a user, got {len(listed)}")
    return listed


def _of_one_kind(name: str, given: list[Any]) -> pa.Array:
    """Strings, or integers."""
    try:
        array = pa.array(given)
    except (pa.ArrowException, OverflowError, ValueError, TypeError):
        array = None
    if array is not None and pa.types.is_null(array.type):
        return array.cast(pa.int64())
    if array is None or not (pa.types.is_string(array.type) or pa.types.is_integer(array.type)):
        raise TypeError(f"context[{name!r}]: expected words or whole numbers, one a user, got {shown(given)}")
    return array


def _checked(name: str, codes: pa.Array, most: int) -> NDArray[np.int64]:
    array: NDArray[np.integer] = codes.fill_null(UNKNOWN).to_numpy(zero_copy_only=False)
    wrong = (array < UNKNOWN) | (array > most)
    if wrong.any():
        place = int(wrong.argmax())
        raise ValueError(
            f"context[{name!r}]: expected codes from 0 to {most}, or -1 for unknown, "
            f"got {array[place]} at position {place}"
        )
    return array.astype(np.int64)
