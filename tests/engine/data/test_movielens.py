import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
import pytest

from headrace.data import read_movielens

MOVIES = "3::Amélie, and Co: a Tale (2001)::Comedy|Romance\n1::Metropolis (1926)::Sci-Fi\n2::No year::Comedy\n"
USERS = "2::F::1::10::48067\n1::M::56::16::70072\n"
RATINGS = "2::1::5::978300760\n1::3::4::978300000\n1::2::3::978300760\n1::9::3::978300760\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "movies.dat").write_text(MOVIES, "latin-1")
    (tmp_path / "users.dat").write_text(USERS)
    (tmp_path / "ratings.dat").write_text(RATINGS)
    return tmp_path


def test_download(folder):
    data = read_movielens(folder)
    log, items = data.log, data.catalogue
    assert data.rows.dropped == {"unknown_item": 1}
    assert data.users.ids.external(log.user).tolist() == [1, 2, 1]
    assert items.ids.external(log.item).tolist() == [3, 1, 2]
    assert log.time.tolist() == [978300000000, 978300760000, 978300760000]
    assert {k: v.tolist() for k, v in log.signals.items()} == {
        "impression": [1, 1, 1],
        "click": [1, 1, 0],
        "like": [0, 1, 0],
    }
    assert log.play_time_ms is None
    assert items.author is None
    assert items.names["category"] == ["Comedy", "Romance", "Sci-Fi"]
    assert (items.category.offsets.tolist(), items.category.values.tolist()) == ([0, 1, 2, 4], [2, 0, 0, 1])
    years = [np.datetime64("1926-01-01", "ms").astype(int), -1, np.datetime64("2001-01-01", "ms").astype(int)]
    assert items.publish_time.tolist() == years
    assert data.users.names == {"gender": ["F", "M"], "age": ["1", "56"], "occupation": ["10", "16"]}
    assert data.users.features["age"].tolist() == [1, 0]
    # 31 December 2000, 22:00 UTC, a Sunday
    assert (log.context["hour"].tolist(), log.context["weekday"].tolist()) == ([22] * 3, [6] * 3)


def test_order_within_a_user_is_by_rank(folder):
    columns = {"user_id": [1, 1, 1], "movie_id": [3, 2, 1], "rating": [1, 2, 3], "timestamp": [978300000] * 3}
    pq.write_table(pa.table({**columns, "time_rank": [2, None, 1]}), folder / "ratings.parquet")
    data = read_movielens(folder)
    assert data.catalogue.ids.external(data.log.item).tolist() == [1, 3, 2]


def test_refused(folder):
    (folder / "ratings.dat").write_text("1::1::6::978300760\n")
    with pytest.raises(ValueError, match="rating: expected whole numbers from 1 to 5"):
        read_movielens(folder)
    (folder / "ratings.dat").write_text("1::1::5::978300760\n1::2\n")
    with pytest.raises(ValueError, match="column"):
        read_movielens(folder)
    (folder / "users.dat").unlink()
    with pytest.raises(FileNotFoundError, match=r"users\.dat"):
        read_movielens(folder)


@pytest.mark.data
def test_real_log(real_data):
    folder = real_data("ml-1m")
    data = read_movielens(folder)
    log = data.log
    assert (data.rows.read, data.rows.kept) == (1_000_209, 1_000_209)
    assert (len(data.users), len(data.catalogue)) == (6_040, 3_883)
    assert len(np.unique(log.item)) == 3_706
    assert (np.diff(log.time) >= 0).all()
    assert data.catalogue.publish_time.min() < 0
    assert (data.catalogue.publish_time != -1).all()
    raw = pq.read_table(folder / "ratings.parquet").filter(pa.compute.field("time_rank").is_valid())
    raw = raw.sort_by([("user_id", "ascending"), ("time_rank", "ascending")])
    ranked = set(zip(raw["user_id"].to_pylist(), raw["movie_id"].to_pylist(), strict=True))
    order = np.argsort(log.user, kind="stable")
    users = data.users.ids.external(log.user[order]).tolist()
    pairs = zip(users, data.catalogue.ids.external(log.item[order]).tolist(), strict=True)
    mine = [pair for pair in pairs if pair in ranked]
    assert mine == list(zip(raw["user_id"].to_pylist(), raw["movie_id"].to_pylist(), strict=True))
