import os
import threading
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.data.dataset import InteractionLog
from headrace.exposure import ExposureFilter
from headrace.exposure.filter import CAPACITIES, DAY_MS
from headrace.state import State
from headrace.types import Candidates, Requests

NOW = 1_700_000_000_000


def longs(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int64)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 60), st.integers(-40 * DAY_MS, 5 * DAY_MS)), max_size=120),
    st.integers(1, 5),
)
def test_whatever_was_shown_within_the_window_is_seen(shown: list[tuple[int, int, int]], generations: int) -> None:
    seen = ExposureFilter(generations=generations, capacities=(2, 3, 8), recent=4)
    for start in range(0, len(shown), 17):  # several records, out of order, old ones among them
        user, item, at = torch.tensor(shown[start : start + 17], dtype=torch.int64).T
        seen.record(user, item, at + NOW)
    latest = max((at for _, _, at in shown), default=0)
    window = 30 * DAY_MS
    inside = [(u, i) for u, i, at in shown if at > latest - window]
    if inside:
        users, items = torch.tensor(inside).T
        assert bool(seen.seen(users, items).all())
    forgotten = {(u, i) for u, i, at in shown if at <= latest - window - -(-window // generations)}
    gone = sorted(forgotten - {(u, i) for u, i, at in shown if at > latest - window - -(-window // generations)})
    if gone:
        users, items = torch.tensor(gone).T
        assert int(seen.seen(users, items).sum()) <= 2  # chance alone


def test_the_rate_is_the_designed_one_when_every_filter_is_full() -> None:
    seen = ExposureFilter(fpr=0.02, generations=3, capacities=(12, 48, 192))
    users, each = 40, 252
    for slot in range(4):
        user = torch.arange(users).repeat_interleave(each)
        seen.record(user, torch.arange(users * each) + slot * 100_000, NOW + slot * 10 * DAY_MS)
    assert seen.overfull == 0
    assert seen.designed_fpr <= 0.02
    tries = 5000
    wrong = seen.seen(torch.arange(users).repeat_interleave(tries), torch.arange(users * tries) + 10_000_000)
    # Five standard deviations of a binomial count: well within a quarter of the rate.
    expected = seen.designed_fpr * users * tries
    margin = 5 * expected**0.5
    assert margin < 0.25 * expected
    assert abs(float(wrong.sum()) - expected) <= 0.25 * expected


@pytest.mark.parametrize("each", [9, 165, 2300])
def test_the_rate_stays_below_the_design_for_light_and_heavy_users(each: int) -> None:
    seen = ExposureFilter(fpr=0.01)
    users = max(4, 2000 // each)
    generator = torch.Generator().manual_seed(each)
    user = torch.arange(users).repeat_interleave(each)
    item = torch.randperm(10**6, generator=generator)[: len(user)]
    at = NOW - torch.randint(0, 30 * DAY_MS, (len(user),), generator=generator)
    seen.record(user, item, at)
    assert bool(seen.seen(user, item).all())
    tries = 100_000 // users
    wrong = seen.seen(torch.arange(users).repeat_interleave(tries), torch.arange(users * tries) + 10**6)
    count = users * tries * 0.01
    assert float(wrong.sum()) <= 1.25 * count
    assert seen.overfull == 0


def test_generations_age_out_and_their_filters_are_used_again() -> None:
    seen = ExposureFilter(generations=3, capacities=(12, 48))
    user, item = torch.zeros(60, dtype=torch.int64), torch.arange(60)
    seen.record(user, item, NOW)
    assert bool(seen.seen(user, item).all())
    seen.advance(NOW + 30 * DAY_MS)
    assert bool(seen.seen(user, item).all())
    before = seen.memory_bytes
    seen.advance(NOW + 41 * DAY_MS)
    assert not bool(seen.seen(user, item).any())
    for round_ in range(10):
        seen.record(user, item + 100 * round_, NOW + (42 + 11 * round_) * DAY_MS)
    assert seen.memory_bytes < 8 * before
    assert seen.bits_per_user < 8 * 64 * 60


def test_time_never_runs_backwards() -> None:
    seen = ExposureFilter()
    seen.record(longs(0), longs(1), NOW)
    seen.advance(NOW - 100 * DAY_MS)
    seen.record(longs(0), longs(2), NOW - 100 * DAY_MS)
    assert seen.seen(longs(0, 0), longs(1, 2)).tolist() == [True, False]


def test_repeats_take_no_capacity() -> None:
    seen = ExposureFilter(capacities=(12,))
    for _ in range(50):
        seen.record(torch.zeros(10, dtype=torch.int64), torch.arange(10), NOW)
    assert seen.overfull == 0
    seen.record(torch.zeros(40, dtype=torch.int64), torch.arange(40), NOW)
    assert seen.overfull == 1
    assert bool(seen.seen(torch.zeros(40, dtype=torch.int64), torch.arange(40)).all())


def test_nobody_and_newcomers() -> None:
    seen = ExposureFilter()
    assert seen.seen(longs(-1, 0, 7), longs(1, 1, 1)).tolist() == [False] * 3
    seen.record(longs(-1, 3, -5), longs(9, 9, 9), NOW)
    assert seen.users >= 4
    assert seen.seen(longs(-1, 3, -5, 1000), longs(9, 9, 9, 9)).tolist() == [False, True, False, False]
    nothing = torch.zeros(0, dtype=torch.int64)
    seen.record(nothing, nothing)
    assert seen.seen(nothing, nothing).shape == (0,)


def test_the_recent_list_is_exact_and_newest_first() -> None:
    seen = ExposureFilter(recent=4)
    seen.record(longs(0, 1, 0, 0), longs(5, 6, 7, 8), NOW)
    assert seen.recent(longs(0, 1, 2, -1)).tolist() == [[8, 7, 5, -1], [6, -1, -1, -1], [-1] * 4, [-1] * 4]
    seen.record(torch.zeros(9, dtype=torch.int64), torch.arange(9), NOW)
    assert seen.recent(longs(0)).tolist() == [[8, 7, 6, 5]]
    assert seen.seen_recently(longs(0, 0, 1, -1), longs(5, 4, 6, -1)).tolist() == [True, False, True, False]


def test_a_ring_agrees_with_a_plain_list() -> None:
    generator = torch.Generator().manual_seed(3)
    seen, lists = ExposureFilter(recent=5), [[] for _ in range(7)]  # type: ignore[var-annotated]
    for n in (1, 0, 17, 64, 3):
        users = torch.randint(0, 7, (n,), generator=generator)
        items = torch.randint(0, 1000, (n,), generator=generator)
        seen.record(users, items, NOW)
        for user, item in zip(users.tolist(), items.tolist(), strict=True):
            lists[user].insert(0, item)
    expected = [(shown[:5] + [-1] * 5)[:5] for shown in lists]
    assert seen.recent(torch.arange(7)).tolist() == expected


def test_filter_drops_what_was_seen_and_keeps_the_rest_in_order() -> None:
    seen = ExposureFilter()
    seen.record(longs(4, 4, 2), longs(10, 11, 10), NOW)
    offsets, items = longs(0, 3, 3, 6, 8), longs(10, 12, 11, 10, 11, 12, 10, 11)
    candidates = Candidates(offsets, items, torch.arange(8.0), torch.ones(8, dtype=torch.int64), {"x": items * 2})
    requests = Requests(longs(4, 4, 2, -1), torch.full((4,), NOW))
    kept, removed = seen.filter(candidates, requests)
    assert removed.tolist() == [True, False, True, True, False, False, False, False]
    assert kept.offsets.tolist() == [0, 1, 1, 3, 5]
    assert kept.item.tolist() == [12, 11, 12, 10, 11]
    assert kept.columns["x"].tolist() == [24, 22, 24, 20, 22]
    none, removed = seen.filter(Candidates.empty(0), Requests(longs(), longs()))
    assert (none.batch, len(removed)) == (0, 0)
    with pytest.raises(ValueError, match="requests: expected 4"):
        seen.filter(candidates, Requests(longs(1), longs(1)))


def test_build_takes_impressions_up_to_now() -> None:
    day = np.array([0, 40, 41, 60, 80], np.int64) * DAY_MS
    log = InteractionLog(
        np.zeros(5, np.int32), np.arange(5, dtype=np.int32), day, {"impression": np.array([1, 1, 0, -1, 1], np.int8)}
    )
    seen = ExposureFilter.build(log, users=3, now=61 * DAY_MS)
    assert seen.users == 3
    assert seen.seen(torch.zeros(5, dtype=torch.int64), torch.arange(5)).tolist() == [False, True, False, True, False]
    assert seen.recent(longs(0))[0, :3].tolist() == [3, 1, -1]
    every = ExposureFilter.build(InteractionLog(log.user, log.item, log.time, {}), users=3)
    assert bool(every.seen(longs(0, 0), longs(3, 4)).all())


def without_generations(seen: ExposureFilter) -> State:
    """The state of a time when all users shared the generations, and the newest was told as one of them."""
    state = seen.state()
    newest = state.facts["newest"]
    return State(
        {name: tensor for name, tensor in state.tensors.items() if name != "generation"},
        state.facts | {"newest": None if newest is None else newest // (2 * DAY_MS)},
    )


def test_a_state_of_shared_generations() -> None:
    seen = ExposureFilter(window_days=6, generations=3, capacities=(2, 3))
    user, item, day = longs(0, 0, 0, 1, 3, 3), longs(5, 6, 7, 5, 8, 9), longs(0, 2, 6, 4, 0, 6)
    seen.record(user, item, NOW + day * DAY_MS)
    again = ExposureFilter.from_state(without_generations(seen))
    assert torch.equal(again._days.generation, seen._days.generation)
    for later in range(16):
        at = NOW + later * DAY_MS
        assert torch.equal(again.seen(user, item, at), seen.seen(user, item, at))
    again.record(longs(0), longs(11), NOW + 7 * DAY_MS)
    assert again.seen(longs(0, 0), longs(11, 7), NOW + 8 * DAY_MS).tolist() == [True, True]
    never = ExposureFilter.from_state(without_generations(ExposureFilter()))
    assert not never.seen(longs(0), longs(0)).any()


def test_times_are_not_taken_for_shared_generations() -> None:
    seen = ExposureFilter()
    seen.record(longs(0), longs(5), NOW)
    state = seen.state()
    del state.tensors["generation"]
    with pytest.raises(ValueError, match="generation: expected a table of them, got none"):
        ExposureFilter.from_state(state)


def test_state_round_trip() -> None:
    seen = ExposureFilter(0.02, window_days=7, generations=2, capacities=(12, 48), recent=3)
    generator = torch.Generator().manual_seed(1)
    users, items = (
        torch.randint(0, 50, (3000,), generator=generator),
        torch.randint(0, 10_000, (3000,), generator=generator),
    )
    seen.record(users, items, NOW)
    again = ExposureFilter.from_state(seen.state())
    assert bool(again.seen(users, items).all())
    assert torch.equal(again.recent(torch.arange(60)), seen.recent(torch.arange(60)))
    assert again.designed_fpr == seen.designed_fpr
    for one in (seen, again):
        one.record(users + 20, items + 1, NOW + 4 * DAY_MS)
    probe = torch.randint(0, 80, (5000,), generator=generator), torch.randint(0, 20_000, (5000,), generator=generator)
    assert torch.equal(seen.seen(*probe), again.seen(*probe))
    empty = ExposureFilter.from_state(ExposureFilter().state())
    assert not bool(empty.seen(longs(1), longs(1)).any())


def test_readers_and_writers_together_lose_nothing() -> None:
    seen = ExposureFilter(capacities=(12, 48), recent=2)
    each, failures = 40, []
    users = torch.arange(200)

    def write(base: int) -> None:
        for n in range(each):
            items = torch.full_like(users, base + n)
            seen.record(users + n, items, NOW)
            if not bool(seen.seen(users + n, items).all()):
                failures.append(base + n)

    def read() -> None:
        for n in range(100):
            seen.seen(users + n, users)
            seen.recent(users + n)

    threads = [threading.Thread(target=write, args=(1000 * (w + 1),)) for w in range(3)]
    threads += [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for base in (1000, 2000, 3000):
        for n in range(each):
            assert bool(seen.seen(users + n, torch.full_like(users, base + n)).all())


@pytest.mark.parametrize(
    ("settings_", "word"),
    [
        ({"fpr": 0.0}, "fpr"),
        ({"fpr": float("nan")}, "fpr"),
        ({"window_days": 0}, "window_days"),
        ({"generations": 0}, "generations"),
        ({"capacities": ()}, "capacities"),
        ({"recent": -1}, "recent"),
    ],
)
def test_bad_settings(settings_: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        ExposureFilter(**settings_)  # type: ignore[arg-type]


def test_bad_input() -> None:
    seen = ExposureFilter()
    with pytest.raises(TypeError, match="items: expected int64, got float32"):
        seen.record(longs(1), torch.zeros(1))
    with pytest.raises(ValueError, match="items: expected 2 entries"):
        seen.seen(longs(1, 2), longs(1))
    with pytest.raises(ValueError, match="at: expected 1 entries"):
        seen.record(longs(1), longs(1), longs(1, 2))
    with pytest.raises(ValueError, match=r"items: expected 0 to 2\^31-1, got -4"):
        seen.record(longs(1), longs(-4))
    assert len(CAPACITIES) > 1


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "user", "item"),
    [
        ("ml-1m/ratings.parquet", "user_id", "movie_id"),
        ("kuairand-pure/log_standard_4_25_to_5_08_pure.parquet", "user_id", "video_id"),
    ],
)
def test_a_real_log_is_all_seen_at_the_designed_rate(file: str, user: str, item: str) -> None:
    folder = Path(os.environ.get("HEADRACE_DATA", Path(__file__).parents[4] / "shared" / "data"))
    if not (folder / file).exists():
        pytest.skip(f"{folder / file} is not there")
    rows = parquet.read_table(folder / file, columns=[user, item])
    users = torch.from_numpy(np.unique(rows[user].to_numpy(), return_inverse=True)[1].astype(np.int64))
    items = torch.from_numpy(rows[item].to_numpy().astype(np.int64))
    seen = ExposureFilter(fpr=0.01)
    seen.record(users, items, NOW)
    assert seen.overfull == 0
    assert bool(seen.seen(users, items).all())
    assert float(seen.seen(users, items + 10**9).float().mean()) <= 0.0125
