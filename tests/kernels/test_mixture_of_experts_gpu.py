from pathlib import Path

import pytest
import torch
from triton_tools import compile_ptx, interpret

pytest.importorskip("triton")

SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
import torch
from network_oracle import close
from mixture_oracle import brute, call, network
from headrace.kernels.mixture_of_experts import MixtureSizes, mixture_of_experts

def same(net, arguments):
    logits = mixture_of_experts(net.model, **arguments, backend="gpu")
    assert close(logits.numpy(), brute(net, arguments))

same(network(), call(network(), [7, 0, 33, 1, 2, 3]))
plain = network(MixtureSizes(4, 3, 17, 16, 7, 5, False), request=0, dynamic=0, codes=3)
same(plain, call(plain, [16, 1], fields=2, longest=0))
net = network()
assert mixture_of_experts(net.model, **call(net, [0]), backend="gpu").shape == (3, 0)
arguments = call(net, [4, 3])
good = mixture_of_experts(net.model, **arguments, backend="gpu")
arguments["item"][1], arguments["codes"][5] = 50, -1
logits = mixture_of_experts(net.model, **arguments, backend="gpu")
assert logits[:, [1, 5]].isnan().all()
rest = [0, 2, 3, 4, 6]
assert torch.equal(logits[:, rest], good[:, rest])
"""


def test_interpreted_kernels_equal_the_reference():
    interpret(SCRIPT.format(folder=str(Path(__file__).parent)))


FIRST = {
    **dict.fromkeys(["base", "item_rows", "code_rows", "inputs", "weight"], "*fp32"),
    **dict.fromkeys(["owner", "item"], "*i64"),
    "codes": "*i32",
}
NUMBERS = dict.fromkeys(["n", "items", "code_count", "width"], "i32")
EXPERTS = {
    **FIRST,
    **dict.fromkeys(["expert_weight", "expert_bias", "vectors"], "*fp32"),
    **NUMBERS,
    **dict.fromkeys(["start", "hidden", "units", "depth"], "i32"),
}
HEADS = {
    **FIRST,
    **dict.fromkeys(["vectors", "head_weight", "head_bias", "out_weight", "out_bias", "out"], "*fp32"),
    **NUMBERS,
    **dict.fromkeys(["targets", "experts", "units", "head_units", "depth"], "i32"),
}
ATTEND = {
    **dict.fromkeys(["query", "behaviours"], "*fp32"),
    "counts": "*i32",
    "owner": "*i64",
    "out": "*fp32",
    **dict.fromkeys(["n", "longest", "dim"], "i32"),
    "scale": "fp32",
}


@pytest.mark.parametrize("arch", [80, 90])
def test_kernels_compile_to_matrix_instructions(arch):
    from headrace.kernels.mixture_of_experts import gpu

    shared = {"FIELDS": 1, "ROWS": gpu.ROWS, "BLOCK_K": 32, "BLOCK_U": 32}
    assert "mma" in compile_ptx(gpu.experts_kernel, EXPERTS, {"BLOCK_H": 64, **shared}, arch)
    assert "mma" in compile_ptx(gpu.heads_kernel, HEADS, {"BLOCK_E": 16, "BLOCK_H": 16, **shared}, arch)
    compile_ptx(gpu.attend_kernel, ATTEND, {"ROWS": gpu.ROWS, "BLOCK_D": 16}, arch)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_the_device():
    import dataclasses

    from mixture_oracle import brute, call, network
    from network_oracle import close

    from headrace.kernels.mixture_of_experts import MixtureSizes, mixture_of_experts

    net = network(MixtureSizes(9, 3, 64, 32, 16, 8, True), request=84, dynamic=10, items=1000, codes=24)
    weights = [f.name for f in dataclasses.fields(net.model) if f.name != "sizes"]
    model = dataclasses.replace(net.model, **{name: getattr(net.model, name).cuda() for name in weights})
    arguments = call(net, [500, 0, 65], longest=20)
    logits = mixture_of_experts(model, **{name: tensor.cuda() for name, tensor in arguments.items()})
    assert close(logits.cpu().numpy(), brute(net, arguments))
