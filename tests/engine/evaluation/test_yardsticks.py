from itertools import combinations

import numpy as np
import pytest
import torch

from headrace.evaluation.yardsticks import RIDGE, msd, page_value, ssd, swap_search
from headrace.jagged import offsets_of
from headrace.kernels.diversity import dpp


def lists(counts, d=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(sum(counts), d, generator=generator)
    vectors = torch.nn.functional.normalize(vectors, dim=1)
    return vectors, torch.randn(sum(counts), generator=generator), offsets_of(torch.tensor(counts))


def each(vectors, rewards, offsets):
    for a, b in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        yield vectors[a:b].double().numpy(), rewards[a:b].double().numpy()


def value(v, r, chosen, k, theta, objective):
    chosen, total = list(chosen), theta * r[list(chosen)].sum()
    if objective == "dpp":
        gram = v[chosen] @ v[chosen].T + RIDGE * np.eye(len(chosen))
        return total + (1 - theta) * np.linalg.slogdet(gram)[1]
    size = min(k, len(r))
    pairs = sum(1 - v[i] @ v[j] for i, j in combinations(chosen, 2))
    return total + (1 - theta) * 2 / max(size - 1, 1) * pairs


COUNTS = [9, 0, 1, 3, 7]


@pytest.mark.parametrize("window", [None, 1, 2, 4])
def test_ssd_is_its_definition(window):
    given = lists(COUNTS)
    picked, gain = ssd(*given, 6, 0.4, window)
    for b, (v, r) in enumerate(each(*given)):
        rest, held, chosen = v.copy(), [], []
        for t in range(min(6, len(r))):
            score = 0.4 * r + 0.6 * np.linalg.norm(rest, axis=1)
            score[chosen] = -np.inf
            chosen.append(int(score.argmax()))
            assert gain[b, t].item() == pytest.approx(score.max(), abs=1e-6)
            if len(held) == window:
                share, basis = held.pop(0)
                rest += np.outer(share, basis)
            basis = rest[chosen[-1]].copy()
            share = rest @ basis / (basis @ basis) if basis @ basis > RIDGE else np.zeros(len(r))
            rest -= np.outer(share, basis)
            held.append((share, basis))
        assert picked[b].tolist() == chosen + [-1] * (6 - len(chosen))
        assert gain[b, len(chosen) :].isneginf().all()


def test_ssd_residuals_are_those_of_dpp():
    vectors, _, offsets = lists([40], d=16)
    picked, gain = ssd(vectors, torch.zeros(40), offsets, 12, 0.0)
    other, logs = dpp(vectors, torch.zeros(40), offsets, 12, 0.0)
    assert torch.equal(picked, other)
    torch.testing.assert_close(2 * gain.log(), logs, atol=1e-4, rtol=0)


def test_ssd_with_more_picks_than_dimensions():
    vectors, rewards, offsets = lists([30], d=4)
    vectors[10:20] = vectors[:10]
    picked, gain = ssd(vectors, rewards, offsets, 30, 0.5)
    assert sorted(picked[0].tolist()) == list(range(30))
    assert gain.isfinite().all()


@pytest.mark.parametrize("theta", [0.0, 0.3, 1.0])
def test_msd_is_its_greedy(theta):
    given = lists(COUNTS)
    picked, _ = msd(*given, 5, theta)
    for b, (v, r) in enumerate(each(*given)):
        size, chosen = min(5, len(r)), []
        for _ in range(size):
            far = sum((1 - v @ v[j] for j in chosen), np.zeros(len(r)))
            score = theta / 2 * r + 2 * (1 - theta) / max(size - 1, 1) * far
            score[chosen] = -np.inf
            chosen.append(int(score.argmax()))
        assert picked[b].tolist() == chosen + [-1] * (5 - size)


@pytest.mark.parametrize("objective", ["dpp", "msd"])
def test_page_value(objective):
    given = lists(COUNTS)
    picked, _ = msd(*given, 5, 0.4)
    got = page_value(*given, picked, 0.4, objective)
    for b, (v, r) in enumerate(each(*given)):
        chosen = [i for i in picked[b].tolist() if i >= 0]
        assert got[b].item() == pytest.approx(value(v, r, chosen, 5, 0.4, objective) if chosen else 0.0)


@pytest.mark.parametrize("objective", ["dpp", "msd"])
@pytest.mark.parametrize("theta", [0.2, 0.6])
def test_search_ends_where_no_exchange_helps(objective, theta):
    given = lists([9, 0, 1, 3, 12, 8], seed=4)
    start = torch.tensor([[0, 1, 2, 3], [-1] * 4, [0, -1, -1, -1], [0, 1, 2, -1], [11, 3, 5, 7], [0, 2, 4, 6]])
    found = swap_search(*given, start, theta, objective)
    assert (page_value(*given, found, theta, objective) >= page_value(*given, start, theta, objective) - 1e-9).all()
    for b, (v, r) in enumerate(each(*given)):
        chosen = [i for i in found[b].tolist() if i >= 0]
        assert len(set(chosen)) == len(chosen) == min(4, len(r))
        here = value(v, r, chosen, 4, theta, objective) if chosen else 0.0
        for place in range(len(chosen)):
            for item in set(range(len(r))) - set(chosen):
                other = [*chosen[:place], item, *chosen[place + 1 :]]
                assert value(v, r, other, 4, theta, objective) <= here + 1e-6


def test_one_round_is_the_best_exchange():
    given = lists([8], seed=2)
    start = torch.tensor([[0, 1, 2]])
    for objective in ("dpp", "msd"):
        found = swap_search(*given, start, 0.3, objective, rounds=1)
        ((v, r),) = each(*given)
        values = {
            (place, item): value(v, r, [item if p == place else p for p in range(3)], 3, 0.3, objective)
            for place in range(3)
            for item in range(3, 8)
        }
        place, item = max(values, key=values.get)
        assert found[0].tolist() == [item if p == place else p for p in range(3)]


def test_guarantee_against_the_best_set():
    given = lists([10, 10, 10], seed=8)
    given = (given[0], given[1].abs(), given[2])
    for theta in (0.2, 0.5, 0.8):
        picked, _ = msd(*given, 4, theta)
        got = page_value(*given, picked, theta, "msd")
        searched = page_value(*given, swap_search(*given, picked, theta, "msd"), theta, "msd")
        for b, (v, r) in enumerate(each(*given)):
            best = max(value(v, r, chosen, 4, theta, "msd") for chosen in combinations(range(10), 4))
            assert best / 2 <= got[b] <= searched[b] + 1e-9
            assert searched[b] <= best + 1e-9


@pytest.mark.parametrize("counts", [[], [0], [0, 0]])
def test_empty(counts):
    given = (torch.zeros(0, 3), torch.zeros(0), offsets_of(torch.tensor(counts, dtype=torch.int64)))
    for function in (ssd, msd):
        picked, gain = function(*given, 4)
        assert picked.tolist() == [[-1] * 4] * len(counts)
        assert gain.isneginf().all()
    assert swap_search(*given, picked, 0.5).tolist() == picked.tolist()
    assert page_value(*given, picked, 0.5).tolist() == [0.0] * len(counts)


def test_bad_input_is_named():
    vectors, rewards, offsets = lists([4])
    for function in (ssd, msd):
        with pytest.raises(ValueError, match="k: expected at least 1"):
            function(vectors, rewards, offsets, 0)
        with pytest.raises(ValueError, match="theta: expected 0 to 1"):
            function(vectors, rewards, offsets, 2, 1.5)
        with pytest.raises(ValueError, match="rewards: expected finite numbers, got NaN or infinity in list 0"):
            function(vectors, rewards / 0, offsets, 2)
