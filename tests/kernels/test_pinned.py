import numpy as np
import pytest
import torch
from dpp_oracle import dpp_objective, forbidden, mmr_objective, ragged

from headrace.kernels import settings
from headrace.kernels.diversity import Rules, dpp_picks, mmr_picks

BACKENDS = ["reference", "native"]
PICKS = [dpp_picks, mmr_picks]
LENGTHS = [40, 17, 0, 6]
LIMITS = [[3, 2, 0], [5, 1, 0], [6, 1, 1]]


def pins_of(lengths, k, seed):
    """Some items at some positions of each list."""
    rng = np.random.default_rng(seed)
    pinned = torch.full((len(lengths), k), -1)
    for b, n in enumerate(lengths):
        count = min(3, n)
        slots = rng.choice(min(k, n), count, replace=False) if count else []
        pinned[b, torch.tensor(slots, dtype=torch.int64)] = torch.from_numpy(rng.choice(n, count, replace=False))
    return pinned


def check_list(objective, picks, b, rewards, pins, rules):
    relaxed = overruled = 0
    count = min(len(pins), len(rewards))
    order = picks.picked[b].tolist()
    assert len(set(order[:count])) == count
    for t, choice in enumerate(order[:count]):
        history = order[:t]
        score = objective(history)
        assert picks.gain[b, t].item() == pytest.approx(score[choice], abs=2e-5, rel=1e-5)
        masks = [forbidden(*rule, history) for rule in rules]
        if pins[t] >= 0:
            assert choice == pins[t]
            relaxed += any(mask[choice] for mask in masks)
            continue
        score[history + [pin for pin in pins[t:] if pin >= 0]] = -np.inf
        for kept in range(len(rules), -1, -1):
            barred = np.logical_or.reduce([np.zeros(len(rewards), bool), *masks[:kept]])
            allowed = np.where(barred, -np.inf, score)
            if np.isfinite(allowed).any():
                break
        assert allowed[choice] >= allowed.max() - 1e-4
        relaxed += kept < len(rules)
        overruled += choice != int(score.argmax())
    assert (picks.relaxed[b], picks.overruled[b]) == (relaxed, overruled)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("pick", PICKS)
@pytest.mark.parametrize("ruled", [False, True])
@pytest.mark.parametrize("window", [None, 1, 4])
def test_equals_brute_force(backend, pick, ruled, window):
    vectors, rewards, offsets = ragged(LENGTHS, 12, 1, spread=0.5)
    kinds = torch.from_numpy(np.random.default_rng(2).integers(-1, 4, (3, sum(LENGTHS))).astype(np.int32))
    rules = Rules(kinds, torch.tensor(LIMITS)) if ruled else None
    pinned = pins_of(LENGTHS, 12, 3)
    picks = pick(vectors, rewards, offsets, 12, 0.5, window, rules, pinned, backend=backend)
    for b in range(len(LENGTHS)):
        part = slice(int(offsets[b]), int(offsets[b + 1]))
        rows, r = vectors[part].double().numpy(), rewards[part].double().numpy()
        listed = [(kinds[i, part].numpy(), *LIMITS[i]) for i in range(3)] if ruled else []

        def objective(history, a=rows @ rows.T, r=r):
            held = history[-window:] if window else history
            if pick is dpp_picks:
                return dpp_objective(a, r, held, 0.5, 1e-6)
            return mmr_objective(a, r, held, 0.5) if history else 0.5 * r

        check_list(objective, picks, b, r, pinned[b].tolist(), listed)


@pytest.mark.parametrize("pick", PICKS)
@pytest.mark.parametrize("isa", settings.usable_isas())
def test_same_bits_everywhere(pick, isa):
    lengths = [65, 0, 1, 200]
    vectors, rewards, offsets = ragged(lengths, 40, 9, spread=0.3)
    pinned = pins_of(lengths, 30, 5)
    with settings.isa("scalar"):
        expected = pick(vectors, rewards, offsets, 30, 0.5, 6, None, pinned, threads=1)
    with settings.isa(isa):
        got = pick(vectors, rewards, offsets, 30, 0.5, 6, None, pinned, threads=3)
    assert torch.equal(expected.picked, got.picked)
    assert torch.equal(expected.gain, got.gain)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("pick", PICKS)
def test_a_page_of_pins_alone(backend, pick):
    vectors, rewards, offsets = ragged([9], 4, 6)
    order = torch.tensor([[3, 1, 8, 0, 5, 2, 4, 7, 6]])
    assert torch.equal(pick(vectors, rewards, offsets, 9, 0.5, pinned=order, backend=backend).picked, order)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("pick", PICKS)
def test_nothing_pinned_changes_nothing(backend, pick):
    vectors, rewards, offsets = ragged([30, 8], 6, 7)
    free = pick(vectors, rewards, offsets, 10, 0.5, 3, backend=backend)
    pinned = torch.full((2, 10), -1)
    again = pick(vectors, rewards, offsets, 10, 0.5, 3, pinned=pinned, backend=backend)
    assert torch.equal(free.picked, again.picked)
    assert torch.equal(free.gain, again.gain)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("pick", PICKS)
@pytest.mark.parametrize(
    ("pins", "error", "words"),
    [
        ([[0, -1, -1, -1], [1, -1, 1, -1]], ValueError, "pinned: expected an item once at most in list 1, got item 1"),
        (
            [[5, -1, -1, -1], [-1] * 4],
            ValueError,
            "pinned: expected -1 or an item below 5 in list 0, got 5 at position 0",
        ),
        ([[-1] * 4, [-1, -2, -1, -1]], ValueError, "pinned: expected -1 or an item below 3 in list 1, got -2"),
        ([[-1] * 4, [-1, -1, -1, 0]], ValueError, "pinned: expected positions below 3, the length of list 1, got 3"),
        ([[-1] * 4], ValueError, r"pinned: expected shape \(2, 4\), got \(1, 4\)"),
        ([[0.5] * 4] * 2, TypeError, "pinned: expected int64, got float32"),
    ],
)
def test_contradictions_are_named(backend, pick, pins, error, words):
    with pytest.raises(error, match=words):
        pick(torch.ones(8, 2), torch.ones(8), torch.tensor([0, 5, 8]), 4, pinned=torch.tensor(pins), backend=backend)
