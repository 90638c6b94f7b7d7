import pytest
import triton_tools

pytest.importorskip("triton")

SCRIPT = """
import torch
from headrace.kernels.two_hop import Edges, two_hop

torch.manual_seed(0)
def edges(sources, targets, weighted):
    counts = torch.randint(0, 9, (sources,))
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    n = int(offsets[-1])
    lists = [torch.randint(0, 9, (int(c),)).sort(descending=True).values for c in counts]
    weight = torch.randint(1, 9, (n,)).float() if weighted else None
    return Edges(offsets, torch.randint(0, targets, (n,)), weight, None if weighted else torch.cat(lists))

users, now = torch.tensor([3, -1, 0, 6, 6]), torch.tensor([4, 4, 9, 0, -1])
seeds = edges(7, 6, True)
for items in (edges(6, 20, True), edges(6, 20, False)):
    for share in (False, True):
        for k, limit in ((3, None), (100, 2)):
            got, expected = (
                two_hop(users, seeds, items, k, limit=limit, share=share, now=now, backend=b)
                for b in ("gpu", "reference")
            )
            assert all(torch.equal(a, b) for a, b in zip(got, expected)), (share, k)
assert two_hop(users[:0], seeds, items, 3, now=now[:0], backend="gpu")[0].tolist() == [0]
"""


def test_triton_equals_the_reference_in_the_interpreter() -> None:
    triton_tools.interpret(SCRIPT)
