import pytest
import triton_tools

pytest.importorskip("triton")

SCRIPT = """
import torch
from headrace.kernels.lookup_pairs import PairTable, lookup_pairs

torch.manual_seed(0)
def table(lists, width, item_code):
    counts = torch.randint(0, 9, (lists,))
    codes = torch.cat([torch.randperm(12)[: int(n)].sort().values for n in counts]).int()
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    return PairTable(offsets, codes, torch.randn(len(codes) + 1, width), item_code)

tables = [table(6, 4, torch.randint(-1, 14, (20,)).int()), table(20, 3, None)]
offsets = torch.tensor([0, 0, 7, 150, 151])
keys, item = torch.randint(-1, 6, (2, 4)), torch.randint(0, 20, (151,))
got, expected = (lookup_pairs(tables, keys, offsets, item, backend=b) for b in ("gpu", "reference"))
assert torch.equal(got, expected)
assert lookup_pairs(tables, keys[:, :0], offsets[:1], item[:0], backend="gpu").shape == (0, 7)
"""


def test_triton_equals_the_reference_in_the_interpreter() -> None:
    triton_tools.interpret(SCRIPT)


@pytest.mark.parametrize("arch", [80, 90])
@pytest.mark.parametrize("by_item", [True, False])
def test_kernel_compiles_without_spills(arch: int, by_item: bool) -> None:
    from headrace.kernels.lookup_pairs import gpu

    signature = {"lists": "*i64", "codes": "*i32", "rows": "*fp32", "item_code": "*i64" if by_item else "*i32"}
    signature |= {**dict.fromkeys(("key", "owner", "item"), "*i64"), "out": "*fp32"}
    signature |= dict.fromkeys(("n", "width", "stride", "steps"), "i32")
    triton_tools.compile_ptx(gpu._lookup_kernel, signature, {"BY_ITEM": by_item, "BLOCK": 128, "COLUMNS": 4}, arch)
