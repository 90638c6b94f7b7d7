import pytest

pytest.importorskip("triton")
import triton_tools

SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
import torch
from dpp_oracle import ragged
from headrace.kernels.diversity import Rules, dpp_picks
from headrace.kernels.diversity import mmr_picks

lengths = [13, 0, 1, 130]
vectors, rewards, offsets = ragged(lengths, 7, 1)
copies = vectors[torch.arange(len(vectors)) // 2 * 2]  # pairs of equal items: picks that add no direction
kinds = torch.randint(-1, 3, (2, sum(lengths)), generator=torch.Generator().manual_seed(2), dtype=torch.int32)
rules = Rules(kinds, torch.tensor([[3, 1, 0], [4, 1, 1]]))
none = Rules(torch.zeros(1, sum(lengths), dtype=torch.int32), torch.tensor([[2, 0, 0]]))
pins = torch.full((4, 7), -1)
pins[0, 2], pins[2, 0], pins[3, 0], pins[3, 6] = 11, 0, 100, 3
cases = ((vectors, None, None, None), (vectors, 3, rules, pins), (copies, 4, None, pins), (copies, 2, none, None))
for rows, window, rule, pinned in cases:
    for pick in (dpp_picks, mmr_picks):
        given = (rows, rewards, offsets, 7, 0.6, window, rule, pinned)
        a, b = (pick(*given, backend=name) for name in ("reference", "gpu"))
        assert pinned is None or (a.picked[pinned >= 0] == pinned[pinned >= 0]).all()
        assert torch.equal(a.picked, b.picked), (pick, window, a.picked, b.picked)
        torch.testing.assert_close(a.gain, b.gain, rtol=1e-5, atol=1e-5)
        if pick is dpp_picks:
            torch.testing.assert_close(a.logdet, b.logdet, rtol=1e-5, atol=1e-5)
        assert torch.equal(a.relaxed, b.relaxed)
        assert torch.equal(a.overruled, b.overruled)
few = vectors[:13].clone()
few[5], few[6] = few[0], few[1]
for scale in (1e15, 3e37):
    for pick in (dpp_picks, mmr_picks):
        given = (few * scale, rewards[:13], offsets[:2], 13, 0.6, None)
        a, b = (pick(*given, backend=name) for name in ("reference", "gpu"))
        assert torch.equal(a.picked, b.picked), (pick, scale, a.picked, b.picked)
        assert a.gain.isfinite().all()
        torch.testing.assert_close(a.gain, b.gain, rtol=1e-4, atol=1e-4)
for pick in (dpp_picks, mmr_picks):
    empty = pick(vectors[:0], rewards[:0], offsets[:1] * torch.ones(3, dtype=torch.int64), 2, backend="gpu")
    assert (empty.picked == -1).all()
    try:
        pick(vectors * float("nan"), rewards, offsets, 2, backend="gpu")
    except ValueError as error:
        assert "vectors: expected finite" in str(error)
    else:
        raise AssertionError
"""


def test_triton_equals_the_reference_in_the_interpreter():
    triton_tools.interpret(SCRIPT.format(folder=str(triton_tools.Path(__file__).parent)))


SHARED = {"vectors": "*fp32", "rewards": "*fp32", "offsets": "*i64", "settings": "*fp64", "kinds": "*i32"}
SHARED |= {
    "limits": "*i64",
    "pinned": "*i64",
    "picked": "*i64",
    "gain": "*fp32",
    "ruled": "*i64",
    "state": "*fp64",
    "columns": "*fp64",
}
SHARED |= {"counts": "*i32", "forbidden": "*i32"}
SHARED |= dict.fromkeys(("items", "width", "k", "held", "rules"), "i32")


def in_order(kernel, signature):
    return {name: signature[name] for name in kernel.arg_names if name in signature}


@pytest.mark.parametrize("arch", [pytest.param(80, marks=pytest.mark.slow), 90])
def test_dpp_compiles_without_spills(arch):
    from headrace.kernels.diversity import gpu

    signature = in_order(gpu.dpp_kernel, {**SHARED, "active": "*i64", "logdet": "*fp32", "window": "i32"})
    triton_tools.compile_ptx(gpu.dpp_kernel, signature, {"BLOCK": gpu.BLOCK, "BLOCK_D": gpu.BLOCK_D}, arch)


@pytest.mark.parametrize("arch", [pytest.param(80, marks=pytest.mark.slow), 90])
@pytest.mark.parametrize("windowed", [False, True])
def test_mmr_compiles_without_spills(arch, windowed):
    from headrace.kernels.diversity import gpu

    constants = {"WINDOWED": windowed, "BLOCK": gpu.BLOCK, "BLOCK_D": gpu.BLOCK_D}
    triton_tools.compile_ptx(gpu.mmr_kernel, in_order(gpu.mmr_kernel, SHARED), constants, arch)
