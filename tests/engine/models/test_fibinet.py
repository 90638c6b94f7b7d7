import pytest
import torch

from headrace.models.blocks import Bilinear, Excitation

W = torch.tensor([[1.0, 2.0], [0.0, 1.0]])


def test_fields_are_weighed_as_on_paper():
    layer = Excitation(3, reduction=3)
    with torch.no_grad():
        layer.squeeze.weight.fill_(1)
        layer.squeeze.bias.zero_()
        layer.excite.weight.copy_(torch.tensor([[1.0], [-1], [0]]))
        layer.excite.bias.zero_()
    fields = torch.tensor([[[1.0, 2, 3, 2], [0, 0, 1, 1], [-1, 1, -1, 1]]])
    weights = torch.tensor([0.924142, 0.075858, 0.5])
    torch.testing.assert_close(layer(fields), fields * weights[:, None], rtol=0, atol=1e-6)


def test_a_bilinear_product_on_paper():
    """With the matrix on the second field: x * (W y); the layer has it on the first."""
    x, y = torch.tensor([1.0, 2.0]), torch.tensor([3.0, -1.0])
    layer = Bilinear(2, 2, "all")
    layer.weight.weight.data.copy_(W)
    assert layer(torch.stack([y, x])[None]).tolist() == [[[1, -2]]]


@pytest.mark.parametrize("kind", ["all", "each", "interaction"])
def test_products_are_those_written_out(kind):
    torch.manual_seed(0)
    layer, fields = Bilinear(4, 3, kind).double(), torch.randn(5, 4, 3, dtype=torch.float64)
    got, place = layer(fields), 0
    for f in range(4):
        for g in range(f + 1, 4):
            matrix = layer.weight.weight.T if kind == "all" else layer.weight.weight[f if kind == "each" else place]
            torch.testing.assert_close(got[:, place], (fields[:, f] @ matrix) * fields[:, g], rtol=1e-12, atol=1e-12)
            place += 1
    assert got.shape[1] == place
