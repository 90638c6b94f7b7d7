"""top-k in Triton: answers in the interpreter, and what the compiler makes of the kernels."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("triton")


def _tools() -> Any:
    spec = importlib.util.spec_from_file_location("triton_tools", Path(__file__).with_name("triton_tools.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tools = _tools()

PRELUDE = """
import numpy as np, torch
from headrace.kernels.topk import METRICS, gpu, topk

torch.set_num_threads(1)
generator = torch.Generator().manual_seed(0)

def normal(*shape):
    return torch.randn(*shape, generator=generator)

def same(queries, items, k, metric, mask=None):
    expected = topk(queries, items, k, metric, mask, "reference")
    found = topk(queries, items, k, metric, mask, "gpu")
    assert torch.equal(found[1], expected[1]), (metric, found[1], expected[1])
    assert torch.equal(found[0], expected[0]), (metric, found[0], expected[0])
"""

NO_WAY_OUT = """
def refuse(*_):
    raise AssertionError("the scan did not decide")

gpu.redo = refuse
gpu.SPARE = 64
"""


def test_both_passes_decide() -> None:
    tools.interpret(
        PRELUDE
        + NO_WAY_OUT
        + """
for metric in METRICS:
    for n_queries, n_items, dim, k in [(1, 1, 1, 1), (3, 97, 7, 100), (2, 1000, 33, 20), (17, 300, 9, 4)]:
        same(normal(n_queries, dim), normal(n_items, dim), k, metric)
"""
    )


def test_masks() -> None:
    tools.interpret(
        PRELUDE
        + NO_WAY_OUT
        + """
rng = np.random.default_rng(1)
queries, items = normal(3, 8), normal(600, 8)
for rows in (1, 3):
    allowed = np.zeros((rows, 640), dtype=bool)
    allowed[:, 200:600] = rng.random((rows, 400)) < 0.5
    words = torch.from_numpy(np.packbits(allowed, axis=-1, bitorder="little").view(np.uint64))
    for k in (5, 300):
        same(queries, items, k, "ip", words if rows > 1 else words[0])
"""
    )


def test_ties_extremes_and_parts_fall_back_and_still_agree() -> None:
    tools.interpret(
        PRELUDE
        + """
gpu.SPARE = 16
same(torch.ones(2, 4), torch.ones(400, 4), 5, "ip")
same(normal(2, 4) * 1e30, normal(400, 4) * 1e15, 5, "ip")
items = normal(300, 4)
items[7] = 0
items[9] *= 1e-30
for metric in METRICS:
    same(torch.cat([normal(1, 4), torch.zeros(1, 4)]), items, 10, metric)
same(normal(2, 4), normal(300, 4) * 1e-21, 10, "ip")
gpu.MOST_QUERIES = 2
same(normal(5, 4), items, 3, "ip", torch.full((5, 5), 0x5555555555555555))
"""
    )


def test_values_that_are_not_finite_are_named() -> None:
    tools.interpret(
        PRELUDE
        + """
for name, row in (("queries", 1), ("items", 70)):
    queries, items = normal(3, 4), normal(200, 4)
    (queries if name == "queries" else items)[row, 2] = torch.nan
    for metric in METRICS:
        try:
            topk(queries, items, 3, metric, backend="gpu")
        except ValueError as error:
            assert f"{name}: expected finite values, got NaN or infinity in row {row}" in str(error)
        else:
            raise AssertionError(name)
"""
    )


SCAN = {
    **dict.fromkeys(("queries", "items", "scale", "shift", "limits", "best"), "*fp32"),
    **dict.fromkeys(("counts", "found"), "*i32"),
    **dict.fromkeys(("stride", "room", "n_queries", "n_items", "dim", "n_groups"), "i32"),
    "mask": "*i64",
}
RESCORE = {
    **dict.fromkeys(("queries", "items"), "*fp32"),
    **dict.fromkeys(("sums", "squares"), "*fp64"),
    "found": "*i32",
    **dict.fromkeys(("room", "dim"), "i32"),
}


@pytest.mark.slow
@pytest.mark.parametrize("arch", [80, 90])
@pytest.mark.parametrize("queries", [16, 64])
def test_scans_use_matrix_units_and_no_local_memory(arch: int, queries: int) -> None:
    from headrace.kernels.topk import gpu

    for kernel, extra in ((gpu.best_of_groups, {"GROUP": 64}), (gpu.collect, {})):
        for masked in (False, True):
            constants = {"QUERIES": queries, "ITEMS": gpu.TILE_ITEMS, "STEP": gpu.STEP, "MASKED": masked, **extra}
            signature = {name: SCAN[name] for name in kernel.arg_names if name in SCAN}
            ptx = tools.compile_ptx(kernel, signature, constants, arch, num_warps=8)
            assert "mma" in ptx
            assert "tf32" in ptx


@pytest.mark.slow
@pytest.mark.parametrize("arch", [80, 90])
def test_the_rescore_uses_no_local_memory(arch: int) -> None:
    from headrace.kernels.topk import gpu

    for l2, cosine in ((True, False), (False, True)):
        signature = {name: RESCORE[name] for name in gpu.rescore.arg_names if name in RESCORE}
        tools.compile_ptx(gpu.rescore, signature, {"L2": l2, "COSINE": cosine, "ITEMS": 32}, arch)
