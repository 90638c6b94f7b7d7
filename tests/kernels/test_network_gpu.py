import pytest
from triton_tools import compile_ptx

pytest.importorskip("triton")

POINTERS = {
    "code": "*i64",
    **dict.fromkeys(["weights", "item_rows", "code_rows", "request_rows", "inputs"], "*fp32"),
    **{"owner": "*i32", "item": "*i64", "codes": "*i32"},
    **dict.fromkeys(["scratch", "out"], "*fp32"),
}


@pytest.mark.parametrize("sequences", [0, 2])
@pytest.mark.parametrize("arch", [80, 90])
def test_the_kernel_compiles_to_matrix_instructions(arch, sequences):
    from headrace.kernels.network import gpu

    lists = {"entries": ("*fp32",) * sequences, "counts": ("*i32",) * sequences, "longest": ("i32",) * sequences}
    signature = {**POINTERS, **lists, **dict.fromkeys(gpu.SIZES, "i32")}
    sizes = {name: getattr(gpu, name) for name in ("ROWS", "TILE", "BLOCK_O", "BLOCK_K")}
    options = {"num_warps": gpu.WARPS, "num_stages": 1, "registers": gpu.REGISTERS}
    ptx = compile_ptx(
        gpu.stage_kernel, signature, {**sizes, "BLOCK_D": 64 * (sequences > 0)}, arch, whole=POINTERS, **options
    )
    assert "mma" in ptx
