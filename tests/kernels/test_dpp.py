import itertools
import threading

import numpy as np
import pytest
import torch
from dpp_oracle import dpp_objective, judge, ragged

from headrace.kernels import settings
from headrace.kernels.diversity import Rules, dpp, dpp_picks

BACKENDS = ["reference", "native"]
SIMILARITY = np.array(
    [
        [1, 0.3, 0.1, 0.1, 0.2],
        [0.3, 1, 0.8, 0.1, 0.2],
        [0.1, 0.8, 1, 0.2, 0.2],
        [0.1, 0.1, 0.2, 1, 0.1],
        [0.2, 0.2, 0.2, 0.1, 1],
    ]
)


def whole(n):
    return torch.tensor([0, n])


def grams(vectors, offsets):
    rows = vectors.double().numpy()
    return [rows[a:b] @ rows[a:b].T for a, b in itertools.pairwise(offsets)]


def check_against_brute_force(vectors, rewards, offsets, k, theta, window, backend="native", eps=1e-6):
    picked, gain = dpp(vectors, rewards, offsets, k, theta, window, eps=eps, backend=backend)
    for b, a in enumerate(grams(vectors, offsets)):
        r = rewards[offsets[b] : offsets[b + 1]].double().numpy()
        count = min(k, len(r))
        assert sorted(set(picked[b, :count].tolist())) == sorted(picked[b, :count].tolist())
        assert (picked[b, count:] == -1).all()
        assert torch.isneginf(gain[b, count:]).all()

        def objective(history, a=a, r=r):
            return dpp_objective(a, r, history[-window:] if window else history, theta, eps)

        judge(objective, picked[b], gain[b], r)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("window", "order", "gains"),
    [
        (None, [0, 1, 3, 4], [0.45, 0.352845, 0.245093, 0.160736]),
        (1, [0, 1, 3, 2], [0.45, 0.352845, 0.294975, 0.329589]),
        (2, [0, 1, 3, 4], [0.45, 0.352845, 0.245093, 0.221185]),
    ],
)
def test_worked_example(backend, window, order, gains):
    vectors = torch.from_numpy(np.linalg.cholesky(SIMILARITY)).float()
    rewards = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5])
    picked, gain = dpp(vectors, rewards, whole(5), 4, 0.5, window, backend=backend)
    assert picked.tolist() == [order]
    # The example's figures hold log det of the whole window; the gain leaves out what the window had before.
    for t in range(4):
        held = order[max(0, t - window) : t] if window else order[:t]
        before = 0.5 * np.linalg.slogdet(SIMILARITY[np.ix_(held, held)])[1] if held else 0.0
        assert gain[0, t].item() + before == pytest.approx(gains[t], abs=2e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_dependent_item_stays_pickable_in_order_of_reward(backend):
    vectors = torch.tensor([[1, 0, 0], [0.8, 0.6, 0], [0, 1, 0], [0.6, 0, 0.8]])
    rewards = torch.tensor([0.9, 0.8, 0.7, 0.6])
    picked, gain = dpp(vectors, rewards, whole(4), 4, 0.5, backend=backend)
    assert picked.tolist() == [[0, 2, 3, 1]]
    assert gain[0].tolist() == pytest.approx([0.45, 0.35, 0.076856, 0.4 + 0.5 * np.log(1e-6)], abs=1e-5)
    picked, gain = dpp(vectors, rewards, whole(4), 4, 0.5, 1, backend=backend)
    assert gain[0, 2:].tolist() == pytest.approx([0.30, 0.269058], abs=1e-5)
    picked, gain = dpp(vectors, rewards, whole(4), 4, 0.5, 2, backend=backend)
    assert gain[0, 3].item() == pytest.approx(-0.046287, abs=1e-5)


@pytest.mark.parametrize("window", [None, 1, 2, 5, 10, 40])
@pytest.mark.parametrize("theta", [0.0, 0.3, 0.9, 1.0])
def test_equals_brute_force(window, theta):
    check_against_brute_force(*ragged([1, 0, 7, 15, 33, 3], 24, 1), 20, theta, window)


@pytest.mark.parametrize("width", [1, 7, 15, 16, 17, 31, 33, 97])
def test_awkward_widths(width):
    check_against_brute_force(*ragged([31, 32, 33], width, width), min(width, 12), 0.5, 3)


@pytest.mark.parametrize("n", [1, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 97])
def test_awkward_lengths(n):
    check_against_brute_force(*ragged([n, 5, n], 16, n), 8, 0.4, 4)


@pytest.mark.parametrize("window", [None, 4, 9])
def test_near_duplicates(window):
    check_against_brute_force(*ragged([40, 60], 32, 3, spread=0.03), 20, 0.2, window)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("width", "window"), [(4, None), (4, 4), (4, 8), (3, 12), (1, 2)])
def test_more_picks_than_dimensions(backend, width, window):
    """Once the window spans the space every distance is 0, and reward alone decides."""
    vectors, rewards, offsets = ragged([40], width, 5)
    picked, gain = dpp(vectors, rewards, offsets, 40, 0.5, window, backend=backend)
    rows = vectors.double().numpy()
    r = rewards.double().numpy()

    def objective(history):
        held = rows[history[-window:] if window else history]
        rest = rows - rows @ np.linalg.pinv(held) @ held if len(held) else rows
        return 0.5 * r + 0.5 * np.log(np.maximum((rest**2).sum(1), 1e-6))

    judge(objective, picked[0], gain[0], r)


@pytest.mark.parametrize("window", [None, 2, 3])
def test_exact_duplicates(window):
    """Copies in the window add no direction, and take over when the one they copy leaves."""
    vectors, rewards, _ = ragged([6], 5, 6)
    vectors = vectors[[0, 0, 0, 1, 1, 2, 3, 3, 4, 5]]
    rewards = torch.tensor([5.0, 4.9, 4.8, 9, 8.9, 0.1, 0.2, 0.2, 0.3, 0.4]) * 10
    a, b = (dpp(vectors, rewards, whole(10), 10, 0.5, window, backend=name) for name in BACKENDS)
    assert torch.equal(a[0], b[0])
    torch.testing.assert_close(a[1], b[1], rtol=1e-5, atol=1e-5)


def test_ties_go_to_the_lower_position():
    vectors = torch.ones(40, 3) / 3**0.5
    picked, _ = dpp(vectors, torch.zeros(40), whole(40), 40, 0.5, 3)
    assert picked.tolist() == [list(range(40))]


@pytest.mark.parametrize("isa", settings.usable_isas())
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("window", [None, 6])
def test_same_bits_on_every_isa_thread_count_and_batch(isa, threads, window):
    lengths = [65, 0, 1, 97, 33, 16, 200]
    vectors, rewards, offsets = ragged(lengths, 40, 9, spread=0.3)
    with settings.isa("scalar"):
        picked, gain = dpp(vectors, rewards, offsets, 30, 0.5, window, threads=1)
    with settings.isa(isa):
        again = dpp(vectors, rewards, offsets, 30, 0.5, window, threads=threads)
        assert torch.equal(picked, again[0])
        assert torch.equal(gain, again[1])
        for b in range(len(lengths)):
            part = slice(int(offsets[b]), int(offsets[b + 1]))
            alone = dpp(vectors[part], rewards[part], whole(lengths[b]), 30, 0.5, window, threads=threads)
            assert torch.equal(alone[0][0], picked[b])
            assert torch.equal(alone[1][0], gain[b])


@pytest.mark.parametrize("backend", BACKENDS)
def test_empty_batches_and_lists(backend):
    picked, gain = dpp(torch.zeros(0, 4), torch.zeros(0), torch.zeros(1, dtype=torch.int64), 3, backend=backend)
    assert picked.shape == gain.shape == (0, 3)
    picked, gain = dpp(torch.zeros(0, 4), torch.zeros(0), torch.zeros(3, dtype=torch.int64), 3, backend=backend)
    assert (picked == -1).all()
    assert torch.isneginf(gain).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"k": 0}, ValueError, "k: expected at least 1"),
        ({"theta": 1.5}, ValueError, "theta: expected 0 to 1"),
        ({"theta": float("nan")}, ValueError, "theta: expected 0 to 1"),
        ({"theta": "half"}, TypeError, "theta: expected a number, got str"),
        ({"window": 0}, ValueError, "window: expected at least 1"),
        ({"eps": 0.0}, ValueError, "eps: expected a finite number"),
        ({"eps": float("inf")}, ValueError, "eps: expected a finite number"),
        ({"vectors": torch.zeros(5, 2, dtype=torch.int64)}, TypeError, "vectors: expected float32"),
        ({"vectors": torch.zeros(5)}, ValueError, "vectors: expected 2 dimensions"),
        ({"vectors": torch.zeros(5, 0)}, ValueError, "vectors: expected at least 1 column"),
        ({"vectors": torch.full((5, 2), float("nan"))}, ValueError, "vectors: expected finite numbers.*list 1"),
        ({"rewards": torch.tensor([0, 0, 0, float("inf"), 0])}, ValueError, "rewards: expected finite.*list 1"),
        ({"rewards": torch.zeros(4)}, ValueError, "rewards: expected 5 entries"),
        ({"offsets": torch.tensor([0, 3])}, ValueError, "offsets: expected to run from 0 to 5"),
        ({"offsets": torch.tensor([0, 4, 3, 5])}, ValueError, "offsets: expected no falling entries.*1"),
        ({"offsets": torch.tensor([], dtype=torch.int64)}, ValueError, "offsets: expected at least 1 entry"),
        ({"offsets": torch.tensor([0, 5], dtype=torch.float32)}, TypeError, "offsets: expected int64"),
        ({"vectors": "vectors"}, TypeError, "vectors: expected a tensor"),
    ],
)
def test_bad_input_is_named(backend, change, error, words):
    arguments = {"vectors": torch.ones(5, 2), "rewards": torch.ones(5), "offsets": torch.tensor([0, 0, 5]), "k": 2}
    with pytest.raises(error, match=words):
        dpp(**{**arguments, **change}, backend=backend)


def test_hostile_sizes_are_errors():
    from headrace import _C

    one = np.ones(1, np.float32)
    path = np.zeros((1, 1), np.float32)
    out = np.zeros((1, 1), np.int64), np.zeros((1, 1), np.float32), np.zeros((1, 2), np.int64), path
    offsets = np.array([0, 1])
    with pytest.raises(ValueError, match="threads"):
        _C.dpp(one[:, None], one, offsets, 1, 0.5, 0, 1e-6, None, None, None, -1, *out)
    with pytest.raises(TypeError):
        _C.dpp(one[:, None].astype(np.float64), one, offsets, 1, 0.5, 0, 1e-6, None, None, None, 1, *out)


def test_strided_input_is_read_right():
    vectors, rewards, offsets = ragged([30], 12, 11)
    wide = torch.zeros(30, 24)
    wide[:, ::2] = vectors
    assert torch.equal(dpp(wide[:, ::2], rewards, offsets, 9)[0], dpp(vectors, rewards, offsets, 9)[0])


def test_large_and_tiny_vectors_stay_finite():
    vectors, rewards, offsets = ragged([50], 8, 12)
    for scale in (1e-20, 1e15):
        picked, gain = dpp(vectors * scale, rewards, offsets, 50, 0.5, 4)
        assert sorted(picked[0].tolist()) == list(range(50))
        assert torch.isfinite(gain).all()


def rule(kinds, span, most, prefix=0):
    return Rules(torch.tensor([kinds], dtype=torch.int32), torch.tensor([[span, most, prefix]]))


def shown(kinds, rules, k, backend):
    """Kinds in the order shown when items are alike and rewards fall with position."""
    n = len(kinds)
    picks = dpp_picks(torch.ones(n, 1), torch.linspace(1, 0, n), whole(n), k, 1.0, rules=rules, backend=backend)
    return [kinds[i] for i in picks.picked[0].tolist()], picks


@pytest.mark.parametrize("backend", BACKENDS)
def test_at_most_five_in_a_row(backend):
    kinds = [0] * 12 + [1] * 3
    order, picks = shown(kinds, rule(kinds, 6, 5), 15, backend)
    assert order == [0] * 5 + [1] + [0] * 5 + [1] + [0] * 2 + [1]
    assert picks.relaxed.item() == 0
    assert picks.overruled.item() == 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_marked_once_in_nine(backend):
    kinds = [-1, -1, 0, 0, 0] + [-1] * 20
    order, _ = shown(kinds, rule(kinds, 9, 1), 25, backend)
    assert [i + 1 for i, kind in enumerate(order) if kind == 0] == [3, 12, 21]


@pytest.mark.parametrize("backend", BACKENDS)
def test_at_most_so_many_at_the_top(backend):
    kinds = [0, 0, 0, -1, -1, -1, -1]
    assert shown(kinds, rule(kinds, 1, 0, 1), 7, backend)[0] == [-1, 0, 0, 0, -1, -1, -1]
    assert shown(kinds, rule(kinds, 4, 1, 1), 7, backend)[0] == [0, -1, -1, -1, 0, 0, -1]
    both = Rules(torch.tensor([kinds, kinds], dtype=torch.int32), torch.tensor([[1, 0, 1], [4, 1, 1]]))
    assert shown(kinds, both, 7, backend)[0] == [-1, 0, -1, -1, 0, 0, -1]


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_last_rule_is_dropped_first(backend):
    first, second = [0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 0, 0]
    # After item 0 rule 0 leaves 4 and 5, rule 1 leaves 2 and 3, both leave nothing.
    limits = torch.tensor([[2, 1, 0], [2, 1, 0]])
    picks = dpp_picks(
        torch.ones(6, 1),
        torch.linspace(1, 0, 6),
        whole(6),
        2,
        1.0,
        rules=Rules(torch.tensor([first, second], dtype=torch.int32), limits),
        backend=backend,
    )
    assert picks.picked.tolist() == [[0, 4]]
    assert picks.relaxed.tolist() == [1]
    swapped = Rules(torch.tensor([second, first], dtype=torch.int32), limits)
    picked, _ = dpp(torch.ones(6, 1), torch.linspace(1, 0, 6), whole(6), 2, 1.0, rules=swapped, backend=backend)
    assert picked.tolist() == [[0, 2]]
    nothing = rule([0] * 6, 9, 0)
    picks = dpp_picks(torch.ones(6, 1), torch.linspace(1, 0, 6), whole(6), 6, 1.0, rules=nothing, backend=backend)
    assert picks.picked.tolist() == [list(range(6))]
    assert picks.relaxed.tolist() == [6]


@pytest.mark.parametrize("isa", settings.usable_isas())
def test_rules_equal_brute_force(isa):
    lengths = [40, 0, 17, 33]
    vectors, rewards, offsets = ragged(lengths, 12, 21, spread=0.4)
    rng = np.random.default_rng(22)
    kinds = rng.integers(-1, 4, (3, sum(lengths))).astype(np.int32)
    limits = [[3, 2, 0], [5, 1, 0], [6, 1, 1]]
    rules = Rules(torch.from_numpy(kinds), torch.tensor(limits))
    with settings.isa(isa):
        picks = dpp_picks(vectors, rewards, offsets, 20, 0.5, 6, rules)
    for b, a in enumerate(grams(vectors, offsets)):
        part = slice(int(offsets[b]), int(offsets[b + 1]))
        r = rewards[part].double().numpy()

        def objective(history, a=a, r=r):
            return dpp_objective(a, r, history[-6:], 0.5, 1e-6)

        counts = judge(objective, picks.picked[b], picks.gain[b], r, [(kinds[i, part], *limits[i]) for i in range(3)])
        assert counts == (picks.relaxed[b], picks.overruled[b])


@pytest.mark.parametrize(
    ("rules", "error", "words"),
    [
        (Rules(torch.zeros(1, 4, dtype=torch.int32), torch.ones(1, 3, dtype=torch.int64)), ValueError, "shape"),
        (rule([0] * 5, 0, 1), ValueError, "rules.limits: expected span"),
        (rule([0] * 5, 1, -1), ValueError, "rules.limits: expected span"),
        (rule([0] * 5, 1, 1, 2), ValueError, "rules.limits: expected span"),
        (Rules(torch.zeros(32, 5, dtype=torch.int32), torch.ones(32, 3, dtype=torch.int64)), ValueError, "at most 31"),
    ],
)
def test_bad_rules_are_named(rules, error, words):
    with pytest.raises(error, match=words):
        dpp(torch.ones(5, 2), torch.ones(5), whole(5), 2, rules=rules)


def test_rules_take_integers_alone():
    with pytest.raises(TypeError, match=r"^kinds: expected int32, got float32$"):
        Rules(torch.zeros(1, 5), torch.ones(1, 3, dtype=torch.int64))


def test_opcheck():
    vectors, rewards, offsets = ragged([9, 4], 6, 31)
    arguments = (vectors, rewards, offsets, 3, 0.5, 2, 1e-6, None, None, None, "auto", 1)
    torch.library.opcheck(torch.ops.headrace.dpp.default, arguments)


def test_many_threads_at_once():
    vectors, rewards, offsets = ragged([120, 64, 33], 16, 41)
    expected = dpp(vectors, rewards, offsets, 25, 0.5, 5)
    wrong = []

    def work():
        for _ in range(20):
            picked, gain = dpp(vectors, rewards, offsets, 25, 0.5, 5, threads=2)
            if not (torch.equal(picked, expected[0]) and torch.equal(gain, expected[1])):
                wrong.append(picked)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
