import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from triton_tools import compile_ptx, interpret

pytest.importorskip("triton")

START = """
import sys
sys.path.insert(0, {folder!r})
import torch
from network_oracle import close
from program_draw import call, draw
from program_oracle import brute
from headrace.kernels import network
from headrace.kernels.network import instructions as ins

def check(program, arguments):
    logits = network(program, **arguments, backend="gpu")
    assert logits.dtype == torch.float32
    assert close(logits.numpy(), brute(program, arguments)), program
"""

SCRIPTS = {
    "every instruction": """
for seed, kind in enumerate(ins.INSTRUCTIONS):
    program = draw(seed, (kind,), steps=3)
    check(program, call(program, [5, 0, 30, 1]))
""",
    "random programs": """
for seed in range(6):
    program = draw(100 + seed, fields=seed % 4)
    check(program, call(program, [[5, 0, 1, 18], [], [0, 0], [1], [33], [0, 2, 97, 0]][seed], seed=seed))
""",
    "no sequences": """
program = draw(3, (ins.Attend, ins.Mean))
check(program, call(program, [5, 3], longest=0))
arguments = call(program, [5, 3])
for _, counts in arguments["sequences"]:
    counts[:] = 0
check(program, arguments)
""",
    "bfloat16": """
import dataclasses
from test_network_bfloat16 import KINDS, layers
for program in (layers(40, 33, 3), layers(16, 17), layers(37, 20, parts=3)):
    check(program, call(program, [3, 0, 34]))
for seed in range(3):
    program = dataclasses.replace(draw(400 + seed, KINDS, steps=5), precision="bfloat16")
    check(program, call(program, [4, 0, 30]))
""",
    "out of range": """
program = draw(5, steps=3)
arguments = call(program, [4, 3])
good = network(program, **arguments, backend="gpu")
arguments["item"][1], arguments["item"][3], arguments["codes"][5, 1] = 50, -1, 9
arguments["sequences"][0][1][1] = 1000
logits = network(program, **arguments, backend="gpu")
assert logits[[1, 3, 5]].isnan().all()
assert torch.equal(logits[[0, 2]], good[[0, 2]])
arguments = call(program, [4, 3])
arguments["request"][0] = torch.nan
logits = network(program, **arguments, backend="gpu")
assert torch.equal(logits[4:], good[4:])
""",
}


#: Many programs of what each instruction shows by itself too.
LONG = "random programs"


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.rare] * (name == LONG)) for name in SCRIPTS])
def test_interpreted(name):
    interpret(START.format(folder=str(Path(__file__).parent)) + SCRIPTS[name])


POINTERS = {
    "code": "*i64",
    **dict.fromkeys(["weights", "item_rows", "code_rows", "request_rows", "inputs"], "*fp32"),
    **{"owner": "*i32", "item": "*i64", "codes": "*i32"},
    **dict.fromkeys(["scratch", "out"], "*fp32"),
}


@pytest.mark.parametrize("sequences", [0, 2])
@pytest.mark.parametrize("arch", [80, 90])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_the_kernel_compiles_to_matrix_instructions(arch, sequences, bfloat16):
    from headrace.kernels.network import gpu

    lists = {"entries": ("*fp32",) * sequences, "counts": ("*i32",) * sequences, "longest": ("i32",) * sequences}
    signature = {**POINTERS, **lists, **dict.fromkeys(gpu.SIZES, "i32")}
    sizes = {name: getattr(gpu, name) for name in ("ROWS", "TILE", "BLOCK_O", "BLOCK_K")}
    options = {"num_warps": gpu.WARPS, "num_stages": 1, "registers": gpu.REGISTERS}
    sizes |= {"BLOCK_D": 32 if sequences else 0, "BFLOAT16": bfloat16}
    ptx = compile_ptx(gpu.stage_kernel, signature, sizes, arch, whole=POINTERS, **options)
    assert "mma" in ptx


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("seed", range(8))
def test_on_the_device(seed):
    from program_draw import call, draw
    from program_oracle import brute

    from headrace.kernels import network

    program = draw(seed)
    arguments = call(program, [5, 0, 90])
    want = brute(program, arguments)
    on_device = moved(arguments)
    names = ("weights", "item_rows", "code_rows")
    program = dataclasses.replace(program, **{name: getattr(program, name).cuda() for name in names})
    logits = network(program, **on_device).cpu().double().numpy()
    # Of what the bounds count as one rounding, a product in three TF32 parts or an exponential takes at most 16.
    assert (np.abs(logits - want.value) <= 16 * want.error).all()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = network(program, **on_device)
    graph.replay()
    assert np.array_equal(captured.cpu().numpy(), logits)


def moved(arguments):
    tensors = {name: tensor.cuda() for name, tensor in arguments.items() if name != "sequences"}
    return {**tensors, "sequences": [(entries.cuda(), counts.cuda()) for entries, counts in arguments["sequences"]]}
