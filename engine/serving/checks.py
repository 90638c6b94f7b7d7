"""What `Engine.recommend` is called with, checked: each error names the argument, what was expected and what came."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_INT64 = range(-(2**63), 2**63)
#: Of what came, so many characters are shown.
_SHOWN = 60


def check_call(
    user_ids: object, context: object, reasons: object, record: object, *, strings: bool
) -> list[int] | list[str]:
    """The ids as Python's own integers, or strings where the snapshot's are `strings`.

    Raises TypeError or ValueError for what could not be meant.
    """
    ids = _ids(user_ids, strings)
    if context is not None and not isinstance(context, Mapping):
        raise TypeError(f"context: expected a mapping of names to codes, got {type(context).__name__}")
    for name, flag in (("reasons", reasons), ("record", record)):
        if not isinstance(flag, (bool, np.bool_)):
            raise TypeError(f"{name}: expected True or False, got {shown(flag)}")
    return ids


def _ids(user_ids: object, strings: bool) -> list[int] | list[str]:
    listed = listed_of("user_ids", user_ids, "ids")
    if not strings:
        return _integers("user_ids", listed, "integer ids, as the snapshot's are")
    for place, one in enumerate(listed if set(map(type, listed)) - {str} else ()):
        if not isinstance(one, str):
            raise TypeError(f"user_ids: expected string ids, as the snapshot's are, got {shown(one)} at {place}")
    words = [*map(str, listed)]
    joined = "".join(words)
    if "\0" in joined or (not joined.isascii() and any("\ud800" <= one <= "\udfff" for one in joined)):
        raise ValueError("user_ids: expected strings without NUL characters and lone surrogates")
    return words


def listed_of(name: str, given: Any, what: str) -> list[Any]:
    """A sequence, array or tensor of one dimension as a list."""
    if isinstance(given, (str, bytes, bytearray)) or not (isinstance(given, Sequence) or hasattr(given, "tolist")):
        raise TypeError(f"{name}: expected a sequence of {what}, got {shown(given)}")
    shape = getattr(given, "shape", None)
    if shape is not None and len(shape) != 1:
        raise ValueError(f"{name}: expected one dimension, got shape {tuple(shape)}")
    return list(given.tolist() if hasattr(given, "tolist") else given)


def _integers(name: str, listed: list[Any], what: str = "integers") -> list[int]:
    """As Python's own. Raises TypeError, with the place, for anything else, ValueError for what int64 cannot hold."""
    if set(map(type, listed)) - {int}:
        for place, one in enumerate(listed):
            if isinstance(one, (bool, np.bool_)) or not hasattr(type(one), "__index__"):
                raise TypeError(f"{name}: expected {what}, got {shown(one)} at {place}")
        listed = [*map(operator.index, listed)]
    if listed and not (min(listed) in _INT64 and max(listed) in _INT64):
        place = next(place for place, one in enumerate(listed) if one not in _INT64)
        raise ValueError(f"{name}: expected integers that fit int64, got {shown(listed[place])} at {place}")
    return listed


def integer(name: str, given: Any, what: str = "an integer") -> int:
    """As Python's own. Raises TypeError where it is none."""
    if isinstance(given, (bool, np.bool_)):
        raise TypeError(f"{name}: expected {what}, got {given}")
    try:
        return operator.index(given)
    except TypeError as error:
        raise TypeError(f"{name}: expected {what}, got {shown(given)}") from error


def number(value: int) -> str:
    """As people write it, where it is short enough."""
    # Python refuses to write the longest integers in decimals.
    return str(value) if value.bit_length() <= 8 * _SHOWN // 3 else f"an integer of {value.bit_length()} bits"


def shown(given: object) -> str:
    """The type, and the value where it is short. Never raises, whatever the value's own repr does."""
    try:
        text = repr(given)
    except Exception:
        return type(given).__name__
    return f"{type(given).__name__} {text}" if len(text) <= _SHOWN else type(given).__name__
