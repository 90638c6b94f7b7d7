import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from headrace.data import read_kuairand

LOG = """user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,is_hate,long_view,\
play_time_ms,duration_ms,profile_stay_time,comment_stay_time,is_profile_enter,is_rand,tab
"""
FIRST = LOG + "7,30,20220425,0,1650819600000,1,0,1,0,0,0,1,800,1000,0,0,0,0,4\n" * 2
SECOND = (
    LOG
    + """\
9,10,20220424,0,1650816000000,0,0,0,0,1,0,0,799,1000,0,0,0,0,1
9,10,20220424,100,1650816000000,0,0,0,0,1,0,0,799,1000,0,0,0,0,1
9,20,20220424,0,1650816000001,0,1,0,1,0,0,0,5,0,0,0,0,0,1
9,99,20220424,0,1650816000002,0,1,0,1,0,0,0,5,1,0,0,0,0,1
9,10,20220424,0,1650816000003,0,1,0,1,0,0,0,-5,1,0,0,0,0,1
"""
)
ITEMS = """video_id,author_id,video_type,upload_dt,upload_type,visible_status,video_duration,server_width,\
server_height,music_id,music_type,tag
30,500,NORMAL,2022-04-10,Web,0.0,1000.0,1,1,1,9.0,"20,3"
10,600,NORMAL,2022-04-09,Web,0.0,,1,1,1,9.0,3
20,500,AD,2022-04-11,Web,0.0,9233.0,1,1,1,,
"""
USERS = """user_id,user_active_degree,is_live_streamer,follow_user_num,follow_user_num_range,onehot_feat0,onehot_feat4
9,full_active,1,514,500+,1,1.0
7,high_active,-124,3,"(0,10]",0,
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "log_standard_4_22_to_5_08_pure.csv").write_text(FIRST)
    (tmp_path / "log_standard_4_08_to_4_21_pure.csv").write_text(SECOND)
    (tmp_path / "log_random_4_22_to_5_08_pure.csv").write_text("left out")
    (tmp_path / "video_features_basic_pure.csv").write_text(ITEMS)
    (tmp_path / "user_features_pure.csv").write_text(USERS)
    return tmp_path


def test_download(folder):
    data = read_kuairand(folder)
    log, items, users = data.log, data.catalogue, data.users
    assert (data.rows.read, data.rows.kept) == (7, 3)
    assert data.rows.dropped == {"unknown_item": 1, "negative_play_time": 1, "duplicate": 1, "repeated_event": 1}
    assert users.ids.external(log.user).tolist() == [9, 9, 7]
    assert items.ids.external(log.item).tolist() == [10, 20, 30]
    assert {name: signal.tolist() for name, signal in log.signals.items()} == {
        "impression": [1, 1, 1],
        "click": [0, 0, 1],
        "like": [0, 1, 0],
        "share": [1, 0, 0],
        "follow": [0, 0, 1],
        "comment": [0, 1, 0],
        "completion": [0, -1, 1],
    }
    assert (log.play_time_ms.tolist(), log.duration_ms.tolist()) == ([799, 5, 800], [1000, -1, 1000])
    # 1650816000 is midnight in China, at the start of Monday 25 April 2022
    assert {name: codes.tolist() for name, codes in log.context.items()} == {
        "tab": [1, 1, 4],
        "hour": [0, 0, 1],
        "weekday": [0, 0, 0],
    }
    assert items.names == {"author": ["500", "600"], "category": ["3", "20"]}
    assert items.author.tolist() == [1, 0, 0]
    assert (items.category.offsets.tolist(), items.category.values.tolist()) == ([0, 1, 1, 3], [0, 1, 0])
    assert items.duration_ms.tolist() == [-1, 9233, 1000]
    assert items.publish_time[0] == np.datetime64("2022-04-08T16:00", "ms").astype(int)
    assert users.names["onehot_feat4"] == ["1"]
    assert users.features["onehot_feat4"].tolist() == [-1, 0]
    assert "follow_user_num" not in users.features
    assert data.history is None


def test_history_is_before_the_log_and_in_order(folder):
    sequences = {
        "user_id": [9, 7],
        "history_len": [4, 1],
        "last_time_ms": [1650000000000, 1650899999999],
        "watch_seq": [[20, 10, 20, 30], [99, 10]],
        "like_seq": pa.array([[30], []], pa.list_(pa.int64())),
        "long_watch_seq": [[10], [99, 20]],
    }
    pq.write_table(pa.table(sequences), folder / "user_sequences.parquet")
    data = read_kuairand(folder)
    history, items = data.history, data.catalogue.ids
    mine = history.take(history.user == data.users.ids.rows([9])[0])
    assert items.external(mine.item).tolist() == [20, 10, 20, 30]
    assert mine.time.tolist() == [1650000000000 - 1000 * left for left in (3, 2, 1, 0)]
    assert {k: v.tolist() for k, v in mine.signals.items()} == {
        "impression": [1, 1, 1, 1],
        "click": [-1, 1, -1, 1],
        "like": [0, 0, 0, 1],
    }
    other = history.take(history.user == data.users.ids.rows([7])[0])
    assert other.time.tolist() == [data.log.time[0] - 1]
    assert other.signals["click"].tolist() == [-1]
    assert data.history_rows.dropped == {"unknown_item": 1}


def test_parquet_takes_the_place_of_its_csv(folder):
    both = folder / "log_standard_4_22_to_5_08_pure"
    pq.write_table(pa.csv.read_csv(both.with_suffix(".csv")), both.with_suffix(".parquet"))
    assert read_kuairand(folder).rows.read == 7


@pytest.mark.parametrize("name", ["video_features_basic_pure.csv", "user_features_pure.csv"])
def test_missing_file(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        read_kuairand(folder)


def test_missing_column(folder):
    (folder / "log_standard_4_22_to_5_08_pure.csv").write_text("user_id,video_id\n1,2\n")
    (folder / "log_standard_4_08_to_4_21_pure.csv").unlink()
    with pytest.raises(ValueError, match="play_time_ms: required column is missing, got user_id, video_id"):
        read_kuairand(folder)


def test_no_log(tmp_path):
    with pytest.raises(FileNotFoundError, match="log_standard"):
        read_kuairand(tmp_path)


@pytest.mark.data
def test_real_log(real_data):
    data = read_kuairand(real_data("kuairand-pure"))
    log, history = data.log, data.history
    assert data.rows.read == 228_329 == data.rows.kept + sum(data.rows.dropped.values())
    assert data.rows.dropped["duplicate"] == 5_460
    assert (len(data.users), len(data.catalogue)) == (27_285, 7_583)
    assert (np.diff(log.time) >= 0).all()
    assert 0.44 < (log.signals["click"] == 1).mean() < 0.46
    assert {"collect"}.isdisjoint(log.signals)
    assert data.catalogue.city is None
    assert log.context["hour"].max() == 23
    unknown = log.signals["completion"] < 0
    np.testing.assert_array_equal(unknown, log.duration_ms < 0)
    known = ~unknown
    done = log.play_time_ms[known].astype(np.int64) * 10 >= log.duration_ms[known].astype(np.int64) * 8
    np.testing.assert_array_equal(log.signals["completion"][known] == 1, done)
    assert len(history) == 817_187
    assert history.time[-1] < log.time[0]
    assert np.bincount(history.user).max() == 50
    assert set(np.unique(history.signals["click"])) == {-1, 1}
