import importlib.util
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

_PATH = Path(__file__).parent / "triton_tools.py"
_SPEC = importlib.util.spec_from_file_location("triton_tools", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
triton_tools = importlib.util.module_from_spec(_SPEC)
sys.modules["triton_tools"] = triton_tools
_SPEC.loader.exec_module(triton_tools)

SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
import torch
from bounds import within
from test_embedding_bag import brute
from headrace.kernels.embedding_bag import EmbeddingTables, embedding_bag

torch.manual_seed(0)
dims = (1, 17, 64)
weights = [torch.randn(6 + t, dim) for t, dim in enumerate(dims)]
counts = torch.randint(0, 5, (3, 5))
offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.flatten().cumsum(0)])
indices = torch.randint(0, 6, (int(offsets[-1]),))
factors = torch.randn(len(indices))
for dtype in ("float32", "bfloat16", "int8"):
    tables = EmbeddingTables(weights, dtype)
    for pooling, factor in (("sum", None), ("mean", None), ("sum", factors)):
        got = embedding_bag(tables, indices, offsets, pooling=pooling, weights=factor, backend="gpu")
        assert within(got, *brute(tables, indices, offsets, pooling, factor))
indices[-1] = 8
try:
    embedding_bag(tables, indices, offsets, backend="gpu")
except ValueError as error:
    assert "indices: expected 0 to 7 in table 2, got 8" in str(error), error
else:
    raise AssertionError
assert embedding_bag(tables, indices[:0], offsets[:1], backend="gpu").shape == (0, 82)
"""


def test_triton_equals_the_reference_in_the_interpreter() -> None:
    triton_tools.interpret(SCRIPT.format(folder=str(_PATH.parent)))


@pytest.mark.parametrize("arch", [80, 90])
@pytest.mark.parametrize(("values", "scaled"), [("*fp32", False), ("*bf16", False), ("*i8", True)])
def test_kernel_compiles_without_spills(arch: int, values: str, scaled: bool) -> None:
    from headrace.kernels.embedding_bag import gpu

    longs = dict.fromkeys(("layout", "indices", "offsets"), "*i64")
    signature = {"values": values, "scales": "*fp32", **longs, "weights": "*fp32", "out": "*fp32", "bad": "*i32"}
    signature |= {"batch": "i32", "width": "i32"}
    constants = {"SCALED": scaled, "WEIGHTED": True, "MEAN": False, "PADDED": 16, "COLUMNS": 64}
    triton_tools.compile_ptx(gpu._pool_kernel, signature, constants, arch, num_warps=1)
