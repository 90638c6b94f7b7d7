import numpy as np
import pytest
import torch

from headrace.evaluation.ranking import calibration, reliability
from headrace.ranking.calibration import calibrate_logits


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
    logits = torch.tensor([[predicted, predicted]], dtype=torch.float64).logit()
    got = torch.sigmoid(calibrate_logits(logits, torch.tensor([rate, 1.0])))
    assert got.tolist() == [pytest.approx([want, predicted], abs=1e-7)]


def test_predictions_scaled_down_are_measured_so():
    rng = np.random.default_rng(0)
    p = rng.random(20_000)
    y = rng.random(20_000) < p
    for predicted, ratio, gap in ((p, 1.0, 0.0), (p * 0.5, 0.5, 0.25)):
        assert calibration(y, predicted) == pytest.approx(ratio, abs=0.02)
        bins = reliability(y, predicted)
        error = np.average(abs(bins.predicted - bins.observed), weights=bins.rows)
        assert error == pytest.approx(gap, abs=0.02)
