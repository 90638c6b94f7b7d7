import pytest


def test_formula(fused):
    """As of click, cart, pay and price, with what follows a click here."""
    exponents = {"p_click": 1, "p_collect": 1, "p_share": 1, "play_time": 0.5}
    settings = {"formula": "expected_value", "exponents": exponents}
    found = fused(settings, p_click=0.1, p_collect=0.2, p_share=0.05, play_time=100.0)
    assert found == pytest.approx(0.01, rel=1e-6)


def test_without_exponents_it_is_the_clicks(fused):
    assert fused({"formula": "expected_value"}, p_click=0.3, p_like=0.9) == pytest.approx(0.3, rel=1e-6)
