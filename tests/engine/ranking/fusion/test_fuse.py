import numpy as np
import pytest
import torch
from pydantic import ValidationError

from headrace.ranking.fusion import FORMULAS, FusionSettings, formula, fuse


def test_the_formulas():
    assert set(FORMULAS) >= {"click_times_sum", "expected_value", "power_product", "rank", "weighted_sum"}


@pytest.mark.parametrize("formula", FORMULAS)
def test_missing_targets_are_left_out_and_none_is_an_error(formula):
    settings = FusionSettings(formula=formula, weights={"p_click": 1.0, "p_like": 1.0}, exponents={"p_click": 1.0})
    score = fuse({"p_click": torch.tensor([0.2, 0.3])}, torch.tensor([0, 2]), torch.arange(2), settings)
    assert score[1] > score[0]
    with pytest.raises(ValueError, match="columns"):
        fuse({"other": torch.tensor([0.2])}, torch.tensor([0, 1]), torch.tensor([0]), settings)


def test_random_batch_equals_numpy():
    rng = np.random.default_rng(0)
    offsets, n = torch.tensor([0, 1, 8, 8, 41, 97]), 97
    given = {name: torch.tensor(rng.random(n), dtype=torch.float32) for name in ("p_click", "p_like", "p_finish")}
    click, like, finish = (given[name].double().numpy() for name in given)
    settings = FusionSettings(weights={"p_like": 2.0, "p_finish": 0.3, "p_share": 9.0})
    got = fuse(given, offsets, torch.arange(n), settings)
    assert got.dtype == torch.float32
    assert np.allclose(got.numpy(), click * (1 + 2 * like + 0.3 * finish), rtol=1e-6)


def test_the_odds_of_an_impression():
    given = {"p_click": torch.tensor([0.2, 0.2]), "p_impression": torch.tensor([0.5, 0.8])}
    settings = FusionSettings(formula="weighted_sum", weights={}, exposure_power=0.5)
    assert fuse(given, torch.tensor([0, 2]), torch.arange(2), settings).tolist() == pytest.approx([0.2, 0.4])


@pytest.mark.parametrize("name", ["weights", "exponents", "offsets"])
def test_unknown_columns_are_refused(name):
    words = rf"{name}\.p_likes\..*\n.*expected one of p_impression, .*, got 'p_likes'"
    with pytest.raises(ValidationError, match=words):
        FusionSettings(**{name: {"p_likes": 1.0}})


def test_unknown_formulas_are_refused():
    with pytest.raises(ValidationError, match=r"formula\n.*expected one of click_times_sum, .*, got 'sum'"):
        FusionSettings(formula="sum")


def test_a_formula_is_one_function():
    @formula("least")
    def least(columns, offsets, item, settings):
        return torch.stack([column.double() for column in columns.values()]).amin(0)

    try:
        settings = FusionSettings(formula="least")
        score = fuse({"p_click": torch.tensor([0.5, 0.125]), "p_like": torch.tensor([0.25, 0.75])},
                     torch.tensor([0, 2]), torch.arange(2), settings)  # fmt: skip
    finally:
        FORMULAS.remove("least")
    assert score.tolist() == [0.25, 0.125]
    with pytest.raises(ValidationError, match="formula"):
        FusionSettings(formula="least")


@pytest.mark.parametrize(("name", "weight"), [("play_time", -0.1), ("p_like", -1.0), ("p_finish", -3.0)])
def test_weights_without_a_logarithm_are_refused(name, weight):
    with pytest.raises(ValidationError, match=f"weights.{name}: expected .* in power_product, got {weight}"):
        FusionSettings(formula="power_product", weights={name: weight})
    for other in ("weighted_sum", "click_times_sum", "rank"):
        assert FusionSettings(formula=other, weights={name: weight}).weights == {name: weight}


def test_without_a_column_of_its_own_the_score_is_the_odds_of_being_shown():
    shown = {"p_impression": torch.tensor([0.5, 0.8]), "play_time": torch.tensor([9.0, 1.0])}
    for power, expected in ((0.5, [1.0, 2.0]), (0.0, [1.0, 4.0])):
        settings = FusionSettings(exposure_power=power)
        assert fuse(shown, torch.tensor([0, 2]), torch.arange(2), settings).tolist() == pytest.approx(expected)
