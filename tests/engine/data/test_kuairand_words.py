"""KuaiRand's text as it stands, and its mistakes by file, column and line."""

import re

import pytest

from headrace.data import read_kuairand

HEADER = "user_id,video_id,time_ms,is_click,is_like,is_follow,is_comment,is_forward,play_time_ms,duration_ms,tab\n"
ROWS = "7,10,1650819600000,1,0,0,0,0,800,1000,4\n9,20,1650819600001,0,0,0,0,0,,,1\n"
ITEMS = "video_id,author_id,upload_dt,video_duration,tag\n10,5,2022-04-10,1000.0,{}\n20,6,2022-04-11,,{}\n"
PLAIN_ITEMS = ITEMS.replace("{}", "3")
USERS = "user_id,user_active_degree,is_live_streamer,follow_range,onehot_feat0\n9,NA,1,null,3\n7,full,0,,\n"
LOG_NAME, ITEMS_NAME, USERS_NAME = (
    "log_standard_4_22_to_5_08_pure.csv",
    "video_features_basic_pure.csv",
    "user_features_pure.csv",
)


def folder_of(tmp_path, log=HEADER + ROWS, items=PLAIN_ITEMS, users=USERS):
    for name, text in ((LOG_NAME, log), (ITEMS_NAME, items), (USERS_NAME, users)):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return tmp_path


def test_words_that_look_like_nothing_are_words(tmp_path):
    users = read_kuairand(folder_of(tmp_path)).users
    assert users.names["user_active_degree"] == ["NA", "full"]
    assert users.names["follow_range"] == ["null"]
    assert {name: codes.tolist() for name, codes in users.features.items()} == {
        "user_active_degree": [1, 0],
        "is_live_streamer": [0, 1],
        "follow_range": [-1, 0],
        "onehot_feat0": [-1, 0],
    }


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ('"20, 3"', ["20", "3"]),
        ('"20,3,"', ["20", "3"]),
        ('" 20 ,, 3 "', ["20", "3"]),
        ('",20"', ["20"]),
        ('","', []),
        ("NA", ["NA"]),
        ("", []),
        ('"a b,c"', ["a b", "c"]),
    ],
)
def test_tags(tmp_path, tag, words):
    items = read_kuairand(folder_of(tmp_path, items=ITEMS.format(tag, "3"))).catalogue
    first = items.category.values[: items.category.offsets[1]]
    assert [items.names["category"][code] for code in first] == words


@pytest.mark.parametrize(
    ("file", "given", "words"),
    [
        (LOG_NAME, {"log": HEADER + ROWS + "7,10,1\n"}, ("line 4", "Expected 11 columns, got 3")),
        (LOG_NAME, {"log": HEADER + ROWS.replace("7,10", "7,")}, ("line 2",)),
        (LOG_NAME, {"log": HEADER + ROWS.replace(",800,", ",long,")}, ("play_time_ms: expected whole numbers",)),
        (LOG_NAME, {"log": (HEADER + ROWS).replace("is_click", "clicked")}, ("is_click: required column is missing",)),
        (
            LOG_NAME,
            {"log": HEADER + ROWS.replace("00,1,0", "00,5,0")},
            ("click: expected 0, 1 or null, got 5 in row 0",),
        ),
        (ITEMS_NAME, {"items": ITEMS.format("中".encode("gbk").decode("latin-1"), "3").encode("latin-1")}, ("UTF-8",)),
        (ITEMS_NAME, {"items": ITEMS.format("1", "3").replace("20,6", ",6")}, ("video_id: expected no nulls", "row 1")),
        (
            ITEMS_NAME,
            {"items": ITEMS.format("1", "3").replace("20,6", "10,6")},
            ("video_id: ids: expected no repeats",),
        ),
        (USERS_NAME, {"users": USERS.encode().replace(b"full", "满".encode("gbk"))}, ("user_active_degree", "line 3")),
        (USERS_NAME, {"users": ""}, ("Empty CSV file",)),
    ],
)
def test_a_mistake_names_its_place(tmp_path, file, given, words):
    if words == ("line 2",):
        # an empty cell is a null, and the row is dropped for it
        assert read_kuairand(folder_of(tmp_path, **given)).rows.dropped == {"null_id": 1}
        return
    with pytest.raises(ValueError, match=".*".join(map(re.escape, (file, *words)))):
        read_kuairand(folder_of(tmp_path, **given))
