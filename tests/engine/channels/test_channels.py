"""What holds for every channel here."""

import pytest
import torch

from headrace.channels import AuthorLatest, ItemCF, Popular, PopularInCategory

USERS, ITEMS = 7, 31
KINDS = {"itemcf": ItemCF, "author_latest": AuthorLatest, "popular": Popular, "popular_in_category": PopularInCategory}


@pytest.fixture(params=list(KINDS))
def channel(request, small):
    logs, catalogue = [small.random_log(11)], small.random_catalogue(11)
    if request.param == "itemcf":
        return ItemCF.fit(logs, USERS, ITEMS)
    if request.param == "popular":
        return Popular.fit(logs, ITEMS)
    return KINDS[request.param].fit(logs, USERS, catalogue)


def same(one, other):
    names = ("offsets", "item", "score", "channels")
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in names)


def test_fits_read_only_arrays(small):
    log, catalogue = small.random_log(2), small.random_catalogue(2)
    columns = [log.user, log.item, log.time, catalogue.author, catalogue.publish_time]
    for column in [*columns, catalogue.category.offsets, catalogue.category.values, *log.signals.values()]:
        column.setflags(write=False)
    ItemCF.fit([log], USERS, ITEMS)
    Popular.fit([log], ITEMS)
    AuthorLatest.fit([log], USERS, catalogue)
    PopularInCategory.fit([log], USERS, catalogue)


def test_is_named_and_says_whether_it_is_personal(channel):
    assert KINDS[channel.name] is type(channel)
    assert channel.personalised is (channel.name != "popular")


def test_recall_is_the_same_after_a_round_trip(channel, small):
    state = {name: tensor.clone() for name, tensor in channel.state().items()}
    again = type(channel).from_state(state)
    requests = small.requests([3, -1, 0, 6])
    assert same(again.recall(requests, 10), channel.recall(requests, 10))
    assert same(type(channel).from_state(again.state()).recall(requests, 10), channel.recall(requests, 10))


@pytest.mark.parametrize("quota", [1, 5, 1000])
def test_batch_of_five_equals_five_singles(channel, small, quota):
    users = [4, -1, 0, 4, 6]
    whole = small.lists(channel.recall(small.requests(users), quota))
    assert whole == [small.lists(channel.recall(small.requests([user]), quota))[0] for user in users]


@pytest.mark.parametrize("quota", [1, 5, 1000])
def test_what_comes_back_is_sorted_distinct_and_within_the_quota(channel, small, quota):
    found = channel.recall(small.requests(range(USERS)), quota)
    assert (found.offsets.dtype, found.item.dtype, found.channels.dtype) == (torch.int64,) * 3
    assert found.score.dtype == torch.float32
    assert not found.channels.any()
    assert len(found) > 0
    for mine in small.lists(found):
        assert mine == sorted(mine, key=lambda pair: (-pair[1], pair[0]))
        assert len({item for item, _ in mine}) == len(mine) <= quota


def test_unknown_users_get_only_what_is_not_personal(channel, small):
    found = small.lists(channel.recall(small.requests([-1]), 5))
    assert len(found[0]) == (0 if channel.personalised else 5)


def test_no_requests(channel, small):
    found = channel.recall(small.requests([]), 5)
    assert found.batch == 0
    assert found.offsets.tolist() == [0]


def test_a_quota_is_at_least_one(channel, small):
    with pytest.raises(ValueError, match="quota: expected at least 1, got 0"):
        channel.recall(small.requests([0]), 0)


def test_a_user_outside_the_table_is_an_error(channel, small):
    if channel.personalised:
        with pytest.raises(ValueError, match=r"requests\.user: expected rows from -1 to 6, got \[0, 7\]"):
            channel.recall(small.requests([0, 7]), 5)
