import numpy as np
import pytest
import torch
from torch.testing import assert_close

from headrace.features.columns import Column
from headrace.models.blocks import (
    FieldEmbedding,
    GroupedLinear,
    attend,
    fm,
    gate_dropout,
    mean_of_sequence,
    mix,
    pairs,
    perceptron,
    self_attend,
)

FIELDS = [Column("user", "request", "code", 4), Column("item", "item", "code", 3)]


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_fields_share_a_table():
    embedding = FieldEmbedding(FIELDS, 2)
    table = embedding.table.weight
    codes = [torch.tensor([3, 0]), torch.tensor([2, 1], dtype=torch.int32)]
    expected = torch.stack([torch.stack([table[3], table[4 + 2]]), torch.stack([table[0], table[4 + 1]])])
    assert torch.equal(embedding(codes), expected)
    assert torch.equal(embedding(torch.tensor([[1, 0, 2]]), field="item"), table[torch.tensor([[5, 4, 6]])])
    with pytest.raises(ValueError, match="field: expected one of user, item, got 'author'"):
        embedding(codes[0], field="author")
    with pytest.raises(ValueError, match="fields: expected at least 1 code column, got none"):
        FieldEmbedding([], 2)


@pytest.mark.parametrize("bias", [True, False])
def test_grouped_linear_is_linear_layers_side_by_side(bias):
    layer, x = GroupedLinear(3, 4, 2, bias).double(), random(5, 3, 4)
    for group in range(3):
        expected = x[:, group] @ layer.weight[group]
        if layer.bias is not None:
            torch.nn.init.normal_(layer.bias)
            expected = expected + layer.bias[group]
        assert_close(layer(x)[:, group], expected)


def test_a_perceptron_ends_in_a_relu():
    layers = perceptron(3, (4, 2))
    assert [type(layer).__name__ for layer in layers] == ["Linear", "ReLU", "Linear", "ReLU"]
    assert layers(torch.randn(5, 3)).shape == (5, 2)


def test_the_mean_is_of_what_is_present():
    sequence = torch.tensor([[[1.0, 3.0], [9.0, 9.0]], [[2.0, 0.0], [4.0, 2.0]], [[5.0, 5.0], [6.0, 6.0]]])
    present = torch.tensor([[True, False], [True, True], [False, False]])
    assert mean_of_sequence(sequence, present).tolist() == [[1, 3], [3, 1], [0, 0]]


def test_attention_is_a_softmax_of_products():
    sequence = torch.tensor([[1.0, 0], [0, 1], [1, 1]]).expand(2, 3, 2)
    present = torch.tensor([[True, True, True], [False, False, False]])
    query = torch.tensor([[2.0, 0.0]]).expand(2, 2) * 2**0.5
    assert_close(attend(sequence, present, query), torch.tensor([[0.936621, 0.531689], [0, 0]]), rtol=0, atol=1e-6)


def test_a_gate_mixes_vectors():
    gates = torch.softmax(torch.tensor([[[1.0, 2.0, 3.0]]]), 2)
    mixed = mix(gates, torch.tensor([[[1.0, 0], [0, 1], [2, 2]]]))
    assert_close(gates, torch.tensor([[[0.090031, 0.244728, 0.665241]]]), rtol=0, atol=1e-6)
    assert_close(mixed, torch.tensor([[[1.420512, 1.575210]]]), rtol=0, atol=1e-6)


def test_gate_dropout_masks_that_share_and_keeps_the_sum():
    torch.manual_seed(0)
    gates = torch.softmax(torch.randn(20_000, 4), 1)
    dropped = gate_dropout(gates, 0.1)
    assert_close(dropped.sum(1), torch.ones(20_000))
    # Four standard deviations of a share of 80,000 draws.
    assert abs(float((dropped == 0).float().mean()) - 0.1) < 4 * (0.09 / 80_000) ** 0.5 + 0.1**4
    assert bool((gate_dropout(gates, 0.999).sum(1) > 0.99).all())


def test_fm_is_the_sum_of_all_products():
    x, v = torch.tensor([1.0, 2, 3]), torch.tensor([[1.0, 0], [0, 1], [1, 1]])
    second = float(fm((x[:, None] * v)[None]).sum())
    assert 0.5 + float(x @ torch.tensor([0.1, 0.2, 0.3])) + second == pytest.approx(10.9)
    fields = random(3, 5, 4)
    expected = sum(fields[:, f] * fields[:, g] for f in range(5) for g in range(f + 1, 5))
    assert_close(fm(fields), expected)


@pytest.mark.parametrize("fields", [2, 3, 6])
def test_pairs_are_all_pairs(fields):
    a, b = random(3, fields, 4), random(3, fields, 4, seed=1)
    expected = torch.stack([a[:, f] * b[:, g] for f in range(fields) for g in range(f + 1, fields)], 1)
    assert torch.equal(pairs(a, b), expected)
    assert torch.equal(pairs(a[:, :-1], b), expected)
    assert_close(pairs(a, b, inner=True), expected.sum(2))


@pytest.mark.parametrize("heads", [1, 2])
def test_self_attention_is_softmax_of_products(heads):
    q, k, v = (random(2, 3, 4, seed=seed).numpy() for seed in range(3))
    part = 4 // heads
    for n in range(2):
        for f in range(3):
            for h in range(heads):
                own = slice(h * part, (h + 1) * part)
                weight = np.exp([q[n, f, own] @ k[n, g, own] / part**0.5 for g in range(3)])
                expected = (weight / weight.sum()) @ v[n, :, own]
                got = self_attend(*map(torch.from_numpy, (q, k, v)), heads=heads)[n, f, own]
                assert_close(got, torch.from_numpy(expected))
