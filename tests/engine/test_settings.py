"""Settings: what is refused, and the page that says what there is."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, SerializeAsAny
from typer.testing import CliRunner

from headrace.cli import app
from headrace.report.settings_page import settings_page
from headrace.section import Section
from headrace.settings import Settings, load_settings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[ranker.weights]\nlikes = 2.0",
            r"ranker\.weights\.likes: expected one of impression, .*got 'likes'$",
        ),
        ("[preranker.negative_rate]\nclicks = 0.2", r"preranker\.negative_rate\.clicks: expected one of"),
        ("[fusion.weights]\nlike = 2.0", r"fusion\.weights\.like: expected one of p_impression, .* 'like'$"),
        ("[fusion.exponents]\np_clik = 2.0", r"fusion\.exponents\.p_clik: expected one of .*, got 'p_clik'$"),
        ("[fusion.offsets]\np_clik = 2.0", r"fusion\.offsets\.p_clik: expected one of .*, got 'p_clik'$"),
        ("[ranker.train]\nlearning_rate = inf", r"ranker\.train\.learning_rate: Input should be a finite number"),
    ],
)
def test_what_means_nothing_is_refused(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=words):
        load_settings(path)
    path.write_text("[fusion.weights]\np_finish = 2.0\nplay_time = 0.1\n[ranker.weights]\nlike = 2.0")
    assert load_settings(path).ranker.weights == {"like": 2.0}


def classes(base: type[Section]) -> Iterator[type[Section]]:
    for one in base.__subclasses__():
        yield one
        yield from classes(one)


def test_the_page_is_what_the_settings_say() -> None:
    assert PAGE.read_text() == settings_page(Settings()), "headrace settings > docs/settings.md"
    assert CliRunner().invoke(app, ["settings"]).stdout == PAGE.read_text()


def test_every_setting_is_described() -> None:
    import headrace

    for module in pkgutil.walk_packages(headrace.__path__, "headrace."):
        if not module.name.startswith(("headrace.benchmarks", "headrace.kernels", "headrace._C")):
            importlib.import_module(module.name)
    ours = [one for one in classes(Section) if one.__module__.startswith("headrace.")]
    assert len(ours) > 20
    for section in ours:
        assert section.__doc__ or section.__name__.startswith("_"), section
        for name, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{name}"


class Inner(Section):
    """One of many."""

    size: int | None = Field(default=None, gt=2, description="in rows")


class Outer(Section):
    """All."""

    share: Annotated[float, Field(ge=0, lt=1)] | None = Field(default=0.5, description="a | b")
    names: dict[str, float] = Field(default={"x": 1.0}, description="by name")
    given: Inner = Field(default=Inner(size=7), description="one")
    perhaps: Inner | None = Field(default=None, description="one or none")
    many: tuple[Inner, ...] = Field(default=(Inner(size=3),), description="some")
    must: Literal["a", "b"] = Field(description="no default")
    found: SerializeAsAny[Section] = Field(default=Inner(size=4), description="as registered")
    each: dict[str, SerializeAsAny[Section]] = Field(
        default={"near": Inner(size=5), "far": Inner(size=6)}, description="by registry"
    )


def test_a_page_of_any_section() -> None:
    page = settings_page(Outer(must="a"))
    for row in (
        r"| `share` | number, at least 0, below 1 or none | `0.5` | a \| b |",
        "| `names` | table of number by name | `{x = 1.0}` | by name |",
        "| `given` | section |  | one |",
        "| `perhaps` | section or none |  | one or none |",
        "| `many` | list of sections, below | `[{size = 3}]` | some |",
        '| `must` | `"a"` or `"b"` | required | no default |',
        "| `found` | section |  | as registered |",
        "## `[found]`\n\nOne of many.\n",
        "| `size` | integer or none, above 2 | `4` | in rows |",
        "| `each` | sections by name |  | by registry |",
        "## `[each.near]`\n\nOne of many.\n",
        "| `size` | integer or none, above 2 | `6` | in rows |",
        "## `[given]`\n\nOne of many.\n",
        "| `size` | integer or none, above 2 | `7` | in rows |",
        "## `[perhaps]`\n",
        "| `size` | integer or none, above 2 | none | in rows |",
        "## `[[many]]` Inner\n",
    ):
        assert row in page, row


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
        ("[ranker.network]\nexpert = 3", "ranker.network.expert"),
        ("[preranker.network]\ntowers = 3", "preranker.network.towers"),
        ("[channels.item_cf]\nquota = 3", "channels.item_cf"),
        ("[ranker.train]\nepoch = 3", "ranker.train.epoch"),
        ("[fusion]\nweight = 3", "fusion.weight"),
        ("[reranking]\nthetas = 3", "reranking.thetas"),
    ],
)
def test_a_misspelt_name_is_refused(text: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    *section, last = name.split(".")
    where = re.escape("".join(f"{part}." for part in section)).removesuffix(r"\.") + ": " if section else ""
    with pytest.raises(ValueError, match=rf"settings\.toml: {where}expected one of \w+, .*, got '{last}'$"):
        load_settings(path)


def test_what_is_not_finite_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    for value in ("inf", "nan"):
        path.write_text(f"[ranker.train]\nlearning_rate = {value}")
        with pytest.raises(ValueError, match=r"ranker\.train\.learning_rate: Input should be a finite number"):
            load_settings(path)


@pytest.mark.parametrize(
    ("section", "now"),
    [
        ("recall", r"\[channels\.<name>\] quota, \[channels\.itemcf\] and \[merge\] total"),
        ("two_tower", r"\[channels\.two_tower\]"),
        ("matrix_completion", r"\[channels\.matrix_completion\]"),
    ],
)
def test_a_section_that_moved_says_where_it_went(section: str, now: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(f"[{section}]\n")
    with pytest.raises(ValueError, match=rf"settings\.toml: {section}: this section is now {now}$"):
        load_settings(path)


@pytest.mark.parametrize("page", ["settings.md", "reranking.md", "channels.md", "ann.md"])
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
