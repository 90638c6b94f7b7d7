import pytest
import torch

from headrace.features import Field
from headrace.ranking.layers import FieldEmbedding, SplitLinear, attend, gate_dropout, mean_of_sequence


def test_gates_are_masked_renormalised_and_never_all_masked():
    torch.manual_seed(0)
    gates = torch.softmax(torch.randn(20_000, 3).double(), -1)
    out = gate_dropout(gates, 0.1)
    assert torch.allclose(out.sum(-1), torch.ones(20_000).double(), rtol=0, atol=1e-12)
    assert (out == 0).float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert torch.allclose(gate_dropout(gates, 0.999999), gates, rtol=0, atol=1e-12)


def test_target_attention():
    """X = [[1,0],[0,1],[1,1]], q = (2,0): softmax weights of the dot products over sqrt 2."""
    sequence = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]])
    query = torch.tensor([[2.0, 0.0]]) * 2**0.5
    got = attend(sequence, torch.ones(1, 3, dtype=torch.bool), query, None)
    assert torch.allclose(got, torch.tensor([[0.936621, 0.531689]]), atol=1e-6)


@pytest.mark.parametrize("counts", [[3, 0, 2], [0, 0, 0], [1, 1, 1]])
def test_attention_over_ragged_candidates_equals_one_by_one(counts):
    torch.manual_seed(0)
    offsets = torch.tensor([0, *counts]).cumsum(0)
    sequence, present = torch.randn(3, 5, 4).double(), torch.rand(3, 5) < 0.6
    present[1] = False
    query = torch.randn(int(offsets[-1]), 4).double()
    owner = torch.repeat_interleave(torch.arange(3), torch.tensor(counts))
    got = attend(sequence, present, query, offsets)
    assert torch.allclose(got, attend(sequence[owner], present[owner], query, None), rtol=0, atol=1e-12)
    assert bool((got[owner == 1] == 0).all())


def test_mean_of_a_sequence_and_of_none():
    sequence = torch.tensor([[[1.0], [3.0]], [[5.0], [7.0]]])
    present = torch.tensor([[True, True], [False, False]])
    assert mean_of_sequence(sequence, present).tolist() == [[2.0], [0.0]]


def test_split_linear_is_a_linear_layer_over_both():
    layer = SplitLinear(3, 2, 4).double()
    request, candidate = torch.randn(2, 3).double(), torch.randn(5, 2).double()
    owner = torch.tensor([0, 0, 1, 1, 1])
    weight = torch.cat([layer.request.weight, layer.candidate.weight], 1)
    want = torch.cat([request[owner], candidate], 1) @ weight.T + layer.candidate.bias
    assert torch.allclose(layer(request, candidate, owner), want, rtol=0, atol=1e-12)


def test_fields_do_not_share_rows():
    fields = FieldEmbedding([Field("a", 3), Field("b", 2)], 4)
    both = fields(torch.tensor([[2, 1]], dtype=torch.int32))
    assert torch.equal(both[0, 0], fields.table.weight[2])
    assert torch.equal(both[0, 1], fields.table.weight[4])
    assert torch.equal(fields.one(torch.tensor([1]), 1), both[:, 1])
