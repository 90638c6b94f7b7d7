"""The page of settings names every setting, and the defaults are the ones it states."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from headrace.settings import Settings, load_settings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def leaves(prefix: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, BaseModel):
        names = list(type(value).model_fields)
    elif dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
    else:
        yield prefix, value
        return
    for name in names:
        yield from leaves(f"{prefix}.{name}" if prefix else name, getattr(value, name))


def test_every_setting_is_on_the_page() -> None:
    rows = dict(line.split("|")[1:3] for line in PAGE.read_text().splitlines() if line.startswith("| `"))
    stated = {name.strip(" `"): default.strip() for name, default in rows.items()}
    settings = {name: value for name, value in leaves("", Settings()) if not name.endswith(".seed")}
    assert set(stated) == set(settings)
    for name, value in settings.items():
        if isinstance(value, (int, float, str)):
            assert stated[name] == str(value), name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("sed = 3", "sed"),
        ("[channels.itemcf]\nquotas = 3", "channels.itemcf.quotas"),
        ("[channels.two_tower]\ndims = 3", "channels.two_tower.dims"),
        ("[channels.matrix_completion]\nregularization = 0.1", "channels.matrix_completion.regularization"),
        ("[features]\nbehaviors = 3", "features.behaviors"),
        ("[preranker]\ntowers = 3", "preranker.towers"),
        ("[ranker]\nexpert = 3", "ranker.expert"),
        ("[ranker.train]\nepoch = 3", "ranker.train.epoch"),
        ("[fusion]\nweight = 3", "fusion.weight"),
        ("[reranking]\nthetas = 3", "reranking.thetas"),
    ],
)
def test_a_misspelt_name_is_refused(text: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"settings\.toml: {re.escape(name)}: Extra inputs are not permitted, got"):
        load_settings(path)


@pytest.mark.parametrize("page", ["settings.md", "reranking.md"])
def test_examples_on_the_pages_are_settings(page: str, tmp_path: Path) -> None:
    examples = re.findall(r"```toml\n(.*?)```", (PAGE.parent / page).read_text(), re.DOTALL)
    assert examples
    for example in examples:
        (tmp_path / "settings.toml").write_text(example)
        assert load_settings(tmp_path / "settings.toml") != Settings()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('rules = [{rule = "max_run", kind = "category", k = 0}]', r"reranking\.rules\.0\.max_run\.k: .*got 0$"),
        ('rules = [{rule = "max_runs", kind = "category"}]', r"reranking\.rules\.0: Input tag 'max_runs'"),
        (
            'rules = [{rule = "max_run", kind = "a", k = 1}, {rule = "max_run", kind = "a", k = 5}]',
            r"reranking: rules\[1\] max_run a k=5: can never act, since rules\[0\] .* remove one$",
        ),
        (
            "pins = [{item = 4, position = 1}, {item = 5, position = 1}]",
            r"reranking: pins\[1\]: position 1 is taken by",
        ),
    ],
)
def test_a_mistake_in_the_rules_is_named(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(f"[reranking]\n{text}\n")
    with pytest.raises(ValueError, match=words):
        load_settings(path)
