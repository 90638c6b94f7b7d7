"""Boosts, and the catalogue's own kinds: read, kept, ruled by and boosted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from headrace.build import build
from headrace.data import Catalogue, Dataset, IdMap, read_parquet, write_parquet
from headrace.data.words import realigned, words_of
from headrace.reranking import Reranker, RerankSettings
from headrace.reranking.boosts import Boost, boosted, factors_of
from headrace.reranking.rules import MaxInPrefix, MaxRun, catalogue_kinds
from headrace.serving import Engine
from headrace.settings import Settings
from headrace.types import Candidates

KINDS = {"marked": torch.tensor([0, -1, -1, 0]).int(), "format": torch.tensor([1, 0, -1, 1]).int()}
TEXTS = {"format": ["text", "video"]}


def ranked(score: list[float]) -> Candidates:
    item = torch.arange(len(score))
    return Candidates(torch.tensor([0, len(score)]), item, torch.tensor(score), torch.ones_like(item))


def test_factors_multiply() -> None:
    boosts = (Boost(factor=2.0), Boost(kind="format", value="video", factor=0.25))
    found = factors_of(boosts, KINDS, TEXTS)
    assert found is not None
    assert found.tolist() == [0.5, 1.0, 1.0, 0.5]
    assert factors_of((), KINDS, TEXTS) is None


def test_a_factor_above_one_never_harms() -> None:
    score = torch.tensor([4.0, -4.0, 0.0, 3e38])
    assert boosted(score, torch.full((4,), 2.0)).tolist() == [8.0, -2.0, 0.0, torch.finfo(torch.float32).max]
    assert boosted(score, torch.full((4,), 0.5)).tolist() == pytest.approx([2.0, -8.0, 0.0, 1.5e38])


@pytest.mark.parametrize(
    ("boost", "words"),
    [
        ({"kind": "colour"}, r"boosts\[0\]: kind: expected one of format, marked, got 'colour'"),
        ({"kind": "format", "value": "audio"}, r"boosts\[0\]: value: expected one of text, video, got 'audio'"),
        ({"kind": "marked", "value": "yes"}, r"boosts\[0\]: value: expected a code, .* got 'yes'"),
    ],
)
def test_what_there_is_not_is_named(boost: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        factors_of((Boost(factor=2.0, **boost),), KINDS, TEXTS)  # type: ignore[arg-type]


def test_a_page_is_picked_by_boosted_scores_and_shows_the_others() -> None:
    vectors = torch.eye(4)
    plain = RerankSettings(method="none")
    assert Reranker(plain, vectors, KINDS).rerank(ranked([4.0, 3.0, 2.0, 1.0]), 4).item.tolist() == [0, 1, 2, 3]
    settings = RerankSettings(method="none", boosts=(Boost(kind="format", value="video", factor=0.1),))
    page = Reranker(settings, vectors, KINDS, texts=TEXTS).rerank(ranked([4.0, 3.0, 2.0, 1.0]), 4)
    assert page.item.tolist() == [1, 2, 0, 3]
    assert page.score.tolist() == [3.0, 2.0, 4.0, 1.0]


def test_kinds_are_read_written_and_keep_their_codes(small_log: Dataset, tmp_path: Path) -> None:
    codes = (np.arange(len(small_log.catalogue)) % 3 - 1).astype(np.int32)
    names = {**small_log.catalogue.names, "kind_format": ["text", "video"]}
    dataset = replace(small_log, catalogue=replace(small_log.catalogue, kinds={"format": codes}, names=names))
    write_parquet(dataset, tmp_path)
    again = read_parquet(tmp_path)
    assert again.catalogue.kinds["format"].tolist() == codes.tolist()
    assert again.catalogue.names["kind_format"] == ["text", "video"]
    earlier = {**words_of(again), ("item", "kind_format"): ["card", "video", "text"]}
    moved = realigned(again, earlier).catalogue
    texts = [moved.names["kind_format"][code] if code >= 0 else None for code in moved.kinds["format"]]
    assert texts == [["text", "video"][code] if code >= 0 else None for code in codes]


def test_a_kind_must_have_a_name_of_its_own() -> None:
    catalogue = Catalogue(IdMap([1, 2]), kinds={"author": np.zeros(2, np.int32)})
    with pytest.raises(ValueError, match=r"catalogue\.kinds: expected other names .*, got 'author'"):
        catalogue_kinds(catalogue)


def test_a_snapshot_rules_and_boosts_by_kinds(small_log: Dataset, small_settings: Settings, tmp_path: Path) -> None:
    codes = (np.arange(len(small_log.catalogue)) % 3 - 1).astype(np.int32)
    names = {**small_log.catalogue.names, "kind_format": ["card", "video"]}
    dataset = replace(small_log, catalogue=replace(small_log.catalogue, kinds={"format": codes}, names=names))
    rules = (MaxRun(kind="format", k=2), MaxInPrefix(kind="format", first=1, most=0))
    ruled = small_settings.reranking.model_copy(update={"rules": rules})
    build(dataset, small_settings.model_copy(update={"reranking": ruled}), tmp_path / "snapshot")
    users = dataset.users.ids.ids[:10].tolist()

    def formats(engine: Engine) -> list[list[int]]:
        return [codes[dataset.catalogue.ids.rows(page.items)].tolist() for page in engine.recommend(users, 10)]

    plain = formats(Engine.load(tmp_path / "snapshot"))
    for page in plain:
        assert page[0] == -1
        assert all(len({*page[at : at + 3]}) > 1 or page[at] == -1 for at in range(len(page) - 2))
    boosts = [{"kind": "format", "value": "card", "factor": 1000.0}]
    more = formats(Engine.load(tmp_path / "snapshot", overlay={"reranking": {"boosts": boosts}}))
    assert sum(page.count(0) for page in more) > sum(page.count(0) for page in plain)
    with pytest.raises(ValueError, match=r"boosts\[0\]: value: expected one of card, video, got 'text'"):
        Engine.load(tmp_path / "snapshot", overlay={"reranking": {"boosts": [{**boosts[0], "value": "text"}]}})
