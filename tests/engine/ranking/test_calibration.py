import numpy as np
import pytest
import torch

from headrace.evaluation.ranking import calibration, reliability
from headrace.ranking.calibration import calibrate, calibrate_logits


@pytest.mark.parametrize(
    ("predicted", "rate", "want"),
    [
        (10 / 19, 0.1, 0.1),
        (0.5, 0.1, 0.0909091),
        (0.2, 0.5, 0.1111111),
        (0.73, 0.2, 0.3509615),
        (0.0, 0.3, 0.0),
        (1.0, 0.3, 1.0),
        (0.37, 1.0, 0.37),
    ],
)
def test_formula(predicted, rate, want):
    got = calibrate(torch.tensor([predicted], dtype=torch.float64), rate)
    assert got.item() == pytest.approx(want, abs=1e-7)


def test_log_odds_form_is_the_same():
    p = torch.linspace(0.01, 0.99, 33, dtype=torch.float64)
    both = torch.sigmoid(calibrate_logits(torch.stack([p, p], 1).logit(), torch.tensor([0.2, 1.0])))
    assert torch.allclose(both[:, 0], calibrate(p, 0.2))
    assert torch.allclose(both[:, 1], p)


@pytest.mark.parametrize("rate", [0.0, -1.0, 1.5])
def test_a_rate_outside_is_refused(rate):
    with pytest.raises(ValueError, match="rate"):
        calibrate(torch.tensor([0.5]), rate)


def test_predictions_scaled_down_are_measured_so():
    rng = np.random.default_rng(0)
    p = rng.random(20_000)
    y = rng.random(20_000) < p
    for predicted, ratio, gap in ((p, 1.0, 0.0), (p * 0.5, 0.5, 0.25)):
        assert calibration(y, predicted) == pytest.approx(ratio, abs=0.02)
        bins = reliability(y, predicted)
        error = np.average(abs(bins.predicted - bins.observed), weights=bins.rows)
        assert error == pytest.approx(gap, abs=0.02)
