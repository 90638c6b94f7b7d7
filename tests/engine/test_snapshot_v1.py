"""Snapshots of format 1 still load, and serve what they served."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from format_1 import Tensors, channel_v1, exposure_v1, features_v1, ranker_v1, reranker_v1, write_v1
from safetensors.torch import load_file

from headrace.build import build
from headrace.data import Dataset
from headrace.exposure import ExposureFilter
from headrace.features import FeatureSettings, FeatureStore
from headrace.ranking import FusionSettings, Heads, NetworkSettings, Ranker
from headrace.ranking.completion import CompletionCurve
from headrace.reranking import MaxRun, Reranker, RerankSettings
from headrace.serving import Engine
from headrace.settings import Settings
from headrace.snapshot import SnapshotError, read_snapshot
from headrace.state import State

#: What format 1 did not keep: what warm starts alone need, and words.
NOT_KEPT = ("families/content/mean", "families/content/axes", "families/items/categories", "families/words")


def fold_bias(ranker: Ranker) -> None:
    """There was one bias of the linear path, the prior in it; without one beside it the two have the same sums."""
    with torch.no_grad():
        ranker.network.prior += ranker.network.model.wide.bias
        ranker.network.model.wide.bias.zero_()


def rankers_v1(*rankers: Ranker) -> tuple[dict[str, Tensors], dict[str, Any]]:
    """The parts and the facts of a pre-ranker, a ranker and their features."""
    parts = {"features": features_v1(rankers[0].store)}
    for ranker in rankers:
        parts["ranker" if ranker.settings.model == "mmoe" else "preranker"] = ranker_v1(ranker)
    return {name: tensors for name, (tensors, _) in parts.items()}, {name: facts for name, (_, facts) in parts.items()}


def assert_same(got: State, expected: State) -> None:
    """Every number that format 1 kept."""
    for mine, theirs in ((got.tensors, expected.tensors), (got.facts, expected.facts)):
        kept = [name for name in theirs if not name.startswith(NOT_KEPT)]
        assert {name for name in mine if not name.startswith(NOT_KEPT)} == set(kept)
        for name in kept:
            a, b = mine[name], theirs[name]
            if name == "names":
                b = [family for family in b if family != "words"]
            assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b, name


@pytest.fixture
def folded(engine: Engine) -> Engine:
    # What format 1 did not have.
    fusion = FusionSettings(exposure_power=0.75)
    for ranker in (engine.funnel.preranker, engine.funnel.ranker):
        fold_bias(ranker)
        ranker.heads.blend, ranker.heads.fusion = None, fusion
    told = engine.settings
    untold = {part: getattr(told, part).model_copy(update={"train": None}) for part in ("preranker", "ranker")}
    engine.settings = told.model_copy(update={"fusion": fusion, **untold})
    return engine


@pytest.fixture
def old(folded: Engine, snapshot: Path, tmp_path: Path) -> Path:
    """The small engine as format 1 had it."""
    today = read_snapshot(snapshot)
    funnel = folded.funnel
    parts, meta = rankers_v1(funnel.preranker, funnel.ranker)
    parts |= {"exposure": exposure_v1(funnel.exposure), "reranker": reranker_v1(funnel.reranker)}
    parts |= {f"channel-{channel.name}": channel_v1(channel) for channel in funnel.channels}
    settings = json.loads((Path(__file__).parent / "settings_v1.json").read_text())
    write_v1(tmp_path / "old", parts, today.tables, {**today.info, "settings": settings, "meta": meta})
    return tmp_path / "old"


def test_format_1_serves_as_before(folded: Engine, old: Path) -> None:
    again = Engine.load(old)
    users = folded.users.ids[:40].tolist()
    for at in (None, folded.as_of + 1, folded.as_of - 86_400_000):
        assert again.recommend(users, 10, at=at) == folded.recommend(users, 10, at=at)
    assert again.settings == folded.settings
    assert np.array_equal(again.items.ids, folded.items.ids)
    for one in (again, folded):
        one.recommend(users, 10, record=True)
    assert again.recommend(users, 10, at=folded.as_of + 1) == folded.recommend(users, 10, at=folded.as_of + 1)


def plain(dataset: Dataset) -> Dataset:
    """Without content, contexts and features of users, with every item of one author."""
    catalogue = replace(dataset.catalogue, vector=None, author=None, duration_ms=None)
    users = replace(dataset.users, features={})
    return replace(dataset, catalogue=catalogue, users=users, log=replace(dataset.log, context={}))


def with_history(dataset: Dataset) -> Dataset:
    """With older interactions, and a context that the statistics are crossed with."""
    log = replace(
        dataset.log, context={"tab": dataset.log.user % 5, "hour": dataset.log.item % 24, **dataset.log.context}
    )
    return replace(dataset, log=log.take(slice(2000, None)), history=log.take(slice(2000)))


@pytest.mark.parametrize("change", [plain, with_history])
@pytest.mark.parametrize("attention", [True, False])
def test_features_and_networks_of_format_1(small_log: Dataset, tmp_path: Path, change: Any, attention: bool) -> None:
    store = FeatureStore.fit(change(small_log), FeatureSettings(behaviours=7))
    heads = Heads(("click", "completion"), {"click": 0.5}, CompletionCurve(torch.rand(24)), FusionSettings())
    chosen = ({"model": "three_towers", "network": {"embedding_dim": 5, "vector_dim": 6}},
              {"model": "mmoe", "network": {"attention": attention, "experts": 2}})  # fmt: skip
    rankers = []
    for one in map(NetworkSettings.model_validate, chosen):
        network = one.build(store.columns, len(heads.targets))
        network.set_prior(torch.tensor([-1.0, 2.0]))
        rankers.append(Ranker(store, network, one, heads))
    parts, meta = rankers_v1(*rankers)
    write_v1(tmp_path, parts, {}, {"meta": meta})
    back = read_snapshot(tmp_path)
    assert not back.lost
    assert_same(back.states["features"], store.state())
    for name, ranker in zip(("preranker", "ranker"), rankers, strict=True):
        assert_same(back.states[name], ranker.state())
    assert FeatureStore.from_state(back.states["features"]).columns == store.columns


def test_numbers_of_format_1_are_facts(tmp_path: Path) -> None:
    never = ExposureFilter(0.013, window_days=1 / 7)
    settings = RerankSettings(rules=(MaxRun(kind="author", k=2),))
    reranker = Reranker(settings, torch.eye(3), {"author": torch.arange(3, dtype=torch.int32)})
    write_v1(tmp_path, {"exposure": exposure_v1(never), "reranker": reranker_v1(reranker)}, {}, {"as_of": 3})
    back = read_snapshot(tmp_path)
    assert back.info == {"as_of": 3}
    assert_same(back.states["reranker"], reranker.state())
    assert_same(ExposureFilter.from_state(back.states["exposure"]).state(), never.state())


def rewritten(folder: Path, old: Path, part: str, change: dict[str, torch.Tensor]) -> Path:
    """The snapshot `old` with some tensors of one part put in."""
    (version,) = (path for path in old.iterdir() if path.is_dir())
    info = json.loads((version / "manifest.json").read_text())["info"]
    parts = {path.stem: load_file(path) for path in version.glob("*.safetensors")}
    parts[part] = {**parts.get(part, {}), **change}
    write_v1(folder, parts, read_snapshot(old).tables, info)
    return folder


@pytest.mark.parametrize(
    ("part", "tensor", "reason"),
    [
        ("ranker", "network/more.table.weight", "ranker: expected no other tensors, got network/more.table.weight"),
        ("preranker", "network/wide.request.weight", r"preranker: network/wide.request.weight: expected \d+ columns"),
        ("features", "bank/item_city.keys", "features: expected no other tensors, got bank/item_city.keys"),
        ("features", "scaling/cross.mean", r"features: scaling/cross.mean: expected \d+ columns .* of statistics"),
        ("channel-unheard_of", "item", "channel-unheard_of: expected one of features, preranker, ranker, exposure"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason(
    old: Path, tmp_path: Path, part: str, tensor: str, reason: str
) -> None:
    folder = rewritten(tmp_path / "changed", old, part, {tensor: torch.ones(3, 3)})
    kept = read_snapshot(folder)
    assert set(kept.lost) == ({"features", "preranker", "ranker"} if part == "features" else {part})
    assert "items" in kept.tables
    words = ", ".join(kept.lost)
    with pytest.raises(
        SnapshotError, match=rf"changed: made by a release whose {words} this one cannot read \(.*{reason}"
    ):
        Engine.load(folder)


def test_weights_that_do_not_fit_their_settings(old: Path, tmp_path: Path) -> None:
    folder = rewritten(tmp_path / "changed", old, "ranker", {"network/second.bias": torch.ones(1, 1, 2)})
    with pytest.raises(SnapshotError, match=r"changed: its ranker does not fit this release: .*second\.bias"):
        Engine.load(folder)


def test_content_of_format_1_is_no_start(
    old: Path, small_log: Dataset, small_settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="earlier: expected what made its content vectors, got none"):
        build(small_log, small_settings, tmp_path / "next", warm=Engine.load(old))
