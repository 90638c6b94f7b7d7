import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.data import detect, read


def test_headrace(tmp_path):
    pq.write_table(pa.table({"user": [1, None], "item": [1, 1], "time": [10**12, 10**12]}), tmp_path / "log.parquet")
    assert detect(tmp_path) == "headrace"
    assert read(str(tmp_path)).rows.dropped == {"null_id": 1}
    with pytest.raises(ValueError, match="null_id 1"):
        read(tmp_path, on_bad="refuse")


def test_unknown_folder_lists_needs_and_finds(tmp_path):
    (tmp_path / "movies.dat").write_text("")
    for needed in (r"log\.parquet", "video_features_basic_pure.csv", r"ratings\.dat", r"Found: movies\.dat"):
        with pytest.raises(ValueError, match=needed):
            read(tmp_path)
    (tmp_path / "movies.dat").unlink()
    with pytest.raises(ValueError, match="Found: nothing"):
        detect(tmp_path)


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read(tmp_path / "nowhere")


@pytest.mark.data
@pytest.mark.parametrize(("name", "kind"), [("kuairand-pure", "kuairand"), ("ml-1m", "movielens")])
def test_real_folders(real_data, name, kind):
    assert detect(real_data(name)) == kind
