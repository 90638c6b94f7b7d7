import pytest
import torch
from model_worlds import SETS, in_doubles, network_of, values_of

from headrace.models import MODELS
from headrace.models.blocks import Cross


def test_cross_layers_on_paper():
    layer = Cross(2, rank=0, experts=1)
    with torch.no_grad():
        layer.full.weight.copy_(torch.tensor([[1.0, 0], [1, 1]]))
        layer.full.bias.copy_(torch.tensor([0.0, 1]))
    start = torch.tensor([[1.0, 2.0]])
    once = layer(start, start)
    assert once.tolist() == [[2, 10]]
    assert layer(start, once).tolist() == [[4, 36]]


def test_a_low_rank_layer_is_the_mixture_written_out():
    torch.manual_seed(0)
    layer = Cross(5, rank=2, experts=3).double()
    start, x = torch.randn(2, 4, 5, dtype=torch.float64)
    gates = layer.gate(x).softmax(1)
    total = torch.zeros_like(x)
    for e in range(3):
        low = torch.tanh(x @ layer.down.weight[2 * e : 2 * e + 2].T)
        low = torch.tanh(low @ layer.middle.weight[e])
        total += gates[:, e, None] * (start * (low @ layer.up.weight[:, 2 * e : 2 * e + 2].T + layer.up.bias))
    torch.testing.assert_close(layer(start, x), total + x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("layers", [1, 3])
def test_the_network_is_the_formula_written_out(layers):
    columns, targets = SETS["codes alone"]
    network = network_of("dcn_v2", columns, targets, {"layers": layers})
    rows = values_of(columns, 6, torch.Generator().manual_seed(0))
    want = in_doubles(network, rows)
    model = network.model.double()
    start = x = model.features(rows).joined()
    for cross in model.crosses:
        x = start * (x @ cross.full.weight.T + cross.full.bias) + x
    got = torch.cat([x, model.deep(start)], 1) @ model.out.weight.T + model.out.bias + network.prior
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="layers"):
        MODELS["dcn_v2"].Settings(layers=0)
    with pytest.raises(ValueError, match="units"):
        MODELS["dcn_v2"].Settings(units=())
