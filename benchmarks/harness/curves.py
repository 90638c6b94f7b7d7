"""Scaling curves: cases that move away from a base in one parameter at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from headrace.benchmarks.harness.case import Case

#: Threads of the curves over threads; the runner leaves out those above what it has.
THREADS = (1, 2, 4, 8, 16, 32)


def curves(make: Callable[..., Case], base: Mapping[str, int | None], axes: Mapping[str, Sequence[int]]) -> list[Case]:
    """A case of the full suite for each value of each axis. make: (**base) -> Case; "threads" is given to any case."""
    found = []
    for axis, values in axes.items():
        for value in values:
            if axis == "threads":
                case = make(**base)
                case = replace(case, name=f"{case.name} threads {value}", params={**case.params, "threads": value})
            else:
                case = make(**{**base, axis: value})
            found.append(replace(case, name=f"over {axis}: {case.name}", suites=("full",), axis=axis))
    return found
