import pytest
import torch
from model_worlds import SETS, in_doubles, network_of, values_of

from headrace.models.ple import Extraction


@pytest.mark.parametrize("last", [True, False])
def test_a_level_is_the_mixture_written_out(last):
    torch.manual_seed(0)
    targets, own, shared, units = 2, 2, 3, 4
    level = Extraction(targets, 5, units, own, shared, last).double()
    x = torch.randn(6, targets + 1, 5, dtype=torch.float64)
    common = level.common(x[:, targets]).relu().reshape(6, shared, units)
    out, everyone = [], []
    for t in range(targets):
        mine = (x[:, t] @ level.experts.weight[t] + level.experts.bias[t]).relu().reshape(6, own, units)
        gate = (x[:, t] @ level.gates.weight[t] + level.gates.bias[t]).softmax(1)
        out.append((gate[:, :, None] * torch.cat([mine, common], 1)).sum(1))
        everyone.append(mine)
    if not last:
        gate = level.gate(x[:, targets]).softmax(1)
        out.append((gate[:, :, None] * torch.cat([*everyone, common], 1)).sum(1))
    torch.testing.assert_close(level(x), torch.stack(out, 1), rtol=1e-12, atol=1e-12)


def test_the_network_is_levels_and_heads():
    columns, targets = SETS["all"]
    network = network_of("ple", columns, targets, {"levels": 3, "expert_units": 4})
    rows = values_of(columns, 6, torch.Generator().manual_seed(0))
    want = in_doubles(network, rows)
    model = network.model.double()
    rows = {name: v.double() if v.is_floating_point() else v for name, v in rows.items()}
    x = torch.stack([model.features(rows).joined()] * (targets + 1), 1)
    for level in model.levels:
        x = level(x)
    heads = [(x[:, t] @ model.head_in.weight[t] + model.head_in.bias[t]).relu() for t in range(targets)]
    got = [head @ model.head_out.weight[t] + model.head_out.bias[t] for t, head in enumerate(heads)]
    torch.testing.assert_close(torch.cat(got, 1) + network.prior, want, rtol=1e-12, atol=1e-12)
