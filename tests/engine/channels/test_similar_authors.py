import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.channels.similar_authors import SimilarAuthors


def brute(log, users, catalogue, chosen):
    """What each user gets: authors by the cosine of their fans, then the newest of each."""
    names = ("like", "share", "follow")
    interest = np.zeros((users, int(catalogue.author.max()) + 1))
    met = np.full_like(interest, -1)
    for i in range(len(log)):
        author, points = catalogue.author[log.item[i]], sum(log.signals[name][i] == 1 for name in names)
        if author >= 0 and points:
            interest[log.user[i], author] += points
            met[log.user[i], author] = i
    fans = interest > 0
    common = fans.T.astype(int) @ fans.astype(int)
    size = np.diag(common)
    near = []
    for one in range(len(size)):
        others = [two for two in range(len(size)) if two != one and common[one, two] >= chosen.min_common]
        others.sort(key=lambda two: (-(common[one, two] ** 2) / (size[one] * size[two]), two))
        near.append({two: common[one, two] / math.sqrt(size[one] * size[two]) for two in others[: chosen.neighbours]})
    out = []
    for mine, last in zip(interest, met, strict=True):
        own = sorted(np.flatnonzero(mine).tolist(), key=lambda a: (-mine[a], -last[a]))[: chosen.authors]
        worth = {}
        for author in own:
            for two, similarity in near[author].items():
                worth[two] = worth.get(two, 0) + mine[author] * similarity
        found = {}
        for author, interest_in in worth.items():
            items = [i for i in range(len(catalogue)) if catalogue.author[i] == author]
            items.sort(key=lambda i: (-catalogue.publish_time[i], i))
            found |= {item: interest_in / (1 + r) for r, item in enumerate(items[: chosen.per_author])}
        out.append(found)
    return out


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    authors=st.sampled_from([1, 20]),
    per_author=st.sampled_from([1, 3]),
    neighbours=st.sampled_from([2, 10]),
    min_common=st.sampled_from([1, 2]),
)
def test_equals_brute_force(small, seed, authors, per_author, neighbours, min_common):
    log = small.random_log(seed, rows=150, names=("click", "like", "share", "follow"), rate=0.2)
    random = np.random.default_rng(seed)
    catalogue = small.catalogue(31, random.integers(-1, 8, 31), publish_time=random.integers(0, 9, 31))
    chosen = SimilarAuthors.Settings(
        authors=authors, per_author=per_author, neighbours=neighbours, min_common=min_common
    )
    channel = SimilarAuthors.fit(small.build([log], 7, catalogue), chosen)
    found = small.lists(channel.recall(small.requests(range(7)), 1000))
    for mine, expected in zip(found, brute(log, 7, catalogue, chosen), strict=True):
        assert {item for item, _ in mine} == set(expected)
        np.testing.assert_allclose([score for _, score in mine], [expected[item] for item, _ in mine], rtol=1e-5)


def test_fans_in_common_lead_to_an_author_that_the_user_has_not_met(small):
    # Users 0 to 2 like authors 0 and 1, user 3 likes author 0 alone, author 2 has nobody's likes.
    catalogue = small.catalogue(4, author=[0, 1, 1, 2], publish_time=[1, 2, 3, 4])
    log = small.log([0, 1, 2, 0, 1, 2, 3], [0, 0, 0, 1, 1, 1, 0], like=[1] * 7)
    channel = small.fit(SimilarAuthors, [log], 4, catalogue)
    [found] = small.lists(channel.recall(small.requests([3]), 9))
    assert found == [(2, pytest.approx(3 / math.sqrt(12)))]


def test_an_author_whose_items_are_all_too_old_takes_no_place(small):
    # Author 1 shares two fans with author 0, author 2 one; all that author 1 has is older than 4.
    catalogue = small.catalogue(3, author=[0, 1, 2], publish_time=[9, 1, 9])
    log = small.log([0, 0, 1, 1, 1, 2], [0, 1, 0, 1, 2, 0], like=[1] * 6)
    chosen = SimilarAuthors.Settings(neighbours=1, min_common=1)
    for recall_ms, item in ((0, 1), (2, 2)):
        channel = SimilarAuthors.fit(small.build([log], 3, catalogue, recall_ms=recall_ms), chosen)
        [found] = small.lists(channel.recall(small.requests([2]), 9))
        assert [one for one, _ in found] == [item]


def test_authors_without_items_of_theirs_or_common_fans_bring_none(small):
    catalogue = small.catalogue(2, author=[0, 5], publish_time=[1, 2])
    channel = small.fit(SimilarAuthors, [small.log([0, 1], [0, 1], like=[1, 1])], 2, catalogue)
    assert len(channel.recall(small.requests([0, 1]), 9)) == 0
