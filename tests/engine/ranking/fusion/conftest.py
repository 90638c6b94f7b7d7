import pytest
import torch

from headrace.ranking.fusion import FusionSettings, fuse


def fuse_one(settings, **predictions):
    """The score of a single candidate."""
    columns = {name: torch.tensor([value]) for name, value in predictions.items()}
    return fuse(columns, torch.tensor([0, 1]), torch.tensor([0]), FusionSettings(**settings)).item()


@pytest.fixture
def fused():
    return fuse_one
