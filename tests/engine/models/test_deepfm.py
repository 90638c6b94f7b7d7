import pytest
import torch
from model_worlds import SETS, in_doubles, network_of, values_of

from headrace.features.columns import Column, Columns
from headrace.models import MODELS
from headrace.models.blocks import fm


def test_products_on_paper():
    fields = torch.tensor([1.0, 2, 3])[:, None] * torch.tensor([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    assert float(fm(fields[None]).sum()) == pytest.approx(3.07)
    assert fm(fields[None])[0].tolist() == pytest.approx([1.11, 1.96])


def test_the_network_starts_as_the_sum_of_its_parts():
    """One target, no statistics: weights of the codes, plus the products, plus the perceptron."""
    codes = [Column("user", "request", "code", 4), Column("item", "item", "code", 5), Column("age", "pair", "code", 3)]
    kind = MODELS["deepfm"]
    torch.manual_seed(0)
    model = kind(Columns(codes), 1, kind.Settings(embedding_dim=4)).double()
    rows = values_of(codes, 7, torch.Generator().manual_seed(0))
    table, first = (layer.table.weight.detach() for layer in (model.features.embedding, model.first))
    for n, logit in enumerate(model(rows)[:, 0].tolist()):
        places = [int(rows["user"][n]), 4 + int(rows["item"][n]), 9 + int(rows["age"][n])]
        v = table[places]
        products = v[0] @ v[1] + v[0] @ v[2] + v[1] @ v[2]
        deep = (model.deep(v.flatten()) @ model.out.weight[0, 4:] + model.out.bias[0]).detach()
        assert logit == pytest.approx(float(first[places].sum() + products + deep), rel=1e-12)


def test_every_target_has_its_own_weights():
    columns, targets = SETS["all"]
    network = network_of("deepfm", columns, targets)
    rows = values_of(columns, 5, torch.Generator().manual_seed(0))
    assert in_doubles(network, rows).shape == (5, targets)
    assert network.model.first.table.weight.shape[1] == targets
