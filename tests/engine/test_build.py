"""Builds go on after an interruption, start warm from an older engine, and take string ids."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from headrace.build import build
from headrace.data import Dataset, IdMap, split_by_time
from headrace.ranking.training import RankerTraining
from headrace.serving import Engine
from headrace.settings import Settings, load_settings


def pages(engine: Engine, data: Dataset) -> list[list[int | str]]:
    users = data.users.ids.external(np.arange(10))
    return [page.items for page in engine.recommend(users)]


def test_an_interrupted_build_goes_on(
    tmp_path: Path, small_log: Dataset, small_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = build(small_log, small_settings, tmp_path / "whole").engine

    fit = RankerTraining.fit

    def cut(self: RankerTraining) -> None:
        if self.ranker.settings.part == "ranker":
            raise KeyboardInterrupt
        fit(self)

    with monkeypatch.context() as patch:
        patch.setattr(RankerTraining, "fit", cut)
        with pytest.raises(KeyboardInterrupt):
            build(small_log, small_settings, tmp_path / "cut")
    (work,) = (tmp_path / "cut").glob("work-*")
    left = {path.name for path in work.glob("*.pt")}
    assert left == {"preranker.pt"}
    again = build(small_log, small_settings, tmp_path / "cut")
    assert not list((tmp_path / "cut").glob("work-*"))
    assert pages(again.engine, small_log) == pages(whole, small_log)
    assert pages(Engine.load(tmp_path / "cut"), small_log) == pages(whole, small_log)


def test_a_warm_build_starts_from_what_was_learnt(tmp_path: Path, small_log: Dataset, small_settings: Settings) -> None:
    past, _ = split_by_time(small_log.log, 2.0)
    old = build(small_log.with_log(past), small_settings, tmp_path / "old").engine
    cold = build(small_log, small_settings, tmp_path / "cold")
    warm = build(small_log, small_settings, tmp_path / "warm", warm=old)
    for before, after in zip(cold.fits, warm.fits, strict=True):
        assert after.losses[0][1] < before.losses[0][1], after.label


def test_string_ids_go_in_and_come_out(tmp_path: Path, small_log: Dataset, small_settings: Settings) -> None:
    users = IdMap([f"u{i:05d}" for i in range(len(small_log.users))])
    items = IdMap([f"item-{i:05d}" for i in range(len(small_log.catalogue))])
    data = dataclasses.replace(
        small_log,
        users=dataclasses.replace(small_log.users, ids=users),
        catalogue=dataclasses.replace(small_log.catalogue, ids=items),
    )
    build(data, small_settings, tmp_path)
    page, stranger = Engine.load(tmp_path).recommend(["u00003", "nobody"])
    assert page.known
    assert not stranger.known
    assert all(isinstance(item, str) and item.startswith("item-") for item in page.items + stranger.items)


def test_a_file_names_the_networks(tmp_path: Path, small_log: Dataset, small_settings: Settings) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(
        '[features]\nlists = ["engaged", "like"]\n[ranker]\nmodel = "dcn_v2"\n[ranker.network]\nlayers = 1\n'
        '[preranker]\nmodel = "deepfm"\n'
    )
    read = load_settings(path)
    chosen = small_settings.model_copy(update={n: getattr(read, n) for n in ("features", "ranker", "preranker")})
    built = build(small_log, chosen, tmp_path / "snapshot")
    assert built.slow == {}
    again = Engine.load(tmp_path / "snapshot")
    assert again.settings == chosen
    assert type(again.funnel.ranker.network.model).__name__ == "DCNV2"
    assert type(again.funnel.preranker.network.model).__name__ == "DeepFM"
    assert pages(again, small_log) == pages(built.engine, small_log)
    assert all(len(page) == chosen.page.shown for page in pages(again, small_log))
