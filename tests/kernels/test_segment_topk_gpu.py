import pytest
import triton_tools

pytest.importorskip("triton")

SCRIPT = """
import torch
from headrace.kernels.segment_topk import segment_topk

torch.manual_seed(0)
for values in (3, 10**6):
    offsets = torch.tensor([0, 0, 1, 65, 150, 150])
    score, tie = torch.randint(-values, values, (150,)) / 7.0, torch.randint(0, 20, (150,))
    for k in (1, 20, 1000):
        got, expected = (segment_topk(offsets, score, tie, k, backend=b) for b in ("gpu", "reference"))
        assert torch.equal(got[0], expected[0]) and torch.equal(got[1], expected[1])
assert segment_topk(offsets[:1], score[:0], tie[:0], 3, backend="gpu")[0].shape == (0,)
"""


def test_triton_equals_the_reference_in_the_interpreter() -> None:
    triton_tools.interpret(SCRIPT)


@pytest.mark.parametrize("arch", [80, 90])
def test_kernel_compiles_without_spills(arch: int) -> None:
    from headrace.kernels.segment_topk import gpu

    signature = {**dict.fromkeys(("offsets", "kept"), "*i64"), "score": "*fp32", "tie": "*i64", "index": "*i64"}
    triton_tools.compile_ptx(gpu._rank_kernel, {**signature, "k": "i32"}, {"BLOCK": 32}, arch)
