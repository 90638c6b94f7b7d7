"""Exposures age by the time of the question, and one wrong time or row harms nobody else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from headrace.data import UNKNOWN
from headrace.exposure import ExposureFilter, Stock
from headrace.exposure.filter import DAY_MS
from headrace.state import State

NOW = 1_700_000_000_000
#: Two years ahead; microseconds; nanoseconds; the largest; none.
WRONG = [NOW + 730 * DAY_MS, NOW * 1000, NOW * 10**6, 2**63 - 1, -5]


def longs(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)


def full(users: int = 50, each: int = 40) -> tuple[ExposureFilter, Tensor, Tensor]:
    """A filter, and the pairs that it holds, of the last 20 days."""
    seen = ExposureFilter()
    who, item = torch.arange(users).repeat_interleave(each), torch.arange(users * each) % 1000
    seen.record(who, item, NOW - torch.arange(users * each) % 20 * DAY_MS)
    return seen, who, item


def everything(seen: ExposureFilter) -> State:
    return seen.state()


def equal(a: State, b: State) -> bool:
    return a.facts == b.facts and all(torch.equal(tensor, b.tensors[name]) for name, tensor in a.tensors.items())


def test_a_question_has_its_own_time() -> None:
    seen = ExposureFilter(window_days=30)
    seen.record(longs(0, 0, 0), longs(1, 2, 3), NOW - longs(0, 10, 29) * DAY_MS)
    who, item = longs(0, 0, 0), longs(1, 2, 3)
    for later, expected in ((0, [1, 1, 1]), (19, [1, 1, 0]), (29, [1, 0, 0]), (32, [0, 0, 0]), (400, [0, 0, 0])):
        assert seen.seen(who, item, NOW + later * DAY_MS).tolist() == [bool(x) for x in expected], later
    # Each pair by its own, and an earlier question still knows what was shown meanwhile.
    times = NOW + longs(0, 40, 5) * DAY_MS
    assert seen.seen(who, item, times).tolist() == [True, False, False]
    assert seen.seen(who, item, NOW - 300 * DAY_MS).tolist() == [True] * 3


def test_a_user_of_later_days_takes_nothing_from_others() -> None:
    seen, who, item = full()
    seen.advance(NOW + 400 * DAY_MS)
    seen.record(longs(0), longs(7), NOW + 400 * DAY_MS)
    assert bool(seen.seen(who, item, NOW).sum() >= len(who) - 2)
    assert not bool(seen.seen(who, item, NOW + 400 * DAY_MS)[40:].any())
    seen.record(longs(9), longs(999), NOW + DAY_MS)
    assert seen.seen(longs(9, 0), longs(999, 7), NOW + DAY_MS).tolist() == [True, True]


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("scalar", [True, False])
def test_one_absurd_time_harms_nothing(wrong: int, scalar: bool) -> None:
    seen, who, item = full()
    seen.record(longs(3), longs(500), wrong if scalar else longs(wrong))
    assert bool(seen.seen(who, item).all())
    assert bool(seen.seen(who, item, NOW).all())
    assert seen.dropped["implausible time"] == 1
    seen.record(who, item + 1000, NOW + DAY_MS)
    assert bool(seen.seen(who, item + 1000).all())
    assert bool(seen.seen(who, item, NOW + DAY_MS).all())


@pytest.mark.parametrize("wrong", WRONG)
def test_one_absurd_row_of_the_first_ten_thousand_is_dropped(wrong: int) -> None:
    seen = ExposureFilter()
    who, item = torch.arange(10_000) % 100, torch.arange(10_000)
    at = torch.full_like(who, NOW)
    at[4321] = wrong
    seen.record(who, item, at)
    good = torch.arange(10_000) != 4321
    assert bool(seen.seen(who[good], item[good], NOW).all())
    assert seen.dropped == {"implausible time": 1, "too old": 0}


def test_a_log_of_many_years_is_no_absurdity_and_a_pause_is_none_either() -> None:
    seen = ExposureFilter(window_days=20_000)
    years = torch.arange(12)
    seen.record(years, years, NOW - (11 - years) * 365 * DAY_MS)
    assert bool(seen.seen(years, years).all())
    paused = ExposureFilter()
    paused.record(longs(0), longs(1), NOW)
    paused.record(longs(0), longs(2), NOW + 500 * DAY_MS)
    assert paused.seen(longs(0, 0), longs(1, 2)).tolist() == [False, True]
    paused.advance(NOW + 2000 * DAY_MS)
    paused.record(longs(0), longs(3), NOW + 2000 * DAY_MS)
    assert paused.seen(longs(0, 0), longs(2, 3)).tolist() == [False, True]


def test_default_generations_are_days() -> None:
    assert ExposureFilter().generations == 30
    assert ExposureFilter(window_days=7).generations == 7
    assert ExposureFilter(window_days=0.5).generations == 1
    assert ExposureFilter(window_days=300).generations == 30
    seen = ExposureFilter(window_days=7)
    seen.record(longs(0), longs(1), NOW)
    assert bool(seen.seen(longs(0), longs(1), NOW + 7 * DAY_MS))
    assert not bool(seen.seen(longs(0), longs(1), NOW + 8 * DAY_MS))


@pytest.mark.parametrize("window_days", [7.1, 1 / 7, 0.3, 1e-6, 4.351, 36_500, 0.0008217])
def test_a_state_keeps_the_window_to_the_millisecond(window_days: float) -> None:
    seen = ExposureFilter(window_days=window_days, generations=3)
    seen.record(longs(0, 0), longs(1, 2), NOW)
    state = seen.state()
    assert ExposureFilter.from_state(state).window_ms == seen.window_ms == round(window_days * DAY_MS)
    for ms in (3, 100, 28_512_345, 86_399_999):
        state.facts["window_ms"] = ms
        assert ExposureFilter.from_state(state).window_ms == ms


@pytest.mark.parametrize("row", [25_000_000, 10**12, 2**63 - 1])
def test_a_row_far_outside_the_room_is_refused_and_changes_nothing(row: int) -> None:
    seen, who, item = full()
    before = everything(seen)
    with pytest.raises(ValueError, match=rf"users: expected rows below \d+.*got {row}"):
        seen.record(longs(1, row), longs(3, 4), NOW)
    assert equal(before, everything(seen))
    seen.record(longs(60_000), longs(4), NOW)
    assert seen.users > 60_000
    assert bool(seen.seen(who, item).all())


@pytest.mark.parametrize("place", range(12))
def test_no_memory_leaves_nothing_changed(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, who, item = full()
    before = everything(seen)
    calls, cat = 0, torch.cat

    def starved(*arguments: object, **named: object) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == place + 1:
            raise RuntimeError("can't allocate memory")
        return cat(*arguments, **named)  # type: ignore[arg-type]

    users = torch.arange(0, 300).repeat_interleave(60)
    items = torch.arange(len(users)) + 5000
    with monkeypatch.context() as patch:
        patch.setattr(torch, "cat", starved)
        try:
            seen.record(users, items, NOW)
            failed = False
        except RuntimeError:
            failed = True
    again = everything(seen)
    if failed:
        assert bool(seen.seen(who, item).all())
        assert not bool(seen.seen(users, items).sum() > 0.03 * len(users))
        assert torch.equal(again["recent/count"][:51], before["recent/count"])
        assert equal(ExposureFilter.from_state(again).state(), again)
    seen.record(users, items, NOW)
    assert bool(seen.seen(users, items).all())
    assert bool(seen.seen(who, item).all())


@pytest.mark.parametrize("window_days", [0.0, -1.0, float("nan"), float("inf"), 40_000])
def test_windows_that_cannot_be_are_refused(window_days: float) -> None:
    with pytest.raises(ValueError, match="window_days: expected more than 0"):
        ExposureFilter(window_days=window_days)


def test_a_time_that_is_no_integer_is_refused() -> None:
    with pytest.raises(TypeError):
        ExposureFilter().record(longs(1), longs(1), float("nan"))  # type: ignore[arg-type]


def test_an_item_is_too_old_by_the_time_of_its_list() -> None:
    published = torch.tensor([UNKNOWN, 0, 50, 100, 2**62])
    stock = Stock(torch.arange(5), published, recall_ms=60)
    for times in ([110, 110, 110], [110, 60, 200], [-(2**60), 61, 2**61]):
        for width in (2, 5, 30):  # fewer pairs than items, and more
            item = torch.arange(3 * width) % 5
            offsets = torch.tensor([0, width, width, 3 * width])
            got = stock.old(torch.tensor(times), offsets, item)
            time = [times[0]] * width + [times[2]] * 2 * width
            known = [int(published[one]) for one in item]
            assert got.tolist() == [p != UNKNOWN and p < t - 60 for p, t in zip(known, time, strict=True)]
    none = torch.zeros(0, dtype=torch.int64)
    assert len(stock.old(none, torch.zeros(1, dtype=torch.int64), none)) == 0
