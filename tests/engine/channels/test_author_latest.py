import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.channels.author_latest import AuthorLatest

ENGAGEMENT = ("like", "collect", "share", "follow")


def brute(logs, users, catalogue, authors, per_author, time):
    """What each user gets: [(item, score), ...], replaying rows, ranking authors, and listing their items."""
    rows = sorted(((int(log.time[i]), log, i) for log in logs for i in range(len(log))), key=lambda row: row[0])
    points = [sum(int(log.signals[name][i] == 1) for name in ENGAGEMENT if name in log.signals) for _, log, i in rows]
    if not any(points):
        points = [int(log.signals["click"][i] == 1) for _, log, i in rows]
    interest = [{} for _ in range(users)]
    first = {}
    for (at, log, i), gained in zip(rows, points, strict=True):
        first.setdefault(int(log.item[i]), at)
        author = int(catalogue.author[log.item[i]])
        if gained and author >= 0:
            mine = interest[log.user[i]]
            mine[author] = mine.pop(author, 0) + gained
    published = [int(t) if t >= 0 else first.get(i, -1) for i, t in enumerate(catalogue.publish_time)]
    out = []
    for mine in interest:
        recent = list(reversed(mine.items()))
        found = []
        for author, total in sorted(recent, key=lambda pair: -pair[1])[:authors]:
            items = [i for i in range(len(catalogue)) if catalogue.author[i] == author and published[i] <= time]
            items.sort(key=lambda i: (-published[i], i))
            found += [(i, float(np.float32(total) / np.float32(1 + r))) for r, i in enumerate(items[:per_author])]
        out.append(sorted(found, key=lambda pair: (-pair[1], pair[0])))
    return out


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    names=st.sampled_from([("click", "like", "share"), ("click",), ("click", "follow", "comment")]),
    authors=st.sampled_from([1, 2, 20]),
    per_author=st.sampled_from([1, 3, 50]),
    day=st.integers(-1, 10),
    quota=st.sampled_from([1, 7, 1000]),
)
def test_equals_brute_force(small, seed, names, authors, per_author, day, quota):
    logs = [small.random_log(seed, names=names), small.random_log(seed + 1, rows=31, names=names)]
    catalogue = small.random_catalogue(seed)
    channel = small.fit(AuthorLatest, logs, 8, catalogue, authors=authors, per_author=per_author)
    found = small.lists(channel.recall(small.requests(range(8), day * small.DAY), quota))
    expected = brute(logs, 8, catalogue, authors, per_author, day * small.DAY)
    assert found == [mine[:quota] for mine in expected]


def test_newest_items_of_favourite_authors_take_turns(small):
    catalogue = small.catalogue(6, author=[0, 0, 0, 1, 1, -1], publish_time=[1, 2, 3, 8, 9, 10])
    log = small.log([0, 0, 0, 0], [0, 0, 3, 5], like=[1, 1, 1, 1], click=[1, 1, 1, 1])
    channel = small.fit(AuthorLatest, [log], 1, catalogue)
    [found] = small.lists(channel.recall(small.requests([0]), 10))
    assert found == [(2, 2.0), (1, 1.0), (4, 1.0), (0, pytest.approx(2 / 3)), (3, 0.5)]


@pytest.mark.parametrize(("like", "found"), [([1, 0], [1, 0]), ([0, -1], [1, 1])])
def test_a_click_makes_an_author_only_where_nothing_more_is_known(small, like, found):
    log = small.log([0, 1], [0, 1], click=[1, 1], like=like)
    channel = small.fit(AuthorLatest, [log], 2, small.catalogue(2, author=[0, 1]))
    assert channel.recall(small.requests([0, 1]), 5).counts.tolist() == found


def test_items_not_yet_published_are_not_found(small):
    catalogue = small.catalogue(4, author=[0, 0, 0, 0], publish_time=[10, 20, -1, 30])
    log = small.log([0], [0], [15], click=[1])
    channel = small.fit(AuthorLatest, [log], 1, catalogue, per_author=2)

    def at(time):
        return [item for item, _ in small.lists(channel.recall(small.requests([0], time), 9))[0]]

    # Item 2 has no time and never appears in the log: the oldest, always there.
    assert (at(5), at(10), at(20), at(99)) == ([2], [0, 2], [1, 0], [3, 1])


def test_without_publish_times_the_first_appearance_counts(small):
    catalogue = small.catalogue(4, author=[0, 0, 0, 0])
    log = small.log([0, 0, 0, 0], [2, 0, 2, 1], [1, 2, 3, 4], click=[1, 0, 0, 0])
    [found] = small.lists(small.fit(AuthorLatest, [log], 1, catalogue).recall(small.requests([0]), 9))
    assert [item for item, _ in found] == [1, 0, 2, 3]


def test_a_catalogue_without_authors_has_no_such_channel(small):
    for catalogue in (small.catalogue(2), small.catalogue(2, author=[-1, -1])):
        words = AuthorLatest.needs(small.build([], 1, catalogue).dataset)
        assert words == "catalogue.author: expected the author of some items, got none"
    assert AuthorLatest.needs(small.build([], 1, small.catalogue(2, author=[-1, 0])).dataset) is None


@pytest.mark.parametrize("name", ["authors", "per_author"])
def test_errors_name_what_came(name):
    with pytest.raises(ValueError, match=f"{name}\n.*greater than or equal to 1"):
        AuthorLatest.Settings(**{name: 0})
