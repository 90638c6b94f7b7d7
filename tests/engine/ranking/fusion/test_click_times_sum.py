import pytest


def test_formula(fused):
    settings = {"formula": "click_times_sum", "weights": {"p_like": 2.0, "p_collect": 3.0}}
    assert fused(settings, p_click=0.1, p_like=0.05, p_collect=0.02) == pytest.approx(0.116, rel=1e-6)


def test_the_clicks_own_weight_counts_for_nothing(fused):
    settings = {"weights": {"p_like": 2.0, "p_click": 7.0}}
    assert fused(settings, p_click=0.1, p_like=0.05) == pytest.approx(0.11, rel=1e-6)
