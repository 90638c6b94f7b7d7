"""Choosing backends: what serves, what an explicit choice that cannot be served says, and what variables do."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from headrace import kernels
from headrace.kernels import settings
from headrace.kernels.registry import OPS

CPU = torch.device("cpu")


def python(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs `code` in a fresh interpreter with these environment variables."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **variables}, check=False
    )


@pytest.mark.parametrize("name", sorted(OPS))
def test_every_op_has_its_backends(name: str) -> None:
    op = OPS[name]
    assert op.summary
    assert op.pick("auto", CPU) is op.function("native")
    assert callable(op.function("reference"))
    assert hasattr(torch.ops.headrace, name)


def test_an_explicit_backend_that_cannot_serve_lists_every_reason() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)backend 'gpu' cannot serve.*reference: can serve.*gpu: "):
        kernels.topk(torch.zeros(1, 4), torch.zeros(2, 4), 1, backend="gpu")


def test_an_unknown_backend_is_an_error() -> None:
    with pytest.raises(ValueError, match="backend: expected auto, reference, native, gpu, got 'fast'"):
        kernels.topk(torch.zeros(1, 4), torch.zeros(2, 4), 1, backend="fast")


def test_the_backend_variable_applies_where_the_call_says_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_BACKEND", "reference")
    assert OPS["topk"].pick("auto", CPU) is OPS["topk"].function("reference")
    assert OPS["topk"].pick("native", CPU) is OPS["topk"].function("native")
    monkeypatch.setenv("HEADRACE_BACKEND", "bogus")
    with pytest.raises(ValueError, match="HEADRACE_BACKEND: expected auto, reference, native, gpu, got 'bogus'"):
        OPS["topk"].pick("auto", CPU)


def test_the_isa_is_the_one_that_the_machine_has() -> None:
    with open("/proc/cpuinfo") as file:
        flags = next((line for line in file if line.startswith("flags")), "").split()
    assert ("avx2" in settings.usable_isas()) == ({"avx2", "fma", "f16c", "bmi2"} <= set(flags))
    wide = {"avx512f", "avx512bw", "avx512dq", "avx512vl"}
    assert ("avx512" in settings.usable_isas()) == (wide <= set(flags))
    assert settings.usable_isas()[0] == "scalar"


@pytest.mark.parametrize("level", settings.ISA_LEVELS)
def test_the_isa_variable_takes_effect_or_is_refused(level: str) -> None:
    """The one place that says which levels the tests of this machine leave out: all others ask for usable ones."""
    run = python("from headrace.kernels import settings; print(settings.get_isa())", HEADRACE_ISA=level)
    if level not in settings.usable_isas():
        assert f"HEADRACE_ISA: this machine cannot run {level}" in run.stderr
        pytest.skip(f"this machine cannot run {level}")
    assert run.stdout.strip() == level, run.stderr


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("HEADRACE_ISA", "bogus", "HEADRACE_ISA: expected scalar, avx2, avx512 or amx, got 'bogus'"),
        ("HEADRACE_THREADS", "many", "HEADRACE_THREADS: expected 1 to 1024, got 'many'"),
        ("HEADRACE_THREADS", "0", "HEADRACE_THREADS: expected 1 to 1024, got '0'"),
    ],
)
def test_a_bad_variable_is_an_error(variable: str, value: str, words: str) -> None:
    run = python(
        "import torch; from headrace import kernels; kernels.topk(torch.zeros(1, 4), torch.zeros(2, 4), 1)",
        **{variable: value},
    )
    assert run.returncode != 0
    assert words in run.stderr


def test_the_threads_variable_takes_effect() -> None:
    run = python("from headrace.kernels import settings; print(settings.get_threads())", HEADRACE_THREADS="3")
    assert run.stdout.strip() == "3", run.stderr


def test_an_isa_that_is_not_usable_is_refused() -> None:
    with pytest.raises(ValueError, match="level: expected one of"), settings.isa("neon"):
        pass
    missing = [level for level in settings.ISA_LEVELS if level not in settings.usable_isas()]
    if missing:
        with pytest.raises(ValueError, match=f"this machine cannot run {missing[-1]}"):
            settings.set_isa(missing[-1])


def test_isa_goes_back_after_the_block() -> None:
    before = settings.get_isa()
    with settings.isa("scalar"):
        assert settings.get_isa() == "scalar"
    assert settings.get_isa() == before


def test_without_the_extension_native_says_how_to_build_it() -> None:
    code = (
        "import sys; sys.modules['headrace._C'] = None\n"
        "import torch; from headrace.kernels.registry import OPS; import headrace.kernels\n"
        "print(OPS['topk'].reason_off('native', torch.device('cpu')))"
    )
    assert "is not built" in python(code).stdout
