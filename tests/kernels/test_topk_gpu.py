"""top-k in Triton: answers in the interpreter, and what the compiler makes of the kernels."""

from __future__ import annotations

import importlib.util
import re
from itertools import pairwise
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
import warnings
warnings.filterwarnings("ignore", category=RuntimeWarning)  # the interpreter's NumPy tells of 1/0
import numpy as np, torch
from headrace.kernels.topk import METRICS, gpu, topk
from headrace.kernels.topk.packed_gpu import pack

torch.set_num_threads(1)
generator = torch.Generator().manual_seed(0)
SCANS = ("float32", "bfloat16", "int8")

def normal(*shape):
    return torch.randn(*shape, generator=generator)

def found_by(scan, queries, items, k, metric, mask=None):
    if scan == "float32":
        return (*torch.ops.headrace.topk(queries, items, k, metric, mask, "gpu", 0), None)
    packed = pack(items, metric, scan)
    return torch.ops.headrace.topk_packed(queries, items, packed, len(items), k, metric, scan, mask, "gpu", 0)

def same(queries, items, k, metric, mask=None, scans=SCANS, redone=None):
    expected = torch.ops.headrace.topk(queries, items, k, metric, mask, "reference", 0)
    for scan in scans:
        scores, rows, counts = found_by(scan, queries, items, k, metric, mask)
        assert torch.equal(rows, expected[1]), (metric, scan, rows, expected[1])
        assert torch.equal(scores, expected[0]), (metric, scan, scores, expected[0])
        if redone is not None and counts is not None:
            assert int(counts[1]) == redone, (metric, scan, counts)

def bits(allowed):
    short = -allowed.shape[-1] % 64
    wide = np.pad(allowed, [(0, 0)] * (allowed.ndim - 1) + [(0, short)])
    return torch.from_numpy(np.packbits(wide, axis=-1, bitorder="little").view(np.uint64))
"""

#: The scan alone decides, in several runs, of which only the first takes all.
SEVERAL_RUNS = """
gpu.FEW_ROOM = gpu.MANY_ROOM = 128

def refuse(*_):
    raise AssertionError("the scan did not decide")

class Sound(gpu.Run):
    def redo(self, best, chosen):
        assert int(self.redone) == 0, self.states

gpu.Run = Sound
"""


@pytest.mark.parametrize(("metric", "scan"), [("ip", "int8"), ("cosine", "float32"), ("l2", "bfloat16")])
def test_scans_decide(metric: str, scan: str) -> None:
    tools.interpret(
        PRELUDE
        + SEVERAL_RUNS
        + f"""
same(normal(3, 7), normal(97, 7), 100, {metric!r}, scans=[{scan!r}])
same(normal(2, 40), normal(1000, 40), 3, {metric!r}, scans=[{scan!r}])
"""
    )


@pytest.mark.rare
@pytest.mark.parametrize("metric", ["ip", "cosine", "l2"])
def test_scans_decide_at_awkward_sizes(metric: str) -> None:
    tools.interpret(
        PRELUDE
        + SEVERAL_RUNS
        + f"""
same(normal(1, 1), normal(1, 1), 1, {metric!r})
same(normal(3, 7), normal(97, 7), 100, {metric!r})
same(normal(17, 9), normal(300, 9), 1, {metric!r})
same(normal(2, 200), normal(200, 200), 2, {metric!r})
"""
    )


@pytest.mark.rare
def test_masks() -> None:
    tools.interpret(
        PRELUDE
        + SEVERAL_RUNS
        + """
rng = np.random.default_rng(1)
queries, items = normal(3, 8), normal(600, 8)
for masks in (1, 3):
    allowed = np.zeros((masks, 600), dtype=bool)
    allowed[:, 200:590] = rng.random((masks, 390)) < 0.5
    words = bits(allowed if masks > 1 else allowed[0])
    same(queries, items, 2, "ip", words, redone=0)
    same(queries, items, 300, "l2", words.view(torch.int64), scans=("int8",))
same(queries, items, 2, "cosine", torch.zeros(10, dtype=torch.int64), scans=("float32", "bfloat16"))
one = np.zeros(600, dtype=bool)
one[599] = True
same(queries, items, 2, "ip", bits(one))
"""
    )


@pytest.mark.rare
def test_extreme_numbers() -> None:
    tools.interpret(
        PRELUDE
        + """
items = normal(150, 4)
items[7] = 0
items[9] *= 1e-30
queries = torch.cat([normal(1, 4), torch.zeros(1, 4), normal(1, 4) * 1e25])
for metric in METRICS:
    same(queries, items, 10, metric)
same(normal(2, 4) * 1e30, items * 1e15, 5, "ip")
same(normal(2, 4), items * 1e-21, 10, "ip")
items *= torch.logspace(-38, 36, 150).unsqueeze(1)
for metric in METRICS:
    same(normal(2, 4), items, 10, metric)
"""
    )


@pytest.mark.rare
def test_what_does_not_fit_falls_back_on_the_device_and_agrees() -> None:
    tools.interpret(
        PRELUDE
        + """
gpu.FEW_ROOM = gpu.MANY_ROOM = 64
gpu.EXHAUSTED = 32
# The best come last of each part, so that its room is thinned again and again.
rising = torch.arange(450.0).unsqueeze(1) * torch.ones(1, 3)
same(torch.ones(2, 4), torch.ones(450, 4), 5, "ip", scans=("int8",), redone=2)
same(torch.ones(1, 4), torch.ones(450, 4), 5, "cosine", bits(np.arange(450) % 3 == 1), scans=("int8",))
same(-torch.ones(1, 3) * 1e20, rising, 3, "l2", scans=("bfloat16",), redone=1)
same(torch.ones(1, 3) * 1e20, rising, 3, "ip", bits(np.arange(900).reshape(2, 450)[:1] % 2 == 1), scans=("float32",))
gpu.FEW_ROOM = 256
same(torch.cat([normal(1, 4), normal(1, 4) * 1e30]), normal(300, 4), 3, "ip", scans=("bfloat16",), redone=1)
"""
    )


@pytest.mark.rare
def test_parts_agree() -> None:
    tools.interpret(
        PRELUDE
        + """
gpu.MOST_ENTRIES = 600
queries, items = normal(5, 4), normal(200, 4)
same(queries, items, 3, "ip", torch.full((5, 4), 0x5555555555555555), scans=("float32", "int8"))
same(queries, items, 3, "l2", scans=("bfloat16",))
same(queries[:0], items, 3, "ip")
same(queries, items[:0], 3, "ip")
"""
    )


@pytest.mark.rare
def test_values_that_are_not_finite_are_named() -> None:
    tools.interpret(
        PRELUDE
        + """
def refused(scan, queries, items, metric, mask=None):
    try:
        found_by(scan, queries, items, 3, metric, mask)
    except ValueError as error:
        return str(error)
    raise AssertionError("no error")

for scan in SCANS:
    queries, items = normal(3, 4), normal(200, 4)
    queries[1, 2] = torch.inf
    told = refused(scan, queries, items, "ip")
    assert "queries: expected finite values, got NaN or infinity in row 1" in told, told
for metric in METRICS:
    queries, items = normal(3, 4), normal(200, 4)
    items[70, 2] = torch.nan
    told = refused("float32", queries, items, metric)
    assert "items: expected finite values, got NaN or infinity in row 70" in told, told
    same(queries, items, 3, metric, bits(np.arange(200) != 70), scans=("float32",))
"""
    )


@pytest.mark.rare
def test_a_capture_never_waits_for_the_device() -> None:
    """Reading a value, or a shape that depends on values, would end the capture of a CUDA graph."""
    tools.interpret(
        PRELUDE
        + """
from torch.utils._python_dispatch import TorchDispatchMode

class NoWait(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.name()
        assert not any(word in name for word in ("_local_scalar_dense", "nonzero", "masked_select", "unique")), name
        return function(*args, **(kwargs or {}))

gpu.capturing = lambda tensor: True
gpu.FEW_ROOM = gpu.MANY_ROOM = 64
queries, items = normal(3, 4), normal(300, 4)
mask = bits(np.arange(300) % 5 != 1)
huge = queries * torch.tensor([[1.0], [1e30], [1.0]])
for scan in SCANS:
    expected = torch.ops.headrace.topk(huge, items, 3, "ip", mask, "reference", 0)
    packed = None if scan == "float32" else pack(items, "ip", scan)
    broken = torch.cat([huge, torch.full((1, 4), torch.nan)])
    with NoWait():
        if packed is None:
            found = torch.ops.headrace.topk(broken, items, 3, "ip", mask, "gpu", 0)
        else:
            found = torch.ops.headrace.topk_packed(broken, items, packed, len(items), 3, "ip", scan, mask, "gpu", 0)
    assert torch.equal(found[1][:3], expected[1]), scan
    assert torch.equal(found[0][:3], expected[0]), scan
    assert torch.equal(found[1][3], torch.full((3,), -1)), scan
    assert bool(found[0][3].isnan().all()), scan
# An item that is not finite is in no answer.
items[7], items[8, 1] = torch.inf, torch.nan
found = torch.ops.headrace.topk(queries, items, 3, "ip", None, "gpu", 0)
expected = topk(queries, items, 3, "ip", bits((np.arange(300) != 7) & (np.arange(300) != 8)), backend="reference")
assert torch.equal(found[1], expected[1])
"""
    )


def test_packing_bounds_what_it_rounds() -> None:
    import torch

    from headrace.kernels.topk.packed_gpu import pack, views
    from headrace.kernels.topk.scan_gpu import ITEMS

    items = torch.randn(300, 40, generator=torch.Generator().manual_seed(0)) * torch.logspace(-44, 38, 300)[:, None]
    for metric in ("ip", "cosine", "l2"):
        for scan in ("bfloat16", "int8"):
            parts = views(pack(items, metric, scan), 300, 40, metric, scan)
            x = items.double()
            if metric == "cosine":
                length = x.norm(dim=1, keepdim=True)
                x = x / length.where(length > 0, 1.0)
            near = parts.rows[:, :40].double() * (parts.scale.double()[:, None] if scan == "int8" else 1.0)
            tile = torch.arange(300) // ITEMS
            assert bool(((x - near).norm(dim=1) <= parts.spread.double()[tile]).all())
            assert bool((torch.maximum(x.norm(dim=1), near.norm(dim=1)) <= parts.longest.double()[tile]).all())
            assert bool((parts.rows[:, 40:] == 0).all())
            assert bool(parts.spread[:1].isfinite().all())


def test_runs_cover_all_tiles_and_fit_their_room() -> None:
    from headrace.kernels.topk import gpu
    from headrace.kernels.topk.scan_gpu import ITEMS

    for n_queries in (1, 64, 1024):
        for n_items in (1, 127, 4096, 16385, 10_000_000):
            for k in (1, 100, 4096, 100_000):
                room = gpu.room_of(n_queries, n_items, k)
                bounds = gpu.runs_of(n_queries, n_items, k, room)
                assert bounds[0] == 0
                assert bounds[-1] == -(-n_items // ITEMS)
                assert all(first < last for first, last in pairwise(bounds)), bounds
                assert min(bounds[1] * ITEMS, n_items) <= room


SCAN = {
    **dict.fromkeys(("by", "scale", "shift", "spread", "longest", "factors", "limits", "lower", "upper"), "*fp32"),
    **dict.fromkeys(("rows", "n_rows", "counts", "found", "suspect"), "*i32"),
    **dict.fromkeys(("stride", "room", "n_queries", "n_items", "width", "n_tiles", "hop", "first", "last"), "i32"),
    "mask": "*i64",
    "square": "fp32",
}
NUMBERS = {"float32": "*fp32", "bfloat16": "*bf16", "int8": "*i8"}
UNITS = {"float32": "tf32", "bfloat16": "bf16", "int8": "s8"}


@pytest.mark.slow
@pytest.mark.parametrize("arch", [pytest.param(80, marks=pytest.mark.rare), 90])
@pytest.mark.parametrize("scan", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("batch", [1, 64, 1024])
def test_scans_use_matrix_units_and_no_local_memory(arch: int, scan: str, batch: int) -> None:
    from headrace.kernels.topk import gpu, scan_gpu

    names = scan_gpu.scan.arg_names
    for metric, choice, width in (("ip", gpu.ALL, 128), ("l2", gpu.OWN, 128), ("cosine", gpu.LISTED, 768)):
        block, options = gpu.shape_of(scan, batch, width, arch >= 90)
        warps, stages = options.pop("num_warps"), options.pop("num_stages")
        constants = {
            "QUERIES": block,
            "ITEMS": scan_gpu.ITEMS,
            "PACKED": scan != "float32",
            "WHOLE": scan == "int8",
            "L2": metric == "l2",
            "COSINE": metric == "cosine",
            "CHOICE": choice,
            "WIDEN": False,
            **options,
        }
        signature = {**SCAN, **dict.fromkeys(("queries", "items"), NUMBERS[scan])}
        signature = {name: signature[name] for name in names if name in signature}
        whole = {name for name in signature if signature[name].startswith("*") or name in ("width", "room")}
        ptx = tools.compile_ptx(scan_gpu.scan, signature, constants, arch, warps, stages, whole)
        instruction = "wgmma" if arch == 90 and block >= 64 and scan != "float32" else "mma"
        assert re.search(rf"{instruction}\S*{UNITS[scan]}", ptx), (metric, instruction)


def _compiled(kernel: Any, constants: dict[str, Any], arch: int, warps: int, fused: bool = True, **types: str) -> str:
    signature = {
        **dict.fromkeys(("queries", "items", "by", "factors", "limits", "lower", "upper"), "*fp32"),
        **dict.fromkeys(("counts", "states", "found", "rows", "chosen"), "*i32"),
        **dict.fromkeys(("scores", "best"), "*fp64"),
        **dict.fromkeys(("unit", "flush", "least"), "fp32"),
        "mask": "*i64",
        **types,
    }
    names = [name for name in kernel.arg_names if name not in constants]
    return tools.compile_ptx(
        kernel, {name: signature.get(name, "i32") for name in names}, constants, arch, warps, fused=fused
    )


@pytest.mark.slow
@pytest.mark.parametrize("arch", [pytest.param(80, marks=pytest.mark.rare), 90])
@pytest.mark.parametrize("metric", ["ip", "cosine", "l2"])
def test_the_other_kernels_use_no_local_memory(arch: int, metric: str) -> None:
    from headrace.kernels.topk import exact_gpu, gpu, masks_gpu, queries_gpu, select_gpu

    kind = {"L2": metric == "l2", "COSINE": metric == "cosine"}
    for scan in ("bfloat16", "int8"):
        constants = {**kind, "PACKED": True, "WHOLE": scan == "int8", "BLOCK": 128}
        _compiled(queries_gpu.prepare, constants, arch, 4, scanned=NUMBERS[scan])
    for ptx in (
        _compiled(exact_gpu.rescore, {**kind, "ITEMS": gpu.RESCORED}, arch, 4, fused=False),
        _compiled(exact_gpu.exhaust, {**kind, "MASKED": True, "ITEMS": gpu.EXHAUSTED}, arch, 4, fused=False),
    ):
        # Each operation rounds once, as in the reference.
        assert "fma.rn.f64" not in ptx
        assert ("sqrt.rn.f64" in ptx and "div.rn.f64" in ptx) == (metric == "cosine")
    if metric == "ip":
        _compiled(select_gpu.thin, {"BLOCK": gpu.SELECTED}, arch, 8)
        for again in (False, True):
            _compiled(select_gpu.choose, {"AGAIN": again, "BLOCK": gpu.SELECTED}, arch, 8)
        for write in (False, True):
            _compiled(masks_gpu.list_allowed, {"WORDS": masks_gpu.WORDS, "WRITE": write}, arch, 2)
