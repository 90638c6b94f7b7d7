"""What the peers of several ops share: compiling under a time limit, and how right an answer is in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch

from headrace.benchmarks.gpu.limits import OutOfTime, time_limit
from headrace.benchmarks.gpu.site import Site
from headrace.benchmarks.harness.case import Call, Case, Kind, Near, Provider

#: The name of the peers whose first call compiles, under a limit of time.
COMPILED = "torch.compile"
COMPILE_SECONDS = 60.0
_F = TypeVar("_F", bound=Callable[..., Any])


def compiled(site: Site, function: _F) -> _F:
    """`function` by torch.compile; in a dry run only traced, as building takes long."""
    torch.compiler.reset()
    made: Any = torch.compile(function, backend="eager") if site.small else torch.compile(function, dynamic=False)
    return cast(_F, made)


def provider(
    site: Site, name: str, kind: Kind, prepare: Callable[[Any], Call], needs: tuple[str, ...] = ()
) -> Provider:
    """A provider on the site's device whose set-up needs nothing of the case but its inputs."""

    def prepare_and_warm(inputs: Any, case: Case) -> Call:
        call = prepare(inputs)
        if name == COMPILED:
            _warm(call)
        return call

    return Provider(name, kind, prepare_and_warm, needs, device=site.where)


def _warm(call: Call) -> None:
    """The first call, which compiles. Raises TimeoutError."""
    try:
        with time_limit(COMPILE_SECONDS):
            call()
    except OutOfTime as error:
        raise TimeoutError(f"torch.compile {error}") from error


def told(share: float, of: str, same_order: bool = True) -> str:
    """How right an answer is: "exact" only when all of it is."""
    return "exact" if share == 1.0 and same_order else Near(share, of)
