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
import torch
from headrace.kernels.bloom import bloom_contains, bloom_contains_lists, bloom_insert

torch.manual_seed(0)
for layout in ("block", "classic"):
    for n, hashes in ((1, 8), (97, 3), (300, 7)):
        rows, keys = torch.randint(-1, 5, (n,)), torch.randint(-(2**62), 2**62, (n,))
        banks = [torch.zeros(5, 12, dtype=torch.uint64) for _ in range(2)]
        for bits, backend in zip(banks, ("reference", "gpu")):
            bloom_insert(bits, rows, keys, hashes, layout=layout, backend=backend)
        assert torch.equal(banks[0].view(torch.int64), banks[1].view(torch.int64)), (layout, n)
        probe = torch.cat([keys[: n // 2], keys[n // 2 :] + 1])
        for at in (rows, torch.stack([rows.roll(1), rows, torch.full_like(rows, -1)], 1)):
            seen = [bloom_contains(banks[0], at, probe, hashes, layout=layout, backend=b) for b in ("reference", "gpu")]
            assert torch.equal(*seen), (layout, n)
rows = [torch.randint(-1, 5, (3, 2), dtype=torch.int32) for _ in banks]
lists = (banks, rows, [7, 7], torch.tensor([0, 40, 40, 300]), probe)
seen = [bloom_contains_lists(*lists, layout="classic", backend=b) for b in ("reference", "gpu")]
assert torch.equal(*seen) and bool(seen[0].any()) and not bool(seen[0].all())
try:
    bloom_insert(banks[0], torch.tensor([5]), torch.tensor([5]), 7, backend="gpu")
except ValueError as error:
    assert "rows: expected -1 to 4, got 5" in str(error)
else:
    raise AssertionError
"""


def test_triton_equals_the_reference_in_the_interpreter() -> None:
    triton_tools.interpret(SCRIPT)


@pytest.mark.parametrize("arch", [80, 90])
@pytest.mark.parametrize("classic", [False, True])
def test_kernels_compile_without_spills(arch: int, classic: bool) -> None:
    from headrace.kernels.bloom import gpu

    sizes = dict.fromkeys(("n", "filters", "words", "hashes"), "i32")
    pointers = {"bits": "*i32", "rows": "*i64", "keys": "*i64"}
    constants = {"CLASSIC": classic, "BLOCK": 256}
    ptx = triton_tools.compile_ptx(gpu._insert_kernel, {**pointers, **sizes}, constants, arch)
    assert ".or.b32" in ptx
    signature = {**pointers, "seen": "*i8", **sizes, "fan": "i32"}
    triton_tools.compile_ptx(gpu._contains_kernel, signature, constants, arch)
