from pathlib import Path

import pytest
import torch
from triton_tools import compile_ptx, interpret

pytest.importorskip("triton")

SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
import torch
from beam_oracle import random_model, table_model
from headrace.kernels.beam_search import beam_search

def same(model, user, beam):
    paths, logp = beam_search(user, model, beam, backend="gpu")
    expected = beam_search(user, model, beam, backend="reference")
    assert torch.equal(paths, expected[0]), (paths, expected[0])
    torch.testing.assert_close(logp, expected[1], rtol=2**-23, atol=1e-12)

torch.manual_seed(0)
for depth, nodes, user_dim, embed_dim, hidden, beam in {cases}:
    same(random_model(depth, nodes, user_dim, embed_dim, hidden, scale=2.0), torch.randn(3, user_dim), beam)
same(table_model([0.0] * 7, [[0.0] * 7] * 7), torch.zeros(17, 1), 9)

model = random_model(2, 5, 3, 2, 4)
assert beam_search(torch.zeros(0, 3), model, 4, backend="gpu")[0].shape == (0, 4, 2)
user = torch.randn(3, 3)
good = beam_search(user, model, 4, backend="gpu")
user[1, 0] = torch.nan
paths, logp = beam_search(user, model, 4, backend="gpu")
assert (paths[1] == -1).all() and logp[1].isnan().all()
assert torch.equal(paths[[0, 2]], good[0][[0, 2]]) and torch.equal(logp[[0, 2]], good[1][[0, 2]])
"""
CASES = [(1, 1, 1, 1, 1, 3), (1, 33, 7, 1, 9, 40), (2, 65, 33, 3, 33, 17), (3, 7, 15, 4, 17, 16), (4, 3, 2, 1, 8, 100)]


def test_interpreted_kernels_equal_the_reference():
    interpret(SCRIPT.format(folder=str(Path(__file__).parent), cases=CASES))


SCORE = {
    **dict.fromkeys(["base", "tables", "weight", "bias", "logp", "scores"], "*fp64"),
    "codes": "*i64",
    **dict.fromkeys(["n", "nodes", "hidden"], "i32"),
}
PROJECT = {
    "user": "*fp32",
    **dict.fromkeys(["weight", "bias", "out"], "*fp64"),
    **dict.fromkeys(["batch", "user_dim", "hidden"], "i32"),
}


@pytest.mark.parametrize("arch", [80, 90])
@pytest.mark.parametrize("layer", [0, 2, 5])
def test_score_kernel_compiles_to_matrix_instructions(arch, layer):
    from headrace.kernels.beam_search import gpu

    blocks = {"ROWS": gpu.ROWS, "BLOCK_K": gpu.BLOCK_K, "BLOCK_H": gpu.BLOCK_H}
    ptx = compile_ptx(gpu.score_kernel, SCORE, {"LAYER": layer, **blocks}, arch)
    assert "mma.sync" in ptx
    assert ".f64" in ptx


@pytest.mark.parametrize("arch", [80, 90])
def test_project_kernel_compiles_to_matrix_instructions(arch):
    from headrace.kernels.beam_search import gpu

    blocks = {"ROWS": gpu.ROWS, "BLOCK_H": gpu.BLOCK_H, "BLOCK_U": gpu.BLOCK_U}
    assert "mma.sync" in compile_ptx(gpu.project_kernel, PROJECT, blocks, arch)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_the_device():
    from beam_oracle import random_model

    from headrace.kernels.beam_search import PathModel, beam_search

    model = random_model(3, 100, 64, 32, 128)
    embeddings, *stacked = (w.cuda() for w in model.weights)
    hidden_bias, output_weight, output_bias, *hidden_weight = stacked
    on_device = PathModel(embeddings, hidden_weight, list(hidden_bias), list(output_weight), list(output_bias))
    user = torch.randn(65, 64)
    paths, logp = beam_search(user.cuda(), on_device, 50)
    expected = beam_search(user, model, 50, backend="native")
    assert torch.equal(paths.cpu(), expected[0])
    torch.testing.assert_close(logp.cpu(), expected[1], rtol=2**-23, atol=1e-12)
