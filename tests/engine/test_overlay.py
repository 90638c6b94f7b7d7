"""Settings of use over those of a snapshot: what may change does, anything else is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from headrace.cli import app
from headrace.data import Dataset
from headrace.serving import Engine


def users_of(small_log: Dataset) -> list[int]:
    return [int(user) for user in small_log.users.ids.ids[:12]]


def test_an_overlay_of_nothing_changes_nothing(snapshot: Path, small_log: Dataset) -> None:
    plain, same = Engine.load(snapshot), Engine.load(snapshot, overlay={})
    assert same.settings == plain.settings
    assert same.recommend(users_of(small_log)) == plain.recommend(users_of(small_log))


def test_quotas_merge_and_page_change(snapshot: Path, small_log: Dataset) -> None:
    overlay = {
        "channels": {"two_tower": {"quota": 0}, "popular": {"quota": 7}},
        "merge": {"total": 50},
        "page": {"ranked": 30, "shown": 4},
    }
    engine = Engine.load(snapshot, overlay=overlay)
    assert [channel.name for channel in engine.funnel.channels] == [
        "author_latest", "itemcf", "popular", "popular_in_category"
    ]  # fmt: skip
    trace = engine.funnel.run(engine.requests(small_log.users.ids.rows(users_of(small_log))), 4)
    assert trace.recalled["popular"].counts.tolist() == [7] * 12
    assert int(trace.merged.counts.max()) == 50
    assert int(trace.pre_ranked.counts.max()) == 30
    pages = engine.recommend(users_of(small_log))
    assert {len(page.items) for page in pages} == {4}
    assert not any("two_tower" in names for page in pages for names in page.channels)


def test_fusion_selection_and_rules_change(snapshot: Path, small_log: Dataset) -> None:
    item = int(small_log.catalogue.ids.ids[3])
    overlay = {
        "fusion": {"exposure_power": 0.0, "weights": {"p_like": 9.0}},
        "preranker": {"by_score": 0.5},
        "reranking": {"method": "none", "rules": [], "pins": [{"item": item, "position": 2}]},
    }
    engine = Engine.load(snapshot, overlay=overlay)
    assert engine.funnel.ranker.heads.fusion == engine.settings.fusion
    assert engine.settings.fusion.weights == {"p_like": 9.0}
    assert engine.funnel.select.variety is not None
    assert all(page.items[1] == item for page in engine.recommend([-1], 5))


@pytest.mark.parametrize(
    ("overlay", "words"),
    [
        ({"ranker": {"experts": 4}}, r"overlay: ranker\.experts: is fixed when a snapshot is built"),
        ({"channels": {"swing": {"quota": 4}}}, r"overlay: channels\.swing\.quota: is fixed"),
        ({"channels": {"itemcf": {"last": 4}}}, r"overlay: channels\.itemcf\.last: is fixed"),
        ({"reranking": {"attributes": 0.5}}, r"overlay: reranking\.attributes: is fixed"),
        ({"seed": 4}, r"overlay: seed: is fixed"),
        ({"page": {"show": 4}}, r"overlay: page: expected one of ranked, shown, got 'show'"),
        ({"merge": {"total": 0}}, r"overlay: merge\.total: .*got 0"),
        ({"fusion": {"weights": {"p_lik": 1.0}}}, r"overlay: fusion\.weights\.p_lik: expected one of .*'p_lik'"),
    ],
)
def test_anything_else_is_named(snapshot: Path, overlay: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Engine.load(snapshot, overlay=overlay)


def test_no_channel_at_all_is_refused(snapshot: Path) -> None:
    names = [channel.name for channel in Engine.load(snapshot).funnel.channels]
    with pytest.raises(ValueError, match="channels: expected a quota above 0 for at least one, got none"):
        Engine.load(snapshot, overlay={"channels": {name: {"quota": 0} for name in names}})


def test_a_file_will_do_and_the_commands_take_it(snapshot: Path, small_log: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "overlay.toml"
    path.write_text("[page]\nshown = 3\n")
    assert Engine.load(snapshot, overlay=path).settings.page.shown == 3
    words = ["recommend", "--snapshot", str(snapshot), "--users", str(users_of(small_log)[0]), "--overlay", str(path)]
    run = CliRunner().invoke(app, words)
    assert run.exit_code == 0, run.output
    assert run.stdout.count("1000") == 3
    path.write_text("[features]\nbehaviours = 3\n")
    run = CliRunner().invoke(app, words)
    assert run.exit_code == 2
    assert "overlay.toml: features.behaviours: is fixed" in run.output
