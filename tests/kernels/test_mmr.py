import numpy as np
import pytest
import torch
from dpp_oracle import judge, mmr_objective, ragged

from headrace.kernels import settings
from headrace.kernels.diversity import Rules, mmr, mmr_picks

BACKENDS = ["reference", "native"]


def check_against_brute_force(vectors, rewards, offsets, k, theta, window, rules=None, backend="native"):
    picks = mmr_picks(vectors, rewards, offsets, k, theta, window, rules, None, backend=backend)
    for b, (first, last) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)):
        rows, r = vectors[first:last].double().numpy(), rewards[first:last].double().numpy()
        a = rows @ rows.T

        def objective(history, a=a, r=r):
            return mmr_objective(a, r, history[-window:] if window else history, theta)

        count = min(k, len(r))
        assert len(set(picks.picked[b, :count].tolist())) == count
        assert (picks.picked[b, count:] == -1).all()
        assert torch.isneginf(picks.gain[b, count:]).all()
        listed = []
        if rules is not None:
            listed = [(rules.kinds[i, first:last].numpy(), *rules.limits[i].tolist()) for i in range(len(rules.limits))]
        counts = judge(objective, picks.picked[b], picks.gain[b], r, listed, margin=1e-7)
        assert counts == (picks.relaxed[b], picks.overruled[b])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("window", "order", "gains"),
    [
        (None, [0, 2, 3, 4], [0.45, 0.30, 0.20, 0.15]),
        (1, [0, 2, 3, 1], [0.45, 0.30, 0.20, 0.35]),
        (2, [0, 2, 3, 4], [0.45, 0.30, 0.20, 0.15]),
    ],
)
def test_worked_example(backend, window, order, gains):
    similarity = np.array(
        [
            [1, 0.3, 0.1, 0.1, 0.2],
            [0.3, 1, 0.8, 0.1, 0.2],
            [0.1, 0.8, 1, 0.2, 0.2],
            [0.1, 0.1, 0.2, 1, 0.1],
            [0.2, 0.2, 0.2, 0.1, 1],
        ]
    )
    vectors = torch.from_numpy(np.linalg.cholesky(similarity)).float()
    picked, gain = mmr(
        vectors, torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5]), torch.tensor([0, 5]), 4, 0.5, window, backend=backend
    )
    assert picked.tolist() == [order]
    assert gain[0].tolist() == pytest.approx(gains, abs=1e-6)


@pytest.mark.parametrize("window", [None, 1, 2, 9, 40])
@pytest.mark.parametrize("theta", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("isa", settings.usable_isas())
def test_equals_brute_force(window, theta, isa):
    with settings.isa(isa):
        check_against_brute_force(*ragged([1, 0, 7, 15, 16, 17, 33, 97], 20, 1, spread=0.5), 25, theta, window)


@pytest.mark.parametrize("width", [1, 7, 15, 17, 31, 33, 65])
def test_awkward_widths(width):
    check_against_brute_force(*ragged([31, 65], width, width), 15, 0.5, 4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_first_pick_is_the_highest_reward_even_at_theta_zero(backend):
    vectors, _, offsets = ragged([20], 4, 2)
    picked, gain = mmr(vectors, torch.arange(20.0), offsets, 1, 0.0, backend=backend)
    assert picked.tolist() == [[19]]
    assert gain.tolist() == [[0.0]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_rules(backend):
    vectors, rewards, offsets = ragged([40, 0, 17], 12, 3, spread=0.4)
    kinds = torch.from_numpy(np.random.default_rng(4).integers(-1, 3, (2, 57)).astype(np.int32))
    rules = Rules(kinds, torch.tensor([[3, 1, 0], [5, 2, 1]]))
    check_against_brute_force(vectors, rewards, offsets, 20, 0.5, 6, rules, backend)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("isa", settings.usable_isas())
def test_same_bits_everywhere(threads, isa):
    vectors, rewards, offsets = ragged([65, 0, 1, 97, 200], 40, 9, spread=0.3)
    with settings.isa("scalar"):
        expected = mmr(vectors, rewards, offsets, 30, 0.5, 6, threads=1)
    with settings.isa(isa):
        got = mmr(vectors, rewards, offsets, 30, 0.5, 6, threads=threads)
    assert torch.equal(expected[0], got[0])
    assert torch.equal(expected[1], got[1])


def test_ties_go_to_the_lower_position():
    picked, _ = mmr(torch.ones(40, 3), torch.zeros(40), torch.tensor([0, 40]), 40, 0.5, 3)
    assert picked.tolist() == [list(range(40))]


@pytest.mark.parametrize("backend", BACKENDS)
def test_bad_input_is_named(backend):
    vectors, rewards, offsets = ragged([5], 2, 5)
    for change, words in [
        ({"k": 0}, "k: expected"),
        ({"theta": -0.1}, "theta: expected"),
        ({"window": 0}, "window: expected"),
        ({"rewards": torch.full((5,), float("nan"))}, "rewards: expected finite"),
    ]:
        arguments = {"vectors": vectors, "rewards": rewards, "offsets": offsets, "k": 2, **change}
        with pytest.raises(ValueError, match=words):
            mmr(**arguments, backend=backend)


def test_opcheck():
    vectors, rewards, offsets = ragged([9, 4], 6, 31)
    torch.library.opcheck(
        torch.ops.headrace.mmr.default, (vectors, rewards, offsets, 3, 0.5, 2, None, None, None, "auto", 1)
    )
