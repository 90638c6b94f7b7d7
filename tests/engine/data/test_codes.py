import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.data.codes import decode, decode_lists, encode, encode_lists

VALUES = st.one_of(
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)).map(lambda v: pa.array(v, pa.int64())),
    st.lists(st.none() | st.text(max_size=3)).map(lambda v: pa.array(v, pa.string())),
    st.lists(st.none() | st.sampled_from(["1", "2", "10", "07", "-3"])).map(lambda v: pa.array(v, pa.string())),
)


@settings(deadline=None)
@given(VALUES)
def test_codes_stand_for_their_texts(column):
    codes, texts = encode(column, "x")
    assert [None if c < 0 else texts[c] for c in codes] == column.cast(pa.string()).to_pylist()
    assert set(codes.tolist()) - {-1} == set(range(len(texts)))
    again, same = encode(decode(codes, texts), "x")
    assert same == texts
    np.testing.assert_array_equal(again, codes)


def test_whole_numbers_are_in_numeric_order():
    assert encode(pa.array(["10", "2", "1"]), "x")[1] == ["1", "2", "10"]
    assert encode(pa.array(["10", "2", "01"]), "x")[1] == ["01", "10", "2"]
    assert encode(pa.array([True, False]), "x")[1] == ["0", "1"]
    assert encode(pa.array(["b", "a", "b"]).dictionary_encode(), "x")[0].tolist() == [1, 0, 1]


@settings(deadline=None)
@given(st.lists(st.none() | st.lists(st.sampled_from("abc"), max_size=3)))
def test_lists(rows):
    lists, texts = encode_lists(pa.array(rows, pa.list_(pa.string())), "x")
    assert decode_lists(lists, texts).to_pylist() == [row or [] for row in rows]
    again, _ = encode_lists(decode_lists(lists, texts), "x")
    np.testing.assert_array_equal(again.offsets, lists.offsets)
    np.testing.assert_array_equal(again.values, lists.values)


def test_a_single_value_is_a_list_of_one():
    lists, texts = encode_lists(pa.array(["b", None, "a"]), "x")
    assert (lists.offsets.tolist(), lists.values.tolist(), texts) == ([0, 1, 1, 2], [1, 0], ["a", "b"])


def test_refused():
    with pytest.raises(ValueError, match="x: expected strings or integers, got double"):
        encode(pa.array([1.5]), "x")
    with pytest.raises(ValueError, match="x: expected no nulls inside"):
        encode_lists(pa.array([["a", None]]), "x")
