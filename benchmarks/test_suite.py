"""The quick suite under pytest-benchmark: `pytest benchmarks/ -k "topk and B64"`; --benchmark-disable only checks."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from headrace.benchmarks.harness.case import Case, Provider
from headrace.benchmarks.harness.keep import forget, keep
from headrace.benchmarks.harness.runner import benches
from headrace.benchmarks.harness.threads import cores, pin
from headrace.kernels import settings

CASES = {
    (case.op, case.name): (case, bench.providers)
    for bench in benches()
    for case in bench.cases
    if "quick" in case.suites and case.threads(0) <= cores()
}
ASKED = [
    pytest.param(case, provider, id=f"{case.op} {case.name} {provider.name}".replace(" ", "-"))
    for case, providers in CASES.values()
    for provider in providers
    if provider.device == "cpu" and provider.serves(case)
]


@keep()
def inputs_of(op: str, name: str) -> Any:
    """Of the case under test; its providers follow one another."""
    return CASES[op, name][0].inputs()


@pytest.fixture(scope="module", autouse=True)
def same_threads_afterwards() -> Any:
    before = settings.get_threads()
    yield
    forget()
    pin(before)


@pytest.mark.parametrize(("case", "provider"), ASKED)
def test_case(benchmark: Any, case: Case, provider: Provider) -> None:
    if missing := provider.missing():
        pytest.skip("; ".join(missing))
    inputs = inputs_of(case.op, case.name)
    with warnings.catch_warnings():
        if provider.kind == "peer":
            warnings.simplefilter("ignore")  # a peer's own, which its users see too
        pin(case.threads(0))
        call = provider.prepare(inputs, case)
        pin(case.threads(0))  # libraries that `prepare` loaded
        checked = case.judge(provider.kind, inputs, call())
        benchmark.group = f"{case.op} {case.name}"
        benchmark.extra_info.update(case.params, provider=provider.name, checked=checked)
        benchmark.extra_info.update(threads=settings.get_threads(), isa=settings.get_isa())
        benchmark(call)
