"""What may be shown: channels fill their quotas with it, and pages never run dry while there is any."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from headrace.channels import Channel
from headrace.data import Dataset
from headrace.exposure import Bars, ExposureFilter, Stock
from headrace.exposure.stock import DAY_MS, default_days
from headrace.recall import alone, asked, cut, fill, sift
from headrace.reranking import Reranker, Slots
from headrace.serving import Engine
from headrace.state import State
from headrace.training.build import Build
from headrace.types import FILL, Candidates, Requests

NOW = 1_700_000_000_000
ITEMS = 1000


class Rotated(Channel):
    """`length` items for each user, from a place of the user's own on; it remembers what it was asked."""

    name = "rotated"
    personalised = True

    def __init__(self, length: int = ITEMS) -> None:
        self.length = length
        self.asked: list[tuple[list[int], int]] = []

    @classmethod
    def fit(cls, build: Build, settings: object) -> Rotated:
        raise NotImplementedError

    def recall(self, requests: Requests, quota: int) -> Candidates:
        self.asked.append((requests.user.tolist(), quota))
        count = min(quota, self.length)
        item = ((requests.user[:, None] * 7 + torch.arange(count)) % ITEMS).flatten()
        offsets = torch.arange(len(requests) + 1) * count
        return Candidates(offsets, item, -torch.arange(len(item)).float(), torch.zeros_like(item))

    def state(self) -> State:
        raise NotImplementedError

    @classmethod
    def from_state(cls, state: State) -> Rotated:
        raise NotImplementedError


def requests_of(*users: int) -> Requests:
    return Requests(torch.tensor(users), torch.full((len(users),), NOW))


def bars_of(seen: dict[int, list[int]], order: Tensor | None = None) -> Bars:
    exposure = ExposureFilter(fpr=1e-5)
    for user, items in seen.items():
        exposure.record(torch.full((len(items),), user), torch.tensor(items), NOW)
    return Bars(exposure, replace(Stock.bare(ITEMS), order=torch.arange(ITEMS) if order is None else order))


def lists(candidates: Candidates) -> list[list[int]]:
    return [part.tolist() for part in candidates.item.split(candidates.counts.tolist())]


def sifted(requests: Requests, channels: list[Rotated], quotas: list[int], bars: Bars) -> list[list[list[int]]]:
    found = [channel.recall(requests, asked(quota)) for channel, quota in zip(channels, quotas, strict=True)]
    allowed = sift(requests, channels, quotas, found, bars)[0]
    return [lists(cut(one, quota)) for one, quota in zip(allowed, quotas, strict=True)]


def test_a_quota_is_filled_with_what_may_be_shown_and_only_short_lists_are_asked_anew() -> None:
    channel = Rotated()
    seen = {1: [7 + i for i in range(60)], 2: [14 + 2 * i for i in range(10)]}
    (got,) = sifted(requests_of(0, 1, 2), [channel], [40], bars_of(seen))
    assert got[0] == list(range(40))
    assert got[1] == [7 + 60 + i for i in range(40)]
    assert got[2] == [i for i in range(14, 100) if i not in seen[2]][:40]
    assert channel.asked == [([0, 1, 2], 50), ([1], 100)]


def test_a_channel_that_has_no_more_is_left_alone_and_one_that_has_not_enough_is_asked_a_few_times() -> None:
    small, large = Rotated(30), Rotated()
    everything = bars_of({1: list(range(ITEMS))})
    assert sifted(requests_of(1), [small, large], [40, 40], everything) == [[[]], [[]]]
    assert [depth for _, depth in small.asked] == [50]
    assert [depth for _, depth in large.asked] == [50, 100, 200, 400]


def test_what_a_request_gets_does_not_depend_on_its_batch() -> None:
    rng = np.random.default_rng(3)
    seen = {u: rng.choice(ITEMS, 150 * u, replace=False).tolist() for u in range(1, 6)}
    bars = bars_of(seen)
    users = [0, 3, 5, -1, 1, 4, 2]
    channels, quotas = [Rotated(), Rotated(60), Rotated(300)], [40, 50, 100]
    together = sifted(requests_of(*users), channels, quotas, bars)
    alone = [sifted(requests_of(user), channels, quotas, bars) for user in users]
    assert together == [[one[c][0] for one in alone] for c in range(3)]


def test_the_last_resort_follows_the_stock_and_repeats_nothing() -> None:
    order = torch.randperm(ITEMS, generator=torch.Generator().manual_seed(1))
    seen = {1: order[:700].tolist(), 2: order[::2].tolist(), 3: list(range(ITEMS))}
    bars = bars_of(seen, order)
    had = [[5, 9], order[701:705].tolist(), [], []]
    offsets = torch.tensor([0, 2, 6, 6, 6])
    item = torch.tensor([i for one in had for i in one])
    candidates = Candidates(offsets, item, torch.ones(6), torch.ones(6, dtype=torch.int64))
    requests = requests_of(0, 1, 2, 3)
    got = fill(requests, candidates, torch.tensor([0, 20, 600, 20]), bars)
    wanted = [
        [i for i in order.tolist() if i not in had[b] and i not in seen.get(b, [])][:missing]
        for b, missing in enumerate((0, 20, 600, 20))
    ]
    assert lists(got) == [a + b for a, b in zip(had, wanted, strict=True)]
    assert [len(one) for one in wanted] == [0, 20, 500, 0]
    bits = got.channels.split(got.counts.tolist())
    assert [one.tolist() for one in bits] == [
        [1] * len(a) + [1 << FILL] * len(b) for a, b in zip(had, wanted, strict=True)
    ]
    alone = [
        lists(fill(requests_of(b), _one(candidates, b), torch.tensor([n]), bars))[0]
        for b, n in enumerate((0, 20, 600, 20))
    ]
    assert alone == lists(got)


def _one(candidates: Candidates, b: int) -> Candidates:
    return candidates.keep(candidates.request == b).take(
        torch.arange(int(candidates.counts[b])), torch.tensor([0, int(candidates.counts[b])])
    )


def test_items_older_than_the_window_are_not_recalled() -> None:
    published = torch.full((ITEMS,), -1)
    published[:10], published[10:12] = NOW - 31 * DAY_MS, NOW - 29 * DAY_MS
    stock = Stock(torch.arange(ITEMS), published, 30 * DAY_MS)
    bars = Bars(ExposureFilter(), stock)
    channel = Rotated()
    requests = Requests(torch.zeros(3, dtype=torch.int64), NOW + torch.tensor([0, 2 * DAY_MS, -2 * DAY_MS]))
    found = [channel.recall(requests, asked(5))]
    kept, marked = sift(requests, [channel], [5], found, bars)
    assert lists(cut(kept[0], 5)) == [[10, 11, 12, 13, 14], [12, 13, 14, 15, 16], [0, 1, 2, 3, 4]]
    assert (marked[0].columns["why"] > 0).long().split(marked[0].counts.tolist())[1].sum() == 12
    nothing = fill(requests, Candidates.empty(3), torch.tensor([2, 2, 0]), bars)
    assert lists(nothing) == [[10, 11], [12, 13], []]


@pytest.mark.parametrize(("age", "days"), [(29, 30), (31, 0), (None, 0)])
def test_the_window_of_recall_is_the_logs_own(small_log: Dataset, age: int | None, days: int) -> None:
    log = small_log.log
    first = np.full(len(small_log.catalogue), log.time[-1])
    np.minimum.at(first, log.item, log.time)
    late = log.take(log.time - first[log.item] <= DAY_MS // 2)
    published = None if age is None else first - age * DAY_MS
    data = replace(small_log.with_log(late), catalogue=replace(small_log.catalogue, publish_time=published))
    assert default_days(data) == days
    assert Stock.of(data).recall_ms == days * DAY_MS
    assert Stock.of(data, 7).recall_ms == 7 * DAY_MS
    unknown = replace(data, catalogue=replace(data.catalogue, publish_time=np.full(len(first), -1)))
    assert default_days(unknown) == 0


@pytest.mark.parametrize("k", [7, 20, 150])
def test_refreshing_shows_all_there_is_and_every_page_is_full(engine: Engine, small_log: Dataset, k: int) -> None:
    rows = np.array([0, 1, 2, 55])
    users = [int(user) for user in small_log.users.ids.external(rows)]
    items = len(small_log.catalogue)
    everything = torch.arange(items).repeat(len(rows))
    who = torch.from_numpy(rows).repeat_interleave(items)
    shown: list[set[object]] = [set() for _ in users]
    for _ in range(-(-items // k) + 1):
        left = (~engine.funnel.exposure.seen(who, everything)).view(len(rows), items).sum(1).tolist()
        for b, page in enumerate(engine.recommend(users, k, record=True)):
            assert len(page.items) == min(k, left[b])
            assert not shown[b] & set(page.items)
            shown[b] |= set(page.items)
    # All that isn't in the log: none was lost but to chance.
    seen = [len(np.unique(small_log.log.item[(small_log.log.user == row) & (small_log.log.time < engine.as_of)]))
            for row in rows]  # fmt: skip
    assert all(items - a - len(b) <= 0.03 * items for a, b in zip(seen, shown, strict=True))


def test_items_with_slots_of_their_own_make_no_page_full(engine: Engine, small_log: Dataset) -> None:
    count = len(small_log.catalogue)
    marked = torch.where(torch.arange(count) < 300, 0, -1).int()
    given = engine.funnel.reranker
    settings = given.settings.model_copy(update={"slots": (Slots(kind="marked", positions=(2, 5)),), "rules": ()})
    reranker = Reranker(settings, given.vectors, {**given.kinds, "marked": marked}, given.pins)
    funnel = replace(engine.funnel, reranker=reranker)
    left = torch.cat([torch.arange(60), torch.arange(370, count)])
    rest = torch.tensor(sorted(set(range(count)) - set(left.tolist())))
    engine.funnel.exposure.record(torch.full_like(rest, 3), rest, engine.as_of)
    page = funnel.run(engine.requests(np.array([3])), 20).page
    assert len(page) == 20
    assert (marked[page.item] >= 0).nonzero().squeeze(1).tolist() == [1, 4]


def test_a_channel_alone_is_asked_until_its_list_is_full() -> None:
    known = list(range(600))
    bars, channel = bars_of({0: known}), Rotated()
    found = alone(requests_of(0, 1), channel, 20, bars)
    assert found.item[:20].tolist() == list(range(600, 620))
    assert found.item[20:].tolist() == list(range(7, 27))
    # Only the list that was short was asked for anew, twice as long each time.
    assert channel.asked == [([0, 1], 25), ([0], 50), ([0], 100), ([0], 200), ([0], 400), ([0], 800)]
    assert alone(requests_of(0), Rotated(605), 20, bars).item.tolist() == list(range(600, 605))
    everything = alone(requests_of(2), Rotated(), 5000, bars)
    assert everything.counts.tolist() == [ITEMS]


def test_a_quota_beyond_the_widest_list_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.recall._WIDEST", 300)
    bars, channel = bars_of({0: list(range(900))}), Rotated()
    requests = requests_of(0)
    for quota, asks in ((200, [250, 300]), (400, [496])):
        channel.asked.clear()
        sift(requests, [channel], [quota], [channel.recall(requests, asked(quota))], bars)
        assert [depth for _, depth in channel.asked] == asks
