import numpy as np
import pytest

from headrace.data import generate, read_parquet, split_by_time, write_parquet
from headrace.data.synthetic import START_MS
from headrace.data.world import Categories


@pytest.fixture(scope="module")
def world():
    return generate(users=3_000, items=10_000, events=200_000, seed=3)


def auc(score, label):
    """The chance that a clicked event scores above an unclicked one (ties count half)."""
    order = np.argsort(score, kind="stable")
    _, first, counts = np.unique(score[order], return_index=True, return_counts=True)
    rank = np.empty(len(score))
    rank[order] = np.repeat(first + (counts + 1) / 2, counts)
    hits = label.sum()
    return (rank[label].sum() - hits * (hits + 1) / 2) / (hits * (len(label) - hits))


def columns(data):
    log, items = data.log, data.catalogue
    yield from (log.user, log.item, log.time, log.play_time_ms, log.duration_ms)
    yield from (*log.signals.values(), *log.context.values(), *data.users.features.values())
    yield from (items.author, items.city, items.category.values, items.keyword.values, items.keyword.offsets)
    yield from (items.publish_time, items.duration_ms, items.vector, items.marked)


def test_same_seed_same_bits(world):
    again = generate(users=3_000, items=10_000, events=200_000, seed=3)
    for a, b in zip(columns(world.dataset), columns(again.dataset), strict=True):
        np.testing.assert_array_equal(a, b)
    assert world.truth.bias == again.truth.bias
    other = generate(users=3_000, items=10_000, events=200_000, seed=4)
    assert not np.array_equal(world.dataset.log.item, other.dataset.log.item)


def test_shapes_and_ranges(world):
    data, log, items = world.dataset, world.dataset.log, world.dataset.catalogue
    assert (len(log), len(data.users), len(items)) == (200_000, 3_000, 10_000)
    assert (log.user.dtype, log.item.dtype, log.time.dtype) == (np.int32, np.int32, np.int64)
    assert (np.diff(log.time) >= 0).all()
    assert log.time[0] >= START_MS
    assert set(log.signals) == {"impression", "click", "like", "collect", "share", "follow", "comment", "completion"}
    assert all(signal.dtype == np.int8 and set(np.unique(signal)) <= {0, 1} for signal in log.signals.values())
    assert items.vector.shape == (10_000, 64)
    assert items.vector.dtype == np.float32
    for codes, texts in ((items.category.values, items.names["category"]), (log.context["device"], ["d", "p", "t"])):
        assert 0 <= codes.min() <= codes.max() < len(texts)
    for name, codes in data.users.features.items():
        assert codes.dtype == np.int32
        assert codes.max() < len(data.users.names[name])
    assert 0.01 < items.marked.mean() < 0.03


def test_nothing_is_shown_before_it_is_published(world):
    log, published = world.dataset.log, world.dataset.catalogue.publish_time
    assert (published[log.item] <= log.time).all()
    assert 0.15 < (published > START_MS).mean() < 0.25
    train, test = split_by_time(log)
    fresh = np.setdiff1d(np.unique(test.item), np.unique(train.item))
    assert len(fresh) > 0


def test_clicks_are_drawn_from_the_truth(world):
    log, truth = world.dataset.log, world.truth
    click = log.signals["click"] == 1
    chance = truth.click_probability(log.user, log.item)
    assert chance.dtype == np.float32
    assert 0.10 < click.mean() < 0.20
    order = np.argsort(chance)
    for part in np.array_split(order, 10):
        # five standard errors
        error = 5 * np.sqrt((chance[part] * (1 - chance[part])).sum()) / len(part)
        assert abs(click[part].mean() - chance[part].mean()) < error
    oracle, popular = auc(chance, click), auc(truth.popularity[log.item], click)
    assert oracle >= 0.75
    assert oracle > popular + 0.15


def test_click_probability_is_a_plain_formula(world):
    truth = world.truth
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 3_000, 20_000), rng.integers(0, 10_000, 20_000)
    cosine = (truth.user_vector[users].astype(float) * truth.item_vector[items]).sum(1)
    same_circle = (truth.item_circle[items] >= 0) & (truth.item_circle[items] == truth.user_circle[users])
    logit = truth.bias + 4 * cosine + 0.6 * truth.quality[items] + 0.5 * truth.mood[users]
    logit += 0.5 * (truth.user_city[users] == truth.item_city[items]) + 4.5 * same_circle
    np.testing.assert_allclose(truth.click_probability(users, items), 1 / (1 + np.exp(-logit)), rtol=1e-5)
    assert len(truth.click_probability(users[:0], items[:0])) == 0


def test_deeper_feedback_needs_a_click(world):
    log = world.dataset.log
    click = log.signals["click"] == 1
    for name in ("like", "collect", "share", "follow", "comment", "completion"):
        assert not log.signals[name][~click].any()
        assert log.signals[name][click].any()
    assert 0.05 < log.signals["like"][click].mean() < 0.15
    assert (log.play_time_ms[~click] == 0).all()
    assert (log.play_time_ms[click] > 0).all()
    done = log.play_time_ms.astype(np.int64) * 10 >= log.duration_ms.astype(np.int64) * 8
    np.testing.assert_array_equal(log.signals["completion"] == 1, done)
    longer = log.duration_ms > np.median(log.duration_ms)
    assert done[click & longer].mean() < done[click & ~longer].mean()


@pytest.mark.parametrize("name", ["like", "collect", "share", "follow", "comment"])
def test_what_follows_a_click_can_be_told_from_the_category(world, name):
    """The rate of each category in one half of the clicks tells those of the other half from each other."""
    log, leaf = world.dataset.log, world.truth.cluster
    clicks = np.flatnonzero(log.signals["click"] == 1)
    early, late = clicks[::2], clicks[1::2]
    kinds = int(leaf.max()) + 1
    of = leaf[log.item[early]]
    rate = (np.bincount(of, log.signals[name][early], kinds) + 1) / (np.bincount(of, minlength=kinds) + 50)
    assert auc(rate[leaf[log.item[late]]], log.signals[name][late] == 1) > 0.6


def test_popularity_is_skewed(world):
    shown = np.sort(np.bincount(world.dataset.log.item, minlength=10_000))[::-1]
    assert shown[:100].sum() > 0.08 * shown.sum()
    assert shown[:1000].sum() > 0.3 * shown.sum()
    assert (shown > 0).mean() > 0.9


def test_users_see_an_item_once(world):
    log = world.dataset.log
    pairs = log.user.astype(np.int64) * 10_000 + log.item
    assert len(np.unique(pairs)) == len(pairs)


def test_users_are_shown_their_clusters_and_share_them(world):
    log, truth = world.dataset.log, world.truth
    mine = (truth.interests[log.user] == truth.cluster[log.item][:, None]).any(1)
    shuffled = np.random.default_rng(0).permutation(truth.cluster[log.item])
    assert mine.mean() > 0.5
    assert mine.mean() > 2 * (truth.interests[log.user] == shuffled[:, None]).any(1).mean()
    click = log.signals["click"] == 1
    assert click[mine].mean() > 1.5 * click[~mine].mean()


def test_circles(world):
    log, truth = world.dataset.log, world.truth
    sizes = np.bincount(truth.user_circle[truth.user_circle >= 0])
    assert len(sizes) == 15
    assert sizes.min() >= 5
    assert sizes.max() <= 20
    assert (np.bincount(truth.item_circle[truth.item_circle >= 0]) == 16).all()
    inside = (truth.item_circle[log.item] >= 0) & (truth.item_circle[log.item] == truth.user_circle[log.user])
    click = log.signals["click"] == 1
    assert inside.sum() > 500
    assert click[inside].mean() > 2 * click[~inside].mean()
    # two members of a circle have clicked more odd items in common than a member and a stranger have
    clicked = np.zeros((3_000, 10_000), np.float32)
    clicked[log.user[click], log.item[click]] = truth.item_circle[log.item[click]] >= 0
    member = np.flatnonzero(truth.user_circle >= 0)
    common = clicked[member] @ clicked[member].T
    same = truth.user_circle[member][:, None] == truth.user_circle[member]
    np.fill_diagonal(common, 0)
    assert common[same].mean() > 1
    assert common[same].mean() > 20 * common[~same].mean()


def test_content_vectors_tell_the_cluster(world):
    vector, cluster = world.dataset.catalogue.vector, world.truth.cluster
    unit = vector / np.linalg.norm(vector, axis=1, keepdims=True)
    near = unit[:500] @ unit.T
    near[np.arange(500), np.arange(500)] = -2
    hit = cluster[near.argmax(1)] == cluster[:500]
    assert hit.mean() > 0.5


def test_authors_keep_to_a_cluster_and_are_skewed(world):
    author, cluster = world.dataset.catalogue.author, world.truth.cluster
    first = np.full(author.max() + 1, -1)
    first[author] = cluster
    np.testing.assert_array_equal(first[author], cluster)
    works = np.sort(np.bincount(author))[::-1]
    assert works.min() >= 1
    assert works[0] > 5 * works.mean()


def test_categories_and_keywords(world):
    items, truth = world.dataset.catalogue, world.truth
    names = items.names["category"]
    leaf, top = items.category.values.reshape(-1, 2).T
    np.testing.assert_array_equal(items.first_category(), leaf)
    assert names == sorted(names)
    assert all(names[a].startswith(names[b] + ".") for a, b in zip(leaf.tolist(), top.tolist(), strict=True))
    assert len(np.unique(leaf)) == len(np.unique(truth.cluster))
    counts = np.diff(items.keyword.offsets)
    assert set(np.unique(counts)) == {2, 3, 4, 5}
    owner = np.repeat(np.arange(10_000), counts)
    assert len(np.unique(owner * 10_000_000 + items.keyword.values)) == len(owner)
    np.testing.assert_array_equal(items.keyword.values // 20, truth.cluster[owner])


def test_sessions(world):
    log = world.dataset.log
    order = np.argsort(log.user, kind="stable")
    gap = np.diff(log.time[order])[np.diff(log.user[order]) == 0]
    assert np.mean(gap < 120_000) > 0.7
    busy = np.bincount(log.context["hour"], minlength=24)
    assert busy[20:22].mean() > 4 * busy[2:5].mean()


def test_features_tell_of_taste(world):
    gender, vectors = world.dataset.users.features["gender"], world.truth.user_vector
    assert vectors[gender == 1, 0].mean() > vectors[gender == 0, 0].mean() + 0.1


@pytest.mark.parametrize(("users", "items"), [(1, 1), (1, 50), (50, 1), (7, 2), (2, 700)])
@pytest.mark.parametrize("events", [1, 17, 300])
def test_tiny_worlds(users, items, events):
    data = generate(users, items, events, seed=1).dataset
    assert (len(data.users), len(data.catalogue), len(data.log)) == (users, items, events)
    assert (data.catalogue.publish_time[data.log.item] <= data.log.time).all()
    assert data.log.user.max() < users
    assert data.log.item.max() < items


@pytest.mark.parametrize("name", ["users", "items", "events"])
@pytest.mark.parametrize("value", [0, -1])
def test_refused(name, value):
    with pytest.raises(ValueError, match=f"{name}: expected at least 1, got {value}"):
        generate(**{"users": 2, "items": 2, "events": 2, name: value})


def test_categories_of_a_world():
    assert Categories.for_items(100_000).leaves == 96
    assert Categories.for_items(1).leaves == 1


def test_round_trip(tmp_path):
    data = generate(50, 300, 2_000, seed=2).dataset
    write_parquet(data, tmp_path)
    again = read_parquet(tmp_path)
    assert again.rows.dropped == {}
    np.testing.assert_array_equal(again.log.user, data.log.user)
    np.testing.assert_array_equal(again.log.item, data.log.item)
    for name, signal in data.log.signals.items():
        np.testing.assert_array_equal(again.log.signals[name], signal)
    np.testing.assert_array_equal(again.catalogue.vector, data.catalogue.vector)
    for name, codes in data.users.features.items():
        texts, mine = again.users.names[name], data.users.names[name]
        assert [texts[code] for code in again.users.features[name]] == [mine[code] for code in codes]
    texts, mine = again.catalogue.names["category"], data.catalogue.names["category"]
    assert [texts[c] for c in again.catalogue.category.values] == [mine[c] for c in data.catalogue.category.values]


@pytest.mark.rare
def test_whole_size():
    made = generate()
    log, truth = made.dataset.log, made.truth
    assert (len(log), len(made.dataset.users), len(made.dataset.catalogue)) == (2_000_000, 20_000, 100_000)
    click = log.signals["click"] == 1
    assert 0.10 < click.mean() < 0.20
    assert auc(truth.click_probability(log.user, log.item), click) >= 0.75
    pairs = log.user.astype(np.int64) * 100_000 + log.item
    assert len(np.unique(pairs)) == len(pairs)
