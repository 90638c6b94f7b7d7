import pytest


def test_formula(fused):
    weights, exponents = {"play_time": 0.1, "p_like": 2.0}, {"play_time": 0.5}
    settings = {"formula": "power_product", "weights": weights, "exponents": exponents}
    assert fused(settings, play_time=30.0, p_like=0.05) == pytest.approx(2.2, rel=1e-6)
