"""Functions that a trace keeps whole."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar, cast

from torch.overrides import handle_torch_function, has_torch_function

F = TypeVar("F", bound=Callable[..., object])


def leaf(function: F) -> F:
    """`function` of tensors as one step of a traced network, wherever it is called from."""

    @functools.wraps(function)
    def call(*args: object, **named: object) -> object:
        if has_torch_function(args):
            return handle_torch_function(call, args, *args, **named)
        return function(*args, **named)

    return cast(F, call)
