"""The cache: what ranked high and wasn't shown, against a list kept by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.channels.cache import Cache
from headrace.types import Candidates, Requests

DAY = 86_400_000


def cache(small, users=4, **chosen):
    return Cache.fit(small.build([], users, 50), Cache.Settings(**chosen))


def ranked_of(small, lists):
    """Candidates by falling score, as ranked."""
    return small.candidates(lists)


def tell(small, channel, users, lists, time=0, recalled=None):
    nothing = small.candidates([[]] * len(users))
    channel.served(small.requests(users, time), nothing if recalled is None else recalled, ranked_of(small, lists))


def items(small, channel, users, time=0, quota=99):
    found = channel.recall(small.requests(users, time), quota)
    return [[item for item, _ in mine] for mine in small.lists(found)]


def test_first_in_first_out_and_what_is_shown_leaves(small):
    channel = cache(small, capacity=3, top=1)
    for item in (10, 11, 12, 13):
        tell(small, channel, [1], [[item]])
    assert [sorted(mine) for mine in items(small, channel, [1])] == [[11, 12, 13]]
    channel.shown(torch.tensor([1, 0, -1, 1]), torch.tensor([11, 12, 13, 40]))
    assert [sorted(mine) for mine in items(small, channel, [1])] == [[12, 13]]
    tell(small, channel, [1], [[14]])
    assert [sorted(mine) for mine in items(small, channel, [1])] == [[12, 13, 14]]


def test_an_item_leaves_after_so_many_recalls(small):
    channel = cache(small, recalls=10)
    tell(small, channel, [2], [[7, 8]])
    for _ in range(10):
        assert items(small, channel, [2]) == [[7, 8]]
        tell(small, channel, [2], [[]], recalled=small.candidates([[7]]))
    assert items(small, channel, [2]) == [[8]]


def test_an_item_leaves_after_so_many_days_and_stays_as_it_was_when_it_ranks_again(small):
    channel = cache(small, days=3)
    tell(small, channel, [0], [[5, 6]], time=1000)
    tell(small, channel, [0], [[6, 9]], time=1000 + 2 * DAY)
    assert sorted(items(small, channel, [0], time=1000 + 3 * DAY - 1)[0]) == [5, 6, 9]
    assert items(small, channel, [0], time=1000 + 3 * DAY) == [[9]]


def test_users_are_told_apart_and_unknown_ones_have_none(small):
    channel = cache(small)
    tell(small, channel, [3, -1, 0, 3], [[1], [2], [3, 4], [5]])
    # Of two requests of a user in a batch the last counts.
    assert items(small, channel, [0, 1, 3, -1]) == [[3, 4], [], [5], []]
    assert items(small, channel, [0], quota=1) == [[3]]


def test_it_may_be_told_in_inference_mode(small):
    channel = cache(small)
    with torch.inference_mode():
        tell(small, channel, [0], [[1, 2]])
        channel.shown(torch.tensor([0]), torch.tensor([1]))
    tell(small, channel, [0], [[3]])
    assert sorted(items(small, channel, [0])[0]) == [2, 3]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), capacity=st.sampled_from([1, 4, 30]), top=st.sampled_from([1, 3, 20]))
def test_equals_lists_kept_by_hand(small, seed, capacity, top):
    random = np.random.default_rng(seed)
    channel = cache(small, users=5, capacity=capacity, top=top, recalls=3, days=2)
    held: list[list[list]] = [[] for _ in range(5)]  # of each user [item, score, stored, recalls], oldest first

    def alive(user, time):
        return [one for one in held[user] if one[3] < 3 and one[2] > time - 2 * DAY]

    time = 0
    for _ in range(12):
        time += int(random.integers(0, DAY))
        users = random.permutation(5)[: random.integers(1, 5)]
        requests = Requests(torch.from_numpy(users), torch.full((len(users),), time))
        recalled = channel.recall(requests, 6)
        for user, mine in zip(users.tolist(), small.lists(recalled), strict=True):
            expected = sorted(alive(user, time), key=lambda one: (-one[1], one[0]))[:6]
            assert mine == [(one[0], one[1]) for one in expected]
        score = torch.from_numpy(random.integers(0, 5, (len(users), 12)).astype(np.float32))
        item = torch.from_numpy(np.stack([random.permutation(20)[:12] for _ in users]))
        offsets = torch.arange(len(users) + 1) * 12
        channel.served(requests, recalled, Candidates(offsets, item.flatten(), score.flatten(), item.flatten() * 0))
        for b, user in enumerate(users.tolist()):
            for one in held[user]:
                one[3] += one[0] in recalled.item[recalled.request == b].tolist() and one in alive(user, time)
            held[user] = alive(user, time)
            best = sorted(zip(item[b].tolist(), score[b].tolist(), strict=True), key=lambda p: (-p[1], p[0]))[:top]
            known = {one[0] for one in held[user]} | set(recalled.item[recalled.request == b].tolist())
            held[user] += [[i, s, time, 0] for i, s in reversed(best) if i not in known]
            held[user] = held[user][-capacity:]
        gone = int(random.integers(0, 20))
        channel.shown(torch.from_numpy(users), torch.full((len(users),), gone))
        for user in users.tolist():
            held[user] = [one for one in held[user] if one[0] != gone]
        channel = Cache.from_state(channel.state())


def test_a_user_outside_the_table_is_an_error(small):
    with pytest.raises(ValueError, match=r"user: expected rows from -1 to 3, got \[4\]"):
        cache(small).recall(small.requests([4]), 5)
