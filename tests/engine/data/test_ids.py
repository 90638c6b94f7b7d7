import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.data import IdMap

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5)


@settings(deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), unique=True), st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_integer_ids(ids, asked):
    known = IdMap(np.array(ids, np.int64))
    assert known.external(np.arange(len(known))).tolist() == sorted(ids)
    want = [sorted(ids).index(x) if x in ids else -1 for x in asked + ids]
    assert known.rows(np.array(asked + ids, np.int64)).tolist() == want


@settings(deadline=None)
@given(st.lists(TEXT, unique=True), st.lists(TEXT))
def test_string_ids(ids, asked):
    known = IdMap(ids)
    assert known.external(np.arange(len(known))).tolist() == sorted(ids)
    want = [sorted(ids).index(x) if x in ids else -1 for x in asked + ids]
    assert known.rows(asked + ids).tolist() == want
    assert known.rows(np.array(asked + ids, object)).tolist() == want


def test_longer_string_than_any_known_is_unknown():
    assert IdMap(["a", "b"]).rows(["ab", "bbbb", "b"]).tolist() == [-1, -1, 1]


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.uint16, np.uint64])
def test_integer_widths(dtype):
    assert IdMap(np.array([7, 3], dtype)).rows(np.array([3, 7, 9], dtype)).tolist() == [0, 1, -1]


def test_empty_map_knows_nothing():
    assert IdMap([]).rows(["a"]).tolist() == [-1]
    assert IdMap([]).rows([1]).tolist() == [-1]
    assert IdMap(["a"]).rows([]).tolist() == []


@pytest.mark.parametrize(
    ("ids", "error", "match"),
    [
        ([1, 1, 2], ValueError, "1 repeated"),
        (["a", "a"], ValueError, "repeated"),
        (["a\0", "a"], ValueError, "NUL"),
        (np.array(["a\0", "a"], object), ValueError, "NUL"),
        ([1.5], TypeError, "expected integers or strings, got 1.5 at position 0"),
        (np.array([1.5]), TypeError, "float64"),
        ([True], TypeError, "expected integers or strings, got True at position 0"),
        (np.array([1, "a"], object), TypeError, "expected integers, got 'a' at position 1"),
        (["42", 7], TypeError, "expected strings, got 7 at position 1"),
        ((1, 2, "3"), TypeError, "expected integers, got '3' at position 2"),
        (np.array(["a", None], object), TypeError, "expected strings, got None at position 1"),
        ([1, None], TypeError, "expected integers, got None at position 1"),
        ([1, 2.0], TypeError, "expected integers, got 2.0 at position 1"),
        (np.array([[1], [2]]), ValueError, "one dimension"),
        ([[1], [2]], TypeError, r"got \[1\] at position 0"),
        (np.array([2**63], np.uint64), ValueError, "int64"),
        ([1, 2**63], ValueError, "int64, got 9223372036854775808 at position 1"),
        ([2**200], ValueError, "int64"),
        (["a", "\ud800"], ValueError, r"Unicode text, got '\\ud800' at position 1"),
        (["a", "b" * 257], ValueError, "at most 256 characters, got 'bbb.* at position 1"),
        (np.array(["a", "b" * 257]), ValueError, "at most 256 characters, got 'bbb.* at position 1"),
    ],
)
def test_refused(ids, error, match):
    with pytest.raises(error, match=match):
        IdMap(ids)


def test_an_id_of_the_most_characters():
    longest = "é" * 256
    known = IdMap([longest, "a"])
    assert known.rows(np.array([longest, "a", "b"], "U300")).tolist() == [1, 0, -1]
    with pytest.raises(ValueError, match="at most 256 characters"):
        known.rows([longest + "x"])


def test_kinds_do_not_mix():
    with pytest.raises(TypeError, match="expected integer ids"):
        IdMap([1]).rows(["1"])
    with pytest.raises(TypeError, match="expected string ids"):
        IdMap(["1"]).rows([1])


@pytest.mark.parametrize("word", ["1_000", "", " 7", "7 ", "+7", "٣", "1.0", "1e3", "0x10", str(2**63), "9" * 5000])
def test_text_that_is_no_whole_number(word):
    with pytest.raises(ValueError, match=r"ids: expected whole numbers that fit int64, got .* at position 1"):
        IdMap([1, 7]).parse(["7", word])


def test_text_as_ids():
    assert IdMap([1, 7]).parse(["-7", "007", str(2**63 - 1), str(-(2**63))]) == [-7, 7, 2**63 - 1, -(2**63)]
    assert IdMap(["a"]).parse(["", "-", "a,b", " a", "1_000"]) == ["", "-", "a,b", " a", "1_000"]
