import pytest

from headrace.channels.followed_authors import FollowedAuthors


def test_newest_items_of_followed_authors_alone(small):
    catalogue = small.catalogue(6, author=[0, 0, 1, 1, 2, -1], publish_time=[1, 2, 3, 4, 5, 6])
    log = small.log([0, 0, 0, 1, 1], [0, 2, 4, 5, 4], like=[1, 1, 1, 1, 1], follow=[1, 0, 0, 1, -1])
    found = small.lists(small.fit(FollowedAuthors, [log], 2, catalogue).recall(small.requests([0, 1, -1]), 9))
    # User 1 followed at an item without an author.
    assert found == [[(1, 1.0), (0, 0.5)], [], []]


def test_follows_count_however_old_and_the_last_ones_where_there_are_too_many(small):
    catalogue = small.catalogue(3, author=[0, 1, 2], publish_time=[1, 2, 3])
    older, log = small.log([0], [0], follow=[1]), small.log([0, 0], [1, 2], [10, 11], follow=[1, 1])
    [found] = small.lists(small.fit(FollowedAuthors, [older, log], 1, catalogue).recall(small.requests([0]), 9))
    assert [item for item, _ in found] == [0, 1, 2]
    channel = small.fit(FollowedAuthors, [older, log], 1, catalogue, authors=2)
    assert channel.recall(small.requests([0]), 9).item.tolist() == [1, 2]


def test_an_author_whose_items_are_all_too_old_or_unpublished_brings_none(small):
    catalogue = small.catalogue(3, author=[0, 0, 1], publish_time=[1, 500, 90])
    made = small.build([small.log([0, 0], [0, 2], [100, 100], follow=[1, 1])], 1, catalogue, recall_ms=20)
    channel = FollowedAuthors.fit(made, FollowedAuthors.Settings())
    assert channel.recall(small.requests([0], 101), 9).item.tolist() == [2]
    assert channel.recall(small.requests([0], 500), 9).item.tolist() == [1, 2]


@pytest.mark.parametrize("follow", [{}, {"follow": [0, -1]}])
def test_a_log_without_follows_has_no_such_channel(small, follow):
    made = small.build([small.log([0, 0], [0, 1], click=[1, 1], **follow)], 1, small.catalogue(2, author=[0, 1]))
    assert FollowedAuthors.needs(made.dataset) == "log.follow: expected a 1 in some row, got none"
    made = small.build([small.log([0], [0], follow=[1])], 1, small.catalogue(1))
    assert FollowedAuthors.needs(made.dataset) == "catalogue.author: expected the author of some items, got none"
