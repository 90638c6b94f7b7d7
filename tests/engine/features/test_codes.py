import numpy as np
import torch

from headrace.features import codes
from headrace.features.statistics import Rates, RateStatistics
from headrace.features.windows import WindowCounter


def test_codes_shift_by_one_and_what_was_never_seen_is_unknown():
    assert codes.shifted(torch.tensor([-1, 0, 3, 4, 99]), 5).tolist() == [0, 1, 4, 0, 0]


def test_age_buckets_are_logarithms_of_hours():
    rng = np.random.default_rng(0)
    age = np.concatenate([rng.integers(0, 4 * 10**10, 2000), rng.integers(0, 10**8, 2000), [0, 3_600_000, 3_599_999]])
    expected = (1 + np.floor(2 * np.log2(1 + age / 3_600_000))).clip(1, 23).astype(int)
    assert codes.age_bucket(torch.tensor([7]), torch.from_numpy(age) + 7).tolist() == expected.tolist()
    assert codes.age_bucket(torch.tensor([7]), torch.tensor([3])).tolist() == [1]


def test_duration_and_age_buckets():
    assert codes.duration_bucket(torch.tensor([-1, 0, 1000, 1500, 2000, 4000])).tolist() == [0, 1, 1, 2, 3, 5]
    now = torch.tensor([10 * 3_600_000] * 4)
    assert codes.age_bucket(torch.tensor([-1, 10 * 3_600_000, 9 * 3_600_000, 3_600_000]), now).tolist() == [0, 1, 3, 7]


def test_clock():
    thursday = torch.tensor([0, 3_600_000 * 23, 86_400_000 * 4])
    assert codes.hour_of(thursday).tolist() == [1, 24, 1]
    assert codes.weekday_of(thursday).tolist() == [4, 4, 1]


def test_rates_are_smoothed_per_impression_and_per_click():
    values = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 0, 0]])
    signals = ["click", "like"]
    counter = WindowCounter.build(torch.tensor([0, 0, 0, 1]), torch.tensor([1, 2, 3, 4]), values)
    rates = Rates.fit(values, signals, 2.0, per_click=True)
    assert torch.allclose(rates.priors, torch.tensor([0.5, 0.5]))
    group = RateStatistics(counter, (None,), rates)
    got = group.features(torch.tensor([0, -1]), torch.tensor([10, 10]))
    want = [[np.log(4), 0.6, 0.5], [0.0, 0.5, 0.5]]
    got[:, 1:] = torch.sigmoid(got[:, 1:])
    assert torch.allclose(got, torch.tensor(want, dtype=torch.float32), atol=1e-6)
