import torch
from model_worlds import SETS, in_doubles, network_of, values_of

from headrace.kernels.network import instructions as ins
from headrace.models.lower import lower


def test_gates_of_nothing_change_nothing():
    columns, targets = SETS["all"]
    network = network_of("ppnet", columns, targets)
    for gate in network.model.gates:
        torch.nn.init.zeros_(gate[1].weight)
        torch.nn.init.zeros_(gate[1].bias)
    rows = values_of(columns, 6, torch.Generator().manual_seed(0))
    want = in_doubles(network, rows)
    model = network.model.double()
    x = model.features({k: v.double() if v.is_floating_point() else v for k, v in rows.items()}).joined("item", "pair")
    for layer in model.layers:
        x = layer(x).relu()
    torch.testing.assert_close(model.out(x) + network.prior, want, rtol=1e-12, atol=1e-12)


def test_a_gate_on_paper():
    columns, targets = SETS["all"]
    model = network_of("ppnet", columns, targets, {"units": (4,)}).model
    torch.nn.init.zeros_(model.gates[0][1].weight)
    torch.nn.init.ones_(model.gates[0][1].bias)
    torch.nn.init.zeros_(model.out.bias)
    rows = values_of(columns, 6, torch.Generator().manual_seed(0))
    scaled = model(rows)
    torch.nn.init.zeros_(model.gates[0][1].bias)
    torch.testing.assert_close(scaled, model(rows) * 1.462117, rtol=2e-6, atol=1e-6)


def test_gates_run_once_for_each_request():
    columns, targets = SETS["all"]
    lowered = lower(network_of("ppnet", columns, targets), columns)
    assert not [step for step in lowered.pair.code if isinstance(step, ins.Unary)]
    assert len([step for step in lowered.request.code if isinstance(step, ins.Unary)]) == 4
    assert lowered.request.width == 64 + 32
