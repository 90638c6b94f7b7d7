import pytest


def test_formula(fused):
    settings = {"formula": "weighted_sum", "weights": {"p_like": 2.0, "p_collect": 3.0}}
    assert fused(settings, p_click=0.1, p_like=0.05, p_collect=0.02) == pytest.approx(0.26, rel=1e-6)


def test_without_clicks_it_is_the_rest_and_without_the_rest_the_clicks(fused):
    settings = {"formula": "weighted_sum", "weights": {"p_like": 2.0, "p_collect": 3.0}}
    assert fused(settings, p_like=0.05, p_collect=0.02) == pytest.approx(0.16, rel=1e-6)
    assert fused(settings, p_click=0.1, p_share=0.5) == pytest.approx(0.1, rel=1e-6)
