"""The edge of the kernels: arrays of any library become the tensors that kernels read, and answers go back in kind.

docs/arrays.md states the rule. A public call names its array arguments once, as in `@takes(queries=FLOATS, ids=IDS)`;
in its body, and below it, everything is a tensor that needs no gradient.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

_Public = TypeVar("_Public", bound=Callable[..., Any])


class Want(NamedTuple):
    """What an array becomes. ready: dtypes that stay. target: what others of its kind become; None: none may.

    changed: the call writes into the caller's memory, so nothing may be copied.
    """

    ready: tuple[torch.dtype, ...]
    target: torch.dtype | None
    changed: bool = False


FLOATS = Want((torch.float32,), torch.float32)
DOUBLES = Want((torch.float64,), torch.float64)
#: Rows that a table keeps as they are.
ROWS = Want((torch.float32, torch.bfloat16), torch.float32)
#: Similarities that are to be factored.
MATRICES = Want((torch.float32, torch.float64), torch.float64)
IDS = Want((torch.int64,), torch.int64)
CODES = Want((torch.int32,), torch.int32)
FLAGS = Want((torch.bool,), torch.bool)
#: Bits: in another width they would be another set.
WORDS = Want((torch.uint64, torch.int64), None)
CHANGED_WORDS = WORDS._replace(changed=True)

#: [want]: a sequence of such; (want, want): a tuple of these, None for what is no array.
Shape = Want | list[Any] | tuple[Any, ...] | None


def takes(**wants: Shape) -> Callable[[_Public], _Public]:
    """The decorator of a public function or method, or of a class whose `__init__` takes arrays under these names."""

    def decorate(public: Any) -> Any:
        if isinstance(public, type):
            public.__init__ = decorate(public.__init__)  # type: ignore[misc]
            return public
        parameters = list(inspect.signature(public).parameters.values())
        places = tuple(
            (at, one.name, wants[one.name], "None" in str(one.annotation))
            for at, one in enumerate(parameters)
            if one.name in wants
        )
        # A call for one request takes microseconds, so that this loop is written for its own time.
        quick = tuple(
            (*place, getattr(place[2], "ready", None), isinstance(place[2], Want) and place[2].changed)
            for place in places
        )

        @functools.wraps(public)
        def call(*given: Any, **named: Any) -> Any:
            count = len(given)
            for at, name, want, optional, ready, written in quick:
                value = given[at] if at < count else named.get(name)
                if type(value) is Tensor:
                    fits = ready is not None and value.dtype in ready and not value.requires_grad
                    if fits and value.layout is _DENSE and not (written and value.is_inference()):
                        continue
                elif (value is None and optional) or (ready is None and _are_ready(value, want)):
                    continue
                return _convert_and_call(public, places, given, named)
            if _inference():
                return _convert_and_call(public, places, given, named)
            return public(*given, **named)

        return call

    return decorate


_inference = torch.is_inference_mode_enabled
_DENSE = torch.strided


def _are_ready(value: Any, want: Shape) -> bool:
    """The same for sequences and tuples of arrays."""
    if isinstance(want, Want):
        ready = type(value) is Tensor and value.dtype in want.ready and not value.requires_grad
        return ready and value.layout is _DENSE
    if want is None:
        return True
    if type(value) not in (list, tuple):
        return False
    parts = want if isinstance(want, tuple) else want * len(value)
    return len(parts) == len(value) and all(map(_are_ready, value, parts))


def _convert_and_call(
    public: Callable[..., Any],
    places: Iterable[tuple[int, str, Shape, bool]],
    given: tuple[Any, ...],
    named: dict[str, Any],
) -> Any:
    arguments, arrays = list(given), list[Any]()
    for at, name, want, optional in places:
        if at < len(arguments):
            if not (optional and arguments[at] is None):
                arguments[at] = _converted(name, arguments[at], want, arrays)
        elif name in named and not (optional and named[name] is None):
            named[name] = _converted(name, named[name], want, arrays)
    if _inference():
        # What inference mode makes could not be used outside it.
        with torch.inference_mode(False), torch.no_grad():
            answer = public(*arguments, **named)
    else:
        answer = public(*arguments, **named)
    deciding = next((array for array in arrays if not isinstance(array, (list, tuple, range))), None)
    return in_kind(answer, deciding)


def _converted(name: str, value: Any, want: Shape, arrays: list[Any]) -> Any:
    """Tensors in place of the arrays in `value`, which are added to `arrays`."""
    if want is None:
        return value
    if isinstance(want, Want):
        arrays.append(value)
        return tensor_of(name, value, want)
    if not isinstance(value, Iterable) or isinstance(value, (str, bytes, Mapping)):
        raise TypeError(f"{name}: expected a sequence of arrays, got {type(value).__name__}")
    values = list(value)
    if isinstance(want, list):
        return [_converted(f"{name}[{i}]", part, want[0], arrays) for i, part in enumerate(values)]
    if len(values) != len(want):
        raise ValueError(f"{name}: expected {len(want)} parts, got {len(values)}")
    return tuple(_converted(f"{name}[{i}]", *pair, arrays) for i, pair in enumerate(zip(values, want, strict=True)))


def tensor_of(name: str, value: Any, want: Want) -> Tensor:
    """`value` as a tensor of a dtype that is ready, without a copy where it is one already.

    Raises TypeError for what is no array, or of another kind of number; ValueError for a number that does not fit.
    """
    listed = isinstance(value, (list, tuple, range))
    if listed and want.target is None:
        raise TypeError(f"{name}: expected an array of bits, got {type(value).__name__}")
    tensor = _as_tensor(name, value, want, listed)
    if tensor.layout is not _DENSE:
        raise TypeError(f"{name}: expected a dense array, got {_word(tensor.layout)}")
    # A tensor made in inference mode may not be changed outside it; the same memory may.
    if want.changed and tensor.is_inference() and not torch.is_inference_mode_enabled():
        tensor = from_dlpack(tensor)
    if tensor.dtype in want.ready:
        return tensor
    empty = listed and tensor.numel() == 0
    if tensor.dtype == torch.bool or tensor.is_complex() or want.target is None:
        raise _wrong(name, want, tensor.dtype)
    # Numbers are no flags: they may be ids as well.
    if want.target == torch.bool and not empty:
        raise _wrong(name, want, tensor.dtype)
    floating = want.target.is_floating_point
    # A list of numbers has no dtype of its own: whole ones are numbers, too.
    if tensor.is_floating_point() != floating and not (listed and floating) and not empty:
        raise _wrong(name, want, tensor.dtype)
    return _cast(name, tensor, want.target)


def _wrong(name: str, want: Want, dtype: Any) -> TypeError:
    words = " or ".join(map(_word, want.ready))
    return TypeError(f"{name}: expected {words}, got {_word(dtype)}")


def _word(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def _as_tensor(name: str, value: Any, want: Want, listed: bool) -> Tensor:
    """The same numbers in the same memory, where there is a way."""
    if isinstance(value, Tensor):
        return value.detach() if value.requires_grad or type(value) is not Tensor else value
    try:
        if not isinstance(value, np.ndarray) and hasattr(value, "__dlpack__"):
            return from_dlpack(value)
        if not isinstance(value, np.ndarray) and not listed and (want.changed or not hasattr(value, "__array__")):
            raise TypeError(f"expected a tensor, a NumPy, CuPy or DLPack array, or a list, got {type(value).__name__}")
        return _from_numpy(np.asarray(value), want)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"{name}: {error}") from None


class _Readable:
    """The memory of an array that may not be written to, which torch would warn of."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array = array
        interface = array.__array_interface__
        self.__array_interface__ = {**interface, "data": (interface["data"][0], False)}


def _from_numpy(array: np.ndarray[Any, Any], want: Want) -> Tensor:
    if array.dtype.kind not in "fiubc":
        raise TypeError(f"expected numbers, got {array.dtype}")
    usable = array.dtype.isnative and all(step >= 0 and step % array.itemsize == 0 for step in array.strides)
    if want.changed and not (usable and array.flags.writeable):
        raise ValueError("expected an array that can be changed in place, got one that is read-only or turned round")
    if array.dtype.itemsize > 8 and array.dtype.kind == "f":
        array = array.astype(np.float64)
    elif not usable:
        array = array.astype(array.dtype.newbyteorder("="), order="C")
    return torch.from_numpy(array if array.flags.writeable else np.asarray(_Readable(array)))


def _cast(name: str, tensor: Tensor, target: torch.dtype) -> Tensor:
    """Raises ValueError where a finite number, or an integer, is out of the range of `target`."""
    cast = tensor.to(target)
    if not tensor.numel():
        return cast
    if target.is_floating_point:
        if tensor.dtype == torch.float64 and bool(cast.isinf().any()):
            lost = cast.isinf() & tensor.isfinite()
            if bool(lost.any()):
                raise ValueError(f"{name}: expected numbers within {_word(target)}, got {float(tensor[lost][0])}")
        return cast
    held, room = torch.iinfo(tensor.dtype), torch.iinfo(target)
    if held.min < room.min or held.max > room.max:
        wide = tensor.long()  # in which only uint64 can be below 0 by overflow
        lost = (wide > room.max) | (wide < max(room.min, held.min))
        if bool(lost.any()):
            number = int(wide[lost][0]) % 2**64 if tensor.dtype == torch.uint64 else int(wide[lost][0])
            raise ValueError(f"{name}: expected {room.min} to {room.max}, got {number}")
    return cast


def in_kind(answer: Any, like: Any) -> Any:
    """Tensors of an answer as arrays of the library that `like` is of; as they are where that is a list or None."""
    if like is None or isinstance(like, (Tensor, list, tuple, range)):
        return answer
    if isinstance(answer, Tensor):
        return _home_of(like)(answer)
    if isinstance(answer, tuple):
        parts = [in_kind(part, like) for part in answer]
        return type(answer)(*parts) if hasattr(answer, "_fields") else tuple(parts)
    return answer


def _home_of(like: Any) -> Callable[[Tensor], Any]:
    if not isinstance(like, np.ndarray) and hasattr(like, "__dlpack__"):
        library = sys.modules.get(type(like).__module__.partition(".")[0])
        space = like.__array_namespace__() if hasattr(like, "__array_namespace__") else library
        if hasattr(space, "from_dlpack"):
            return space.from_dlpack  # type: ignore[no-any-return, union-attr]
    return Tensor.numpy
