"""What is measured: cases of an op, and the providers that answer them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from headrace.benchmarks.harness.clock import Timing
from headrace.kernels.work import Work

Kind = Literal["headrace", "reference", "peer"]
Call = Callable[[], Any]


class Wrong(Exception):
    """An answer that must not be timed; the message says what is wrong with it."""


@dataclass(frozen=True)
class Case:
    """One question of an op, the same for every provider.

    params: the numbers that name it. inputs: made once, seeded. check: (inputs, answer) -> how right the answer is, in
    words ("exact", "ids 99.9 %"); raises Wrong when it must not be timed. work: the least that answering takes. axis:
    the parameter whose scaling curve the case belongs to.
    """

    op: str
    name: str
    params: dict[str, int | float | str | bool | None]
    inputs: Callable[[], Any]
    check: Callable[[Any, Any], str]
    work: Work | None = None
    suites: tuple[str, ...] = ("quick", "full")
    axis: str | None = None


def _always(case: Case) -> bool:
    return True


@dataclass(frozen=True)
class Provider:
    """Someone who answers cases.

    prepare: (inputs, case) -> a call without arguments that answers; building indexes and converting inputs happens in
    `prepare`, not in the call. needs: importable modules. serves: False leaves a case out, for the reason `why`.
    device: where it answers; a CUDA provider's call may return before the device is done. measure: (inputs, case, the
    prepared call, its timing) -> further numbers for `Row.metrics`, taken after all were timed.
    """

    name: str
    kind: Kind
    prepare: Callable[[Any, Case], Call]
    needs: tuple[str, ...] = ()
    serves: Callable[[Case], bool] = _always
    why: str = ""
    device: Literal["cpu", "cuda"] = "cpu"
    measure: Callable[[Any, Case, Call, Timing], dict[str, float]] | None = None

    def missing(self) -> list[str]:
        """The modules it needs that are not installed."""
        return [name for name in self.needs if importlib.util.find_spec(name) is None]


@dataclass(frozen=True)
class Bench:
    """The cases of one op and everyone who answers them."""

    op: str
    title: str
    cases: tuple[Case, ...]
    providers: tuple[Provider, ...]
