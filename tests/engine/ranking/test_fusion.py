import numpy as np
import pytest
import torch

from headrace.ranking.fusion import FusionSettings, fuse, ranks

ONE = torch.tensor([0, 1])
ITEM = torch.tensor([0])


def columns(**values):
    return {name: torch.tensor([value]) for name, value in values.items()}


CLICKED = columns(p_click=0.1, p_like=0.05, p_collect=0.02)
WEIGHTS = {"p_like": 2.0, "p_collect": 3.0}


@pytest.mark.parametrize(
    ("given", "settings", "want"),
    [
        (CLICKED, {"formula": "weighted_sum", "weights": WEIGHTS}, 0.26),
        (CLICKED, {"formula": "click_times_sum", "weights": WEIGHTS}, 0.116),
        (
            columns(play_time=30.0, p_like=0.05),
            {"formula": "power_product", "weights": {"play_time": 0.1, "p_like": 2.0}, "exponents": {"play_time": 0.5}},
            2.2,
        ),
        (
            columns(p_click=0.1, p_cart=0.2, p_pay=0.05, price=100.0),
            {"formula": "expected_value", "exponents": {"p_click": 1, "p_cart": 1, "p_pay": 1, "price": 0.5}},
            0.01,
        ),
    ],
)
def test_formulas(given, settings, want):
    assert fuse(given, ONE, ITEM, FusionSettings(**settings)).item() == pytest.approx(want, rel=1e-6)


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


@pytest.mark.parametrize("formula", ["weighted_sum", "click_times_sum", "power_product", "rank", "expected_value"])
def test_missing_targets_are_left_out_and_none_is_an_error(formula):
    settings = FusionSettings(formula=formula, weights={"p_click": 1.0, "p_like": 1.0}, exponents={"p_click": 1.0})
    score = fuse({"p_click": torch.tensor([0.2, 0.3])}, torch.tensor([0, 2]), torch.arange(2), settings)
    assert score[1] > score[0]
    with pytest.raises(ValueError, match="columns"):
        fuse({"other": torch.tensor([0.2])}, ONE, ITEM, settings)


def test_random_batch_equals_numpy():
    rng = np.random.default_rng(0)
    offsets, n = torch.tensor([0, 1, 8, 8, 41, 97]), 97
    given = {name: torch.tensor(rng.random(n), dtype=torch.float32) for name in ("p_click", "p_like", "p_finish")}
    click, like, finish = (given[name].double().numpy() for name in given)
    settings = FusionSettings(weights={"p_like": 2.0, "p_finish": 0.3, "p_share": 9.0})
    got = fuse(given, offsets, torch.arange(n), settings)
    assert got.dtype == torch.float32
    assert np.allclose(got.numpy(), click * (1 + 2 * like + 0.3 * finish), rtol=1e-6)
