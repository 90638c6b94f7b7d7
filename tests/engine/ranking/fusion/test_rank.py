import pytest
import torch

from headrace.ranking.fusion import FusionSettings, fuse
from headrace.ranking.fusion.rank import ranks


def test_rank_formula():
    """Candidate 0 is first by time, third by click and second by like."""
    given = {
        "play_time": torch.tensor([9.0, 5.0, 1.0]),
        "p_click": torch.tensor([0.1, 0.3, 0.2]),
        "p_like": torch.tensor([0.2, 0.3, 0.1]),
    }
    names = list(given)
    settings = FusionSettings(
        formula="rank",
        weights=dict.fromkeys(names, 1.0),
        exponents=dict.fromkeys(names, 0.5),
        offsets=dict.fromkeys(names, 10.0),
    )
    score = fuse(given, torch.tensor([0, 3]), torch.arange(3), settings)
    assert score[0].item() == pytest.approx(0.2637557, abs=1e-7)


def test_ranks_start_at_one_in_each_request_and_ties_go_to_the_lower_item():
    score = torch.tensor([1.0, 3.0, 3.0, 7.0, 7.0])
    got = ranks(torch.tensor([0, 3, 3, 5]), score, torch.tensor([5, 9, 2, 8, 1]))
    assert got.tolist() == [3, 2, 1, 2, 1]
