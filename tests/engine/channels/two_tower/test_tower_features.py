"""The towers' feature codes, checked against a loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headrace.channels.two_tower.features import id_keys, item_content, item_features, user_features
from headrace.data.dataset import Catalogue, Dataset, InteractionLog, Jagged, Users
from headrace.data.ids import IdMap
from headrace.features import FAMILIES, FeatureSettings, FeatureStore

NOBODY = Users(IdMap(range(0)))


def store_of(users: Users = NOBODY, catalogue: Catalogue | None = None) -> FeatureStore:
    catalogue = catalogue or Catalogue(IdMap(range(0)))
    none = np.zeros(0, np.int32)
    dataset = Dataset("made up", users, catalogue, InteractionLog(none, none, none.astype(np.int64), {}))
    fitted = {name: FAMILIES[name].fit(dataset, FeatureSettings()) for name in ("users", "items", "content")}
    return FeatureStore({n: family for n, family in fitted.items() if family}, {}, len(catalogue), 0, 1, 0)


def test_user_features_are_codes_of_one_table_in_the_order_of_names() -> None:
    users = Users(IdMap(range(3)), {"b": np.array([0, -1, 4], np.int32), "a": np.array([-1, 1, 0], np.int32)})
    got = user_features(store_of(users))
    assert got.sizes == {"a": 3, "b": 6}
    assert got.size == 9
    assert got.offsets.tolist() == [0, 2, 4, 6]
    assert got.codes.tolist() == [0, 4, 2, 3, 1, 8]
    assert got.weights.tolist() == [1.0] * 6


def test_item_features_share_a_bag_evenly_and_name_what_is_unknown() -> None:
    catalogue = Catalogue(
        IdMap(range(4)),
        author=np.array([1, -1, 0, 1], np.int32),
        category=Jagged(np.array([0, 2, 2, 3, 6]), np.array([0, 1, 2, 2, 0, 1], np.int32)),
        duration_ms=np.array([-1, 0, 2000, 60_000_000], np.int32),
    )
    got = item_features(store_of(catalogue=catalogue))
    assert got.sizes == {"author": 3, "category": 4, "duration": 24}
    rows = [
        dict(zip(got.codes[a:b].tolist(), got.weights[a:b].tolist(), strict=True))
        for a, b in zip(got.offsets[:-1].tolist(), got.offsets[1:].tolist(), strict=True)
    ]
    third = pytest.approx(1 / 3)
    assert rows == [
        {2: 1, 4: 0.5, 5: 0.5, 7: 1},
        {0: 1, 3: 1, 8: 1},
        {1: 1, 6: 1, 10: 1},
        {2: 1, 6: third, 4: third, 5: third, 30: 1},
    ]


@pytest.mark.parametrize("n", [0, 1, 7])
def test_without_features_there_are_no_codes(n: int) -> None:
    got = item_features(store_of(catalogue=Catalogue(IdMap(range(n)))))
    assert got.offsets.tolist() == [0] * (n + 1)
    assert (len(got.codes), got.size) == (0, 0)


def test_content_is_centred_scaled_to_unit_length_and_checked() -> None:
    vectors = np.array([[3.0, 4.0], [0.0, 0.0]], np.float32)
    content = item_content(store_of(catalogue=Catalogue(IdMap(range(2)), vector=vectors)))
    assert content is not None
    assert content.tolist() == [pytest.approx([0.6, 0.8]), pytest.approx([-0.6, -0.8])]
    vectors[1, 1] = np.nan
    with pytest.raises(ValueError, match=r"catalogue\.vector: expected finite values"):
        item_content(store_of(catalogue=Catalogue(IdMap(range(2)), vector=vectors)))


def test_keys_of_string_ids_do_not_depend_on_the_other_ids() -> None:
    short, long = id_keys(IdMap(["a", "b", "ü"])), id_keys(IdMap(["a", "b", "a much longer id", "ü"]))
    assert torch.equal(short, long[[0, 2, 3]])
    assert len(set(id_keys(IdMap([f"item {i}" for i in range(1000)])).tolist())) == 1000
    assert id_keys(IdMap([7, -2])).tolist() == [-2, 7]
