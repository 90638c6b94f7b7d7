"""What is measured: cases of an op, and the providers that answer them."""

from __future__ import annotations

import importlib
import logging
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from headrace.benchmarks.harness.clock import Timing
from headrace.kernels.work import Work

Kind = Literal["headrace", "reference", "peer"]
Call = Callable[[], Any]


class Wrong(Exception):
    """An answer that must not be timed; the message says what is wrong with it."""


class Near(str):
    """Words for an answer that is right in a share of its parts: a peer's in float32 or approximate, never ours.

    Near(0.9987, "of ids") reads "99.87 % of ids".
    """

    share: float

    def __new__(cls, share: float, of: str) -> Near:
        words = super().__new__(cls, f"{math.floor(share * 1e4) / 1e2:.2f} % {of}")
        words.share = share
        return words


@dataclass(frozen=True)
class Case:
    """One question of an op, the same for every provider.

    params: the numbers that name it; "threads", where given, is what everyone gets. inputs: made once, seeded. check:
    (inputs, answer) -> how right the answer is, in words ("exact", Near(0.999, "of ids")); raises Wrong when it must
    not be timed. work: the least that answering takes. axis: the parameter whose scaling curve the case belongs to.
    """

    op: str
    name: str
    params: dict[str, int | float | str | bool | None]
    inputs: Callable[[], Any]
    check: Callable[[Any, Any], str]
    work: Work | None = None
    suites: tuple[str, ...] = ("quick", "full")
    axis: str | None = None

    def threads(self, otherwise: int) -> int:
        """The threads that the case asks for, `otherwise` where it leaves them open."""
        return int(self.params.get("threads") or otherwise)

    def judge(self, kind: Kind, inputs: Any, answer: Any) -> str:
        """`check`, which lets only a peer be near. Raises Wrong."""
        words = self.check(inputs, answer)
        if isinstance(words, Near) and kind != "peer":
            raise Wrong(words)
        return words


def _always(case: Case) -> bool:
    return True


@dataclass(frozen=True)
class Provider:
    """Someone who answers cases.

    prepare: (inputs, case) -> a call without arguments that answers; building indexes and converting inputs happens in
    `prepare`, not in the call. needs: importable modules. serves: False leaves a case out, for the reason `why`.
    device: where it answers; a CUDA provider's call may return before the device is done. measure: (inputs, case, the
    prepared call, its timing) -> further numbers for `Row.metrics`, taken after all were timed. work: the least that it
    takes this way, where that is not the case's.
    """

    name: str
    kind: Kind
    prepare: Callable[[Any, Case], Call]
    needs: tuple[str, ...] = ()
    serves: Callable[[Case], bool] = _always
    why: str = ""
    device: Literal["cpu", "cuda"] = "cpu"
    measure: Callable[[Any, Case, Call, Timing], dict[str, float]] | None = None
    work: Callable[[Case], Work] | None = None

    def missing(self) -> list[str]:
        """The modules it needs that cannot be used here, each with the reason: "faiss: not installed"."""
        return [f"{name}: {reason}" for name in self.needs if (reason := _failure(name))]


@cache
def _failure(module: str) -> str:
    """Why a module cannot be imported; "" when it can. Some are installed and fail to load beside this torch."""
    logging.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module(module)
    except ModuleNotFoundError as error:
        return "not installed" if error.name == module else f"{error}"
    except Exception as error:
        return f"installed, but does not load ({type(error).__name__})"
    finally:
        logging.disable(logging.NOTSET)
    return ""


@dataclass(frozen=True)
class Bench:
    """The cases of one op and everyone who answers them."""

    op: str
    title: str
    cases: tuple[Case, ...]
    providers: tuple[Provider, ...]
