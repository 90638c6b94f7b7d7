"""Where the check runs, and what a module of this package exposes about its op."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

import headrace.benchmarks.gpu
from headrace.benchmarks.harness.case import Bench, Wrong


@dataclass(frozen=True)
class Site:
    """A GPU, or for a dry run the CPU with Triton's interpreter.

    small: use tiny sizes. memory: bytes that one case may fill.
    """

    device: torch.device
    small: bool
    memory: float

    @property
    def where(self) -> Literal["cpu", "cuda"]:
        return "cuda" if self.device.type == "cuda" else "cpu"

    def size(self, real: int, tiny: int) -> int:
        return tiny if self.small else real

    def generator(self, seed: int) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(seed)

    def normal(self, *shape: int, seed: int = 0) -> Tensor:
        return torch.randn(*shape, device=self.device, generator=self.generator(seed))

    def uniform(self, *shape: int, seed: int = 0) -> Tensor:
        return torch.rand(*shape, device=self.device, generator=self.generator(seed))

    def integers(self, low: int, high: int, *shape: int, seed: int = 0) -> Tensor:
        return torch.randint(low, high, shape, device=self.device, generator=self.generator(seed))

    def offsets(self, lengths: Sequence[int] | Tensor) -> Tensor:
        """int64 [n+1]: where lists of these lengths begin and end."""
        counts = torch.as_tensor(lengths, device=self.device)
        return torch.cat([counts.new_zeros(1), counts.cumsum(0)]).long()


def here() -> Site:
    """The GPU in use, with most of its free memory."""
    free, _ = torch.cuda.mem_get_info()
    return Site(torch.device("cuda", torch.cuda.current_device()), False, 0.8 * free)


@dataclass(frozen=True)
class Check:
    """One claim about the answers of an op. run: returns how right they are in words, raises when they are wrong."""

    op: str
    name: str
    run: Callable[[Site], str]


@dataclass(frozen=True)
class Part:
    """Everything asked of one op, or of ops that belong together.

    ops: their names in the registry. weight: the share of the time for benchmarks that it may take, beside the others'.
    """

    ops: tuple[str, ...]
    checks: tuple[Check, ...]
    bench: Callable[[Site], Bench]
    weight: float = 1.0


def parts() -> list[Part]:
    """The PART of every module of this package, by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(headrace.benchmarks.gpu.__path__))
    modules = [importlib.import_module(f"headrace.benchmarks.gpu.{name}") for name in names]
    return [module.PART for module in modules if hasattr(module, "PART")]


def equal(name: str, found: Tensor, expected: Tensor) -> None:
    """Raises Wrong unless both are the same in shape, dtype and every value; NaN equals NaN."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        got, want = (f"{t.dtype} {tuple(t.shape)}" for t in (found, expected))
        raise Wrong(f"{name}: expected {want}, got {got}")
    differ = ~torch.isclose(found, expected, rtol=0, atol=0, equal_nan=found.is_floating_point())
    if bool(differ.any()):
        first = tuple(differ.nonzero()[0].tolist())
        raise Wrong(
            f"{name}: {int(differ.sum())} of {differ.numel()} differ, the first at {first}: "
            f"expected {expected[first].item()}, got {found[first].item()}"
        )


def close(name: str, found: Tensor, expected: Tensor, rtol: float, atol: float) -> None:
    """Raises Wrong unless every value is within the tolerances; NaN equals NaN."""
    try:
        torch.testing.assert_close(found, expected, rtol=rtol, atol=atol, equal_nan=True)
    except AssertionError as error:
        raise Wrong(f"{name}: {' '.join(str(error).split())}") from error


def refused(words: str, call: Callable[[], object]) -> None:
    """Raises Wrong unless the call raises a ValueError that holds these words."""
    try:
        call()
    except ValueError as error:
        if words not in str(error):
            raise Wrong(f"expected an error with {words!r}, got {error}") from error
        return
    raise Wrong(f"expected an error with {words!r}, got an answer")
