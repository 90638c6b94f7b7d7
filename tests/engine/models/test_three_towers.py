import torch
from model_worlds import SETS, in_doubles, in_parts, network_of, values_of, world

from headrace.kernels.network import instructions as ins
from headrace.models.lower import lower


def test_the_network_is_the_formula_written_out():
    columns, targets = SETS["all"]
    network = network_of("three_towers", columns, targets)
    rows = values_of(columns, 6, torch.Generator().manual_seed(0))
    want = in_doubles(network, rows)
    model, rows, vectors = in_parts(network, rows)
    user, city, item, author, age, clicks = vectors.values()
    clicks = clicks * (rows["clicks"] > 0)[:, :, None]
    mean = clicks.sum(1) / (rows["clicks"] > 0).sum(1).clamp_min(1)[:, None]
    u = model.request(torch.cat([user, city, mean, rows["rates"]], 1))
    v = model.item(torch.cat([item, author, rows["content"]], 1))
    c = model.cross(torch.cat([age, rows["counts"], rows["crossed"]], 1))
    upper = (torch.cat([u, v, c, u * v], 1) @ model.upper.weight.T + model.upper.bias).relu()
    statistics = torch.cat([rows["rates"], rows["counts"], rows["crossed"]], 1)
    got = upper @ model.last.weight.T + model.last.bias
    got = got + statistics @ model.wide.weight.T + model.wide.bias + network.prior
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


def test_the_towers_run_once_for_each_request_and_each_item():
    columns, targets = SETS["all"]
    lowered = lower(network_of("three_towers", columns, targets), columns)
    # For a candidate: what crosses, the upper network with weights of the request's own, and the way out.
    affine = [step for step in lowered.pair.code if isinstance(step, ins.Affine)]
    assert [(step.inputs, step.width, step.own) for step in affine] == [
        (16, 32, 1),
        (4, 16, 0),
        (16, 32, 0),
        (4 + 32, targets, 0),
    ]
    # An item's row: its vector, its part of the cross tower and of the linear path.
    assert lowered.item.width == 16 + 16 + targets
    given = world(columns)
    rows = lowered.item_rows(given.items, 6)
    part = {name: values[2:3] for name, values in given.items.items()}
    assert torch.equal(lowered.item_rows(part, 1), rows[2:3])
