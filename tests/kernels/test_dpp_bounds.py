"""Lists on which float32 alone would go wrong, or on which the lazy loop has much to catch up."""

import numpy as np
import pytest
import torch
from dpp_oracle import judge, mmr_objective, ragged

from headrace.kernels import settings
from headrace.kernels.diversity import Rules, dpp_picks, mmr_picks

PICKS = [dpp_picks, mmr_picks]


def tight(n, width, spread, seed):
    """Items in 5 clusters, `spread` off their centres."""
    return ragged([n], width, seed, spread)


def copies(n, width, seed):
    """Each item four times under one reward, at places far apart."""
    vectors, rewards, _ = ragged([(n + 3) // 4], width, seed)
    turn = torch.from_numpy(np.random.default_rng(seed).permutation(n))
    return vectors.repeat(4, 1)[:n][turn], rewards.repeat(4)[:n][turn], torch.tensor([0, n])


def flat(n, width, seed):
    """Items in a third of the dimensions."""
    vectors, rewards, offsets = ragged([n], max(1, width // 3), seed)
    return torch.nn.functional.pad(vectors, (0, width - vectors.shape[1])), rewards, offsets


def mixed(n, width, seed):
    """Zero vectors among lengths from 1e-6 to 1e3."""
    vectors, rewards, offsets = ragged([n], width, seed)
    scale = 10.0 ** torch.from_numpy(np.random.default_rng(seed).integers(-6, 4, n)).float()
    scale[::7] = 0.0
    return vectors * scale[:, None], rewards, offsets


LISTS = {
    "near-dependent": tight(150, 24, 1e-3, 1),
    "clustered": tight(150, 24, 0.1, 2),
    "barely apart": tight(150, 24, 1e-5, 3),
    "duplicated": copies(150, 24, 4),
    "rank-deficient": flat(150, 24, 5),
    "zeros and scales": mixed(150, 24, 6),
}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("window", [None, 3, 10, 40])
@pytest.mark.parametrize("theta", [0.05, 0.5, 0.999, 1.0])
def test_equals_the_reference(name, window, theta):
    vectors, rewards, offsets = LISTS[name]
    for pick in PICKS:
        a, b = (pick(vectors, rewards, offsets, 70, theta, window, backend=name) for name in ("reference", "native"))
        # The reference rounds differently: at a near tie each may go its own way, so the picks are judged one by one.
        if not torch.equal(a.picked, b.picked):
            rows, r = vectors.double().numpy(), rewards.double().numpy()

            def objective(history, rows=rows, r=r, pick=pick):
                held = history[-window:] if window else history
                if pick is mmr_picks:
                    return mmr_objective(rows @ rows.T, r, held, theta)
                basis = np.linalg.svd(rows[held], full_matrices=False)[2] if held else rows[:0]
                sizes = np.linalg.svd(rows[held], compute_uv=False) if held else np.zeros(0)
                basis = basis[sizes > 1e-9]
                d2 = ((rows - rows @ basis.T @ basis) ** 2).sum(1)
                return theta * r + (1 - theta) * np.log(np.maximum(d2, 1e-6))

            judge(objective, b.picked[0], b.gain[0], r)
        else:
            torch.testing.assert_close(a.gain, b.gain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("isa", settings.usable_isas())
@pytest.mark.parametrize("pick", PICKS)
def test_same_bits_on_every_isa(name, isa, pick):
    for window in (None, 1, 10):
        with settings.isa("scalar"):
            expected = pick(*LISTS[name], 60, 0.4, window)
        with settings.isa(isa):
            got = pick(*LISTS[name], 60, 0.4, window)
        assert torch.equal(expected.picked, got.picked)
        assert torch.equal(expected.gain, got.gain)


def test_many_moves_begin_anew():
    """More comings and goings than are kept: items start again from the window's basis."""
    vectors, rewards, offsets = ragged([400, 120], 9, 7, spread=0.5)
    a, b = (dpp_picks(vectors, rewards, offsets, 300, 0.5, 3, backend=name) for name in ("reference", "native"))
    assert torch.equal(a.picked, b.picked)
    torch.testing.assert_close(a.gain, b.gain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pick", PICKS)
def test_ties_between_copies_go_to_the_lower_position(pick):
    vectors, rewards, offsets = copies(200, 16, 8)
    for window in (None, 1, 5, 20):
        order = pick(vectors, rewards, offsets, 200, 0.6, window).picked[0].tolist()
        place = {item: t for t, item in enumerate(order)}
        for i in range(200):
            twin = [j for j in range(i) if torch.equal(vectors[j], vectors[i]) and rewards[j] == rewards[i]]
            assert all(place[j] < place[i] for j in twin)


@pytest.mark.parametrize("scale", [1e-38, 1e-22, 1e-10, 1e10, 1e19, 1e37])
@pytest.mark.parametrize("window", [None, 4])
def test_any_scale_of_float32(scale, window):
    """MMR sees inner products that float32 cannot hold; DPP stays finite."""
    vectors, rewards, offsets = ragged([60], 8, 9)
    small = (rewards.double() * scale**2).float() if 1e-38 < scale**2 < 1e38 else rewards
    picks = mmr_picks(vectors * scale, small, offsets, 30, 0.0, window)
    rows = (vectors * scale).double().numpy()
    order = picks.picked[0].tolist()
    for t in range(1, 30):
        held = order[max(0, t - window) : t] if window else order[:t]
        likeness = (rows @ rows[held].T).max(1)
        likeness[order[:t]] = np.inf
        assert likeness[order[t]] <= likeness.min() + 1e-12 * np.abs(rows @ rows.T).max()
    picks = dpp_picks(vectors * scale, rewards, offsets, 30, 0.5, window)
    assert sorted(set(picks.picked[0].tolist())) == sorted(picks.picked[0].tolist())
    assert torch.isfinite(picks.gain).all()


@pytest.mark.parametrize("backend", ["reference", "native"])
def test_the_path_of_the_log_determinant(backend):
    vectors, rewards, offsets = ragged([30, 0, 5], 20, 10)
    picks = dpp_picks(vectors, rewards, offsets, 12, 0.4, backend=backend)
    for b, (first, last) in enumerate([(0, 30), (30, 30), (30, 35)]):
        rows = vectors[first:last].double().numpy()
        count = min(12, last - first)
        order = picks.picked[b, :count].tolist()
        for t in range(count):
            chosen = rows[order[: t + 1]]
            assert picks.logdet[b, t].item() == pytest.approx(np.linalg.slogdet(chosen @ chosen.T)[1], abs=1e-5)
        assert torch.isneginf(picks.logdet[b, count:]).all()
    # With a window each pick adds its log distance from the window before it; gain = theta r + (1 - theta) of that.
    windowed = dpp_picks(vectors, rewards, offsets, 12, 0.4, 3, backend=backend)
    steps = (windowed.gain[0] - 0.4 * rewards[:30][windowed.picked[0]]) / 0.6
    torch.testing.assert_close(windowed.logdet[0], steps.cumsum(0), rtol=1e-5, atol=1e-5)
    duplicates = dpp_picks(torch.ones(3, 1), torch.zeros(3), torch.tensor([0, 3]), 3, eps=1e-4, backend=backend)
    assert duplicates.logdet[0].tolist() == pytest.approx([0, np.log(1e-4), 2 * np.log(1e-4)], abs=1e-5)
    assert mmr_picks(vectors, rewards, offsets, 3, backend=backend).logdet is None


@pytest.mark.parametrize("pick", PICKS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_found_where_no_pick_would_look(pick, value):
    vectors, rewards, offsets = ragged([40, 700], 20, 11)
    last = 40 + int(rewards[40:].argmin())
    vectors[last, 13] = value
    for window in (None, 4):
        with pytest.raises(ValueError, match="vectors: expected finite numbers, got NaN or infinity in list 1"):
            pick(vectors, rewards, offsets, 3, 1.0, window)
    vectors[last, 13] = 3e38
    assert (pick(vectors, rewards, offsets, 3, 1.0).picked >= 0).all()


@pytest.mark.parametrize("rewards", ["drawn", "equal", "few"])
@pytest.mark.parametrize("window", [None, 1, 2, 7, 20])
@pytest.mark.parametrize("pick", PICKS)
def test_many_panels(pick, rewards, window):
    """Panels that are left alone for long, and first picks that are not the item of the highest reward."""
    vectors, drawn, offsets = ragged([400, 130], 24, 12)
    r = {"drawn": drawn, "equal": torch.zeros_like(drawn), "few": (drawn * 4).round()}[rewards]
    pinned = torch.full((2, 40), -1)
    pinned[0, 0], pinned[1, 0], pinned[0, 9] = 399, 17, 5
    kinds = torch.arange(530, dtype=torch.int32)[None] % 6
    rules = Rules(kinds, torch.tensor([[3, 1, 0]]))
    for settled in ((None, None), (None, pinned), (rules, pinned), (rules, None)):
        a, b = (pick(vectors, r, offsets, 40, 0.6, window, *settled, backend=name) for name in ("reference", "native"))
        assert torch.equal(a.picked, b.picked)
        torch.testing.assert_close(a.gain, b.gain, rtol=1e-5, atol=1e-5)
