import numpy as np
import pytest
import torch

from headrace.features.windows import WindowCounter

WINDOWS = (None, 1000, 70, 7, 1)


def brute(entity, time, values, queries, moments, windows):
    out = np.zeros((len(queries), len(windows), values.shape[1]), np.int64)
    for q, (who, now) in enumerate(zip(queries, moments, strict=True)):
        for w, window in enumerate(windows):
            inside = (entity == who) & (time < now) & (who >= 0)
            if window is not None:
                inside &= time >= now - window
            out[q, w] = values[inside].sum(0)
    return out


@pytest.mark.parametrize("n", [0, 1, 7, 16, 33, 64, 97, 1000])
def test_counts_equal_brute_force(n):
    rng = np.random.default_rng(n)
    entity, time = rng.integers(-1, 9, n), rng.integers(-50, 400, n) + 1_650_000_000_000
    values = rng.integers(0, 2, (n, 3))
    counter = WindowCounter.build(torch.tensor(entity), torch.tensor(time), torch.tensor(values).reshape(n, 3))
    queries, moments = rng.integers(-1, 12, 300), rng.integers(-500, 2000, 300) + 1_650_000_000_000
    got = counter.counts(torch.tensor(queries), torch.tensor(moments), WINDOWS)
    assert np.array_equal(got.numpy(), brute(entity, time, values, queries, moments, WINDOWS))


def test_an_event_at_the_same_moment_does_not_count():
    counter = WindowCounter.build(torch.tensor([3, 3, 3]), torch.tensor([10, 20, 20]), torch.ones(3, 1).int())
    got = counter.counts(torch.tensor([3, 3, 3, 3]), torch.tensor([10, 20, 21, 30]), (None, 10))
    assert got[:, :, 0].tolist() == [[0, 0], [1, 1], [3, 2], [3, 2]]


def test_many_queries_take_the_sorted_path_and_agree():
    rng = np.random.default_rng(1)
    entity, time = torch.tensor(rng.integers(0, 50, 5000)), torch.tensor(rng.integers(0, 9999, 5000))
    counter = WindowCounter.build(entity, time, torch.tensor(rng.integers(0, 2, (5000, 2))))
    who, when = torch.tensor(rng.integers(-1, 55, 40_000)), torch.tensor(rng.integers(-9, 12_000, 40_000))
    whole = counter.counts(who, when, WINDOWS)
    assert torch.equal(whole[:1000], counter.counts(who[:1000], when[:1000], WINDOWS))
    assert torch.equal(whole[-999:], counter.counts(who[-999:], when[-999:], WINDOWS))


def test_state_round_trip():
    counter = WindowCounter.build(torch.tensor([1, 0, 1]), torch.tensor([5, 6, 7]), torch.ones(3, 2).int())
    again = WindowCounter.from_state(counter.state())
    who, when = torch.tensor([0, 1, 2]), torch.tensor([9, 7, 9])
    assert torch.equal(again.counts(who, when, WINDOWS), counter.counts(who, when, WINDOWS))


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="equal lengths"):
        WindowCounter.build(torch.tensor([1, 2]), torch.tensor([1]), torch.ones(2, 1).int())
    with pytest.raises(ValueError, match="user_page: expected fewer than 8388607 rows or codes over 12725 days, got"):
        WindowCounter.build(
            torch.tensor([1 << 40, 0]), torch.tensor([0, 1 << 40]), torch.ones(2, 1).int(), "statistics of user_page"
        )
