import pytest
import triton_tools

pytest.importorskip("triton")

SCRIPT = """
import torch
from headrace.kernels.pool_items import pool_items

torch.manual_seed(0)
counts = torch.randint(0, 30, (3, 4))
ends = torch.cat([torch.zeros(1, dtype=torch.int64), counts.flatten().cumsum(0)])
offsets = torch.stack([ends[c * 4 : c * 4 + 5] for c in range(3)])
item = torch.cat([torch.randperm(40)[: int(n)] for n in counts.flatten()])
for score in (None, torch.rand(len(item)).double()):
    for k in (5, 1000):
        got, expected = (
            pool_items(offsets, item, k, score=score, limits=[9, 30, 20], ranks=True, backend=b)
            for b in ("gpu", "reference")
        )
        assert all(torch.equal(a, b) for a, b in zip(got, expected))
assert pool_items(offsets[:, :1] * 0, item[:0], 3, backend="gpu")[1].shape == (0,)
"""


def test_triton_equals_the_reference_in_the_interpreter() -> None:
    triton_tools.interpret(SCRIPT)


@pytest.mark.parametrize("arch", [80, 90])
def test_kernel_compiles_without_spills(arch: int) -> None:
    from headrace.kernels.pool_items import gpu

    signature = {"starts": "*i64", "worth": "*fp64", "lists": "*i64", "total": "*fp32", "bits": "*i64", "groups": "i32"}
    triton_tools.compile_ptx(gpu._sum_kernel, signature, {"BLOCK": 128}, arch)
