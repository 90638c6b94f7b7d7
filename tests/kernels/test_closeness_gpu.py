import pytest
import triton_tools

pytest.importorskip("triton")

SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
import torch
from bounds import sum_error, within
from test_closeness import brute
from headrace.kernels.closeness import closeness

torch.manual_seed(0)
for dim, length in ((16, 5), (7, 3), (4, 0)):
    content = torch.nn.functional.normalize(torch.randn(30, dim), dim=1)
    recent = torch.randint(-1, 30, (4, length)).int()
    recent[1:2] = -1
    offsets, item = torch.tensor([0, 70, 75, 75, 80]), torch.randint(0, 30, (80,))
    got = closeness(content, recent, offsets, item, backend="gpu")
    assert within(got, brute(content, recent, offsets, item), sum_error(length + dim + 1, 1))
assert closeness(content, recent[:0], offsets[:1], item[:0], backend="gpu").shape == (0, 2)
"""


def test_triton_equals_the_reference_in_the_interpreter() -> None:
    triton_tools.interpret(SCRIPT.format(folder=str(triton_tools.Path(__file__).parent)))


@pytest.mark.parametrize("arch", [80, 90])
def test_kernel_compiles_without_spills(arch: int) -> None:
    from headrace.kernels.closeness import gpu

    signature = {"content": "*fp32", "recent": "*i32", "offsets": "*i64", "item": "*i64", "out": "*fp32"}
    signature |= {"dim": "i32", "length": "i32", "blocks": "i32"}
    triton_tools.compile_ptx(gpu._closeness_kernel, signature, {"BLOCK": 64, "COLUMNS": 16}, arch)
