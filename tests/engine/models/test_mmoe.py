import pytest
import torch
from model_worlds import SETS, in_doubles, in_parts, network_of, values_of

from headrace.models import MODELS
from headrace.models.blocks import attend, mean_of_sequence


def test_the_network_is_the_formula_written_out():
    columns, targets = SETS["all"]
    network = network_of("mmoe", columns, targets, {"experts": 2, "expert_units": (5, 4)})
    rows = values_of(columns, 6, torch.Generator().manual_seed(0))
    want = in_doubles(network, rows)
    model, rows, vectors = in_parts(network, rows)
    user, city, item, author, age, clicks = vectors.values()
    present = rows["clicks"] > 0
    mean = mean_of_sequence(clicks, present)
    content = rows["content"] @ model.features.content.weight.T
    statistics = torch.cat([rows["rates"], rows["counts"], rows["crossed"]], 1)
    matched = [(user + mean) * item, attend(clicks, present, item)]
    joint = torch.cat([*matched, user, city, mean, item, author, content, age, statistics], 1)
    first = joint @ model.first.weight.T + model.first.bias
    gates = first[:, :6].reshape(6, 3, 2).softmax(2)
    hidden = first[:, 6:].reshape(6, 2, 5).relu()
    experts = torch.stack([hidden[:, e] @ model.second.weight[e] + model.second.bias[e] for e in range(2)], 1).relu()
    logits = []
    for t in range(targets):
        mixed = sum(gates[:, t, e, None] * experts[:, e] for e in range(2))
        head = (mixed @ model.head_in.weight[t] + model.head_in.bias[t]).relu()
        logits.append((head @ model.head_out.weight[t] + model.head_out.bias[t])[:, 0])
    got = torch.stack(logits, 1) + statistics @ model.wide.weight.T + model.wide.bias + network.prior
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


def test_only_training_masks_experts():
    columns, targets = SETS["all"]
    network = network_of("mmoe", columns, targets, {"expert_dropout": 0.5})
    rows = values_of(columns, 20, torch.Generator().manual_seed(0))
    assert torch.equal(network(rows), network(rows))
    network.train()
    assert not torch.equal(network(rows), network(rows))


def test_settings_are_checked():
    settings = MODELS["mmoe"].Settings
    with pytest.raises(ValueError, match="expert_dropout"):
        settings(expert_dropout=1)
    with pytest.raises(ValueError, match="experts"):
        settings(experts=0)
