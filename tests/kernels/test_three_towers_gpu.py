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
from towers_oracle import brute, call, network
from headrace.kernels.three_towers import TowersSizes, three_towers

def same(net, arguments):
    logits = three_towers(net.model, **arguments, backend="gpu")
    assert close(logits.numpy(), brute(net, arguments))

same(network(), call(network(), [7, 0, 33, 1]))
plain = network(TowersSizes(17, 16, 9, 33), request=0, dynamic=0, codes=3)
same(plain, call(plain, [16, 1], fields=2))
net = network()
assert three_towers(net.model, **call(net, [0]), backend="gpu").shape == (3, 0)
arguments = call(net, [4, 3])
good = three_towers(net.model, **arguments, backend="gpu")
arguments["item"][1], arguments["codes"][5] = 50, -1
logits = three_towers(net.model, **arguments, backend="gpu")
assert logits[:, [1, 5]].isnan().all()
rest = [0, 2, 3, 4, 6]
assert torch.equal(logits[:, rest], good[:, rest])
"""


def test_interpreted_kernel_equals_the_reference():
    interpret(SCRIPT.format(folder=str(Path(__file__).parent)))


FLOATS = ["base", "start", "user", "item_rows", "code_rows", "dynamic", "dynamic_weight", "upper_weight", "last_weight"]
TOWERS = {
    **dict.fromkeys(FLOATS, "*fp32"),
    **dict.fromkeys(["owner", "item"], "*i64"),
    "codes": "*i32",
    "out": "*fp32",
    **dict.fromkeys(["n", "items", "code_count", "width", "targets", "dim", "upper", "depth"], "i32"),
}


@pytest.mark.parametrize("arch", [80, 90])
def test_kernel_compiles_to_matrix_instructions(arch):
    from headrace.kernels.three_towers import gpu

    blocks = {"FIELDS": 1, "ROWS": gpu.ROWS, "BLOCK_T": 16, "BLOCK_D": 16, "BLOCK_H": 32, "BLOCK_K": 16}
    assert "mma" in compile_ptx(gpu.towers_kernel, TOWERS, blocks, arch)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_the_device():
    import dataclasses

    from network_oracle import close
    from towers_oracle import brute, call, network

    from headrace.kernels.three_towers import TowersSizes, three_towers

    net = network(TowersSizes(8, 16, 64, 32), request=84, dynamic=10, items=1000, codes=24)
    weights = [f.name for f in dataclasses.fields(net.model) if f.name != "sizes"]
    model = dataclasses.replace(net.model, **{name: getattr(net.model, name).cuda() for name in weights})
    arguments = call(net, [1300, 0, 65])
    logits = three_towers(model, **{name: tensor.cuda() for name, tensor in arguments.items()})
    assert close(logits.cpu().numpy(), brute(net, arguments))
