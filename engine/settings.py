"""Every setting of a build, in one tree. Defaults are the sizes of an industrial funnel; a TOML file changes them."""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headrace.features import FeatureSettings
from headrace.ranking import FusionSettings, PreRankerSettings, RankerSettings
from headrace.reranking import MaxRun, OneInWindow, RerankSettings, Rule
from headrace.training.matrix_completion import MatrixCompletionSettings
from headrace.channels.two_tower.objective import TwoTowerSettings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class Section(BaseModel):
    """A group of settings; an unknown name is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RecallSettings(Section):
    """Items that each channel may bring, and how many the merge keeps (thousands).

    matrix_completion: 0 for no such channel.
    neighbours, min_common: ItemCF's neighbours of an item, and the users that two items must share to be neighbours.
    """

    itemcf: int = Field(default=500, ge=1)
    two_tower: int = Field(default=1000, ge=1)
    matrix_completion: int = Field(default=0, ge=0)
    author_latest: int = Field(default=300, ge=1)
    popular_in_category: int = Field(default=300, ge=1)
    popular: int = Field(default=300, ge=1)
    total: int = Field(default=2000, ge=1)
    neighbours: int = Field(default=50, ge=1)
    min_common: int = Field(default=2, ge=1)


class ExposureSettings(Section):
    """The exposure filter: its designed false-positive rate, and the days that an exposure counts."""

    fpr: float = Field(default=0.01, gt=0, lt=1)
    days: int = Field(default=30, ge=1)


class PageSettings(Section):
    """Items that pre-ranking passes to ranking (hundreds), and items shown."""

    ranked: int = Field(default=500, ge=1)
    shown: int = Field(default=80, ge=1)


class PageRules(RerankSettings):
    """Re-ranking with the rules that most feeds want; one that names what the catalogue lacks changes nothing."""

    rules: tuple[Rule, ...] = (
        MaxRun(kind="category", k=5),
        MaxRun(kind="author", k=2),
        OneInWindow(kind="marked", window=9),
    )


class Settings(Section):
    """All settings of a build.

    unshown, unshown_most: rows of items never shown that the ranking models see for each row of the log, and at most
        how many in all (see `with_unshown`).
    """

    seed: int = 0
    unshown: float = Field(default=2.0, ge=0)
    unshown_most: int = Field(default=1_000_000, ge=0)
    recall: RecallSettings = RecallSettings()
    two_tower: TwoTowerSettings = TwoTowerSettings()
    matrix_completion: MatrixCompletionSettings = MatrixCompletionSettings()
    exposure: ExposureSettings = ExposureSettings()
    features: FeatureSettings = FeatureSettings()
    preranker: PreRankerSettings = PreRankerSettings()
    ranker: RankerSettings = RankerSettings()
    fusion: FusionSettings = FusionSettings()
    page: PageSettings = PageSettings()
    reranking: PageRules = PageRules()


def load_settings(path: str | Path) -> Settings:
    """Reads a TOML file. Raises ValueError naming the file, the setting, what was expected and what came."""
    try:
        with open(path, "rb") as file:
            return Settings.model_validate(tomllib.load(file))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        # A check of ours says itself what came; its input would be the whole group.
        got = "" if first["type"] == "value_error" else f", got {first['input']!r}"
        raise ValueError(f"{path}: {name}: {first['msg'].removeprefix('Value error, ')}{got}") from error
