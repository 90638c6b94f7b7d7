"""The registry of ops: which backends each one has, which can serve a call, and why the others cannot."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from headrace.kernels import spans
from headrace.kernels.layout import Layout
from headrace.kernels.settings import BACKENDS, backend_setting, check_backend, check_call, extension, get_isa
from headrace.kernels.work import Counted

_LIBRARY = torch.library.Library("headrace", "DEF")
OPS: dict[str, Op] = {}


@dataclass(frozen=True)
class Op:
    """One op: a function of the same name in `package`.reference, .native and .gpu.

    Each takes the inputs that `register` lists, and `threads`. A function of that name in `package`.work, where there
    is one, takes the same arguments and gives what the call must do as a `Counted`, for profiles. summary: one line for
    people. isas: the instruction sets with code of their own. no_gpu: where there is no `package`.gpu, the reason.
    """

    name: str
    package: str
    summary: str
    isas: tuple[str, ...]
    no_gpu: str | None = None

    def __post_init__(self) -> None:
        if self.name in OPS:
            raise ValueError(f"op {self.name!r} is registered already")
        OPS[self.name] = self

    def __call__(self, *inputs: Any, backend: str, threads: int) -> Any:
        """`torch.ops.headrace.<name>`. Raises as `check_call`, and as `pick` where it runs."""
        check_call(backend, threads)
        if _dispatcher_looks_on(inputs):
            return getattr(torch.ops.headrace, self.name)(*inputs, backend, threads)
        return self._serve(*inputs, backend, threads)

    def register(self, schema: str, layout: str, fake: Callable[..., Any]) -> None:
        """Makes `torch.ops.headrace.<name>`, which takes the inputs of `schema` and then `str backend, int threads`.

        schema: "(inputs) -> (outputs)", as torch.library writes them; a tensor of the inputs says where to run. layout:
        what their tensors look like, see `Layout`: public calls have asked; others are asked here, before any backend
        but the native one. fake: outputs of the right shapes, from the inputs.
        """
        inputs, outputs = schema.split(") -> ")
        asked = Layout(inputs, layout)

        def dispatched(*given: Any) -> Any:
            *inputs, backend, threads = given
            # Compiled code asks for itself.
            if _chosen(backend, _device_of(inputs)) != "native":
                inputs = asked.checked(inputs)
            return self._serve(*inputs, backend, threads)

        schema = f"{self.name}{inputs}, str backend, int threads) -> {outputs}"
        _LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
        _LIBRARY.impl(self.name, dispatched, "CompositeExplicitAutograd")
        torch.library.register_fake(f"headrace::{self.name}", lambda *given: fake(*given[:-2]), lib=_LIBRARY)

    def _serve(self, *given: Any) -> Any:
        *inputs, backend, threads = given
        return self.pick(backend, _device_of(inputs))(*inputs, threads)

    def reason_off(self, backend: str, device: torch.device) -> str | None:
        """Why `backend` cannot serve tensors on `device`, or None when it can."""
        if backend == "native":
            return _native_reason(device)
        if backend == "gpu":
            return self.no_gpu or _gpu_reason(device)
        return None

    def function(self, backend: str) -> Callable[..., Any]:
        """The op's function in `backend`, imported on first use."""
        return _load(self.package, backend, self.name)

    def pick(self, backend: str, device: torch.device) -> Callable[..., Any]:
        """The function that serves `backend` ("auto": the fastest for the device) on `device`.

        Raises ValueError when the backend is unknown; RuntimeError, with every backend's reason, when it cannot serve.
        """
        backend = _chosen(backend, device)
        if self.reason_off(backend, device) is not None:
            lines = [f"  {name}: {self.reason_off(name, device) or 'can serve'}" for name in BACKENDS]
            raise RuntimeError(
                f"{self.name}: backend {backend!r} cannot serve tensors on {device}:\n" + "\n".join(lines)
            )
        function = _on_device(self.function(backend), device)
        return self._recorded(function, backend, device) if spans.active() else function

    def _recorded(self, function: Callable[..., Any], backend: str, device: torch.device) -> Callable[..., Any]:
        """`function` inside a span that says what its call had to do."""
        # Nothing runs while a CUDA graph is captured, and waiting would end the capture.
        if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
            return function

        def call(*args: Any, **options: Any) -> Any:
            _wait(device)
            with spans.span("kernel", self.name) as span:
                answer = function(*args, **options)
                _wait(device)
            if span is not None:
                count = _load_count(self.package, self.name)
                span.backend = backend
                if count is not None:
                    span.counted = count(*args, **options)
                    span.items_in, span.items_out = span.counted.items_in, span.counted.items_out
            return answer

        return call


def _chosen(backend: str, device: torch.device) -> str:
    check_backend("backend", backend)
    if backend == "auto":
        backend = backend_setting()
    if backend == "auto":
        return "native" if device.type == "cpu" else "gpu"
    return backend


def _device_of(inputs: Iterable[Any]) -> torch.device:
    """That of the first tensor, alone or in a list."""
    for value in inputs:
        for part in value if isinstance(value, list) else (value,):
            if isinstance(part, Tensor):
                return part.device
    raise ValueError("inputs: expected a tensor, got none")


def _dispatcher_looks_on(inputs: Iterable[Any]) -> bool:
    """Whether torch has to see the call: it traces, compiles or profiles, or a tensor is of a class of its own.

    Nobody else misses its dispatcher, which costs about 20 us.
    """
    if torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack() or torch._C._autograd._profiler_enabled():
        return True
    for value in inputs:
        for part in value if isinstance(value, list) else (value,):
            if isinstance(part, Tensor) and type(part) is not Tensor:
                return True
    return False


def _on_device(function: Callable[..., Any], device: torch.device) -> Callable[..., Any]:
    """`function` run with `device` as the current GPU, which is where Triton launches."""
    if device.type != "cuda" or device.index == torch.cuda.current_device():
        return function

    def call(*args: Any, **options: Any) -> Any:
        with torch.cuda.device(device):
            return function(*args, **options)

    return call


def _wait(device: torch.device) -> None:
    # A launch returns at once: without waiting, its time would be charged to whatever waits next.
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@cache
def _load_count(package: str, name: str) -> Callable[..., Counted] | None:
    if importlib.util.find_spec(f"{package}.work") is None:
        return None
    return getattr(importlib.import_module(f"{package}.work"), name, None)


@cache
def _load(package: str, backend: str, name: str) -> Callable[..., Any]:
    return getattr(importlib.import_module(f"{package}.{backend}"), name)  # type: ignore[no-any-return]


def _native_reason(device: torch.device) -> str | None:
    if device.type != "cpu":
        return f"runs on CPU tensors, got {device.type}"
    try:
        extension()
        get_isa()
    except (ImportError, ValueError) as error:
        return str(error)
    return None


def _gpu_reason(device: torch.device) -> str | None:
    if importlib.util.find_spec("triton") is None:
        return 'triton is not installed; pip install "headrace[gpu]"'
    if device.type == "cuda" or os.environ.get("TRITON_INTERPRET") == "1":
        return None
    return f"runs on CUDA tensors (or on any with TRITON_INTERPRET=1), got {device.type}"
