"""Every setting of a build, in one tree. Defaults are the sizes of an industrial funnel; a TOML file changes them."""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import Field, ValidationError, field_validator

from headrace.features import FeatureSettings
from headrace.ranking import FusionSettings, PreRankerSettings, RankerSettings
from headrace.ranking.targets import PREDICTIONS
from headrace.reranking import MaxRun, OneInWindow, RerankSettings, Rule
from headrace.section import Section, first_problem
from headrace.training.matrix_completion import MatrixCompletionSettings
from headrace.training.two_tower import TwoTowerSettings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class RecallSettings(Section):
    """Items that each channel may bring, and how many the merge keeps (thousands)."""

    itemcf: int = Field(default=500, ge=1, description="items that item-based collaborative filtering may bring")
    two_tower: int = Field(default=1000, ge=1, description="items that the two-tower channel may bring")
    matrix_completion: int = Field(
        default=0, ge=0, description="items that matrix completion may bring; 0: it is not trained"
    )
    author_latest: int = Field(default=300, ge=1, description="items of the user's authors")
    popular_in_category: int = Field(default=300, ge=1, description="popular items of the user's categories")
    popular: int = Field(default=300, ge=1, description="popular items; what users without history get")
    total: int = Field(default=2000, ge=1, description="items that the merge keeps")
    neighbours: int = Field(default=50, ge=1, description="ItemCF's neighbours of an item")
    min_common: int = Field(default=2, ge=1, description="users that two items must share to be ItemCF's neighbours")


class ExposureSettings(Section):
    """The exposure filter."""

    fpr: float = Field(default=0.01, gt=0, lt=1, description="designed false-positive rate of the exposure filter")
    days: int = Field(
        default=30,
        ge=1,
        description="days that an exposure counts, at least; a build never takes fewer than its log spans",
    )


class PageSettings(Section):
    """How many items go from stage to stage."""

    ranked: int = Field(default=500, ge=1, description="items that pre-ranking passes to ranking (hundreds)")
    shown: int = Field(default=80, ge=1, description="items of a page")


class PageRules(RerankSettings):
    """Re-ranking with the rules that most feeds want; one that names what the catalogue lacks changes nothing."""

    rules: tuple[Rule, ...] = Field(
        default=(
            MaxRun(kind="category", k=5),
            MaxRun(kind="author", k=2),
            OneInWindow(kind="marked", window=9),
        ),
        description="page rules in order of priority; when they leave nothing, the last is dropped first "
        "([reranking.md](reranking.md))",
    )


class Settings(Section):
    """All settings of a build."""

    seed: int = Field(default=0, ge=0, description="of every draw")
    unshown: float = Field(
        default=2.0,
        ge=0,
        description="rows of items never shown that the ranking models see for each row of the log",
    )
    unshown_most: int = Field(default=1_000_000, ge=0, description="the most of them")
    recall: RecallSettings = Field(default=RecallSettings(), description="how many items each channel brings")
    two_tower: TwoTowerSettings = Field(default=TwoTowerSettings(), description="the two-tower channel")
    matrix_completion: MatrixCompletionSettings = Field(
        default=MatrixCompletionSettings(), description="the matrix completion channel"
    )
    exposure: ExposureSettings = Field(default=ExposureSettings(), description="what was shown already")
    features: FeatureSettings = Field(default=FeatureSettings(), description="how features are made")
    preranker: PreRankerSettings = Field(default=PreRankerSettings(), description="the pre-ranker")
    ranker: RankerSettings = Field(default=RankerSettings(), description="the ranker")
    fusion: FusionSettings = Field(default=FusionSettings(), description="from predictions to one score")
    page: PageSettings = Field(default=PageSettings(), description="how many items go from stage to stage")
    reranking: PageRules = Field(default=PageRules(), description="how a page is picked")

    @field_validator("fusion")
    @classmethod
    def _of_predictions(cls, fusion: FusionSettings) -> FusionSettings:
        for setting in ("weights", "exponents", "offsets"):
            for name in getattr(fusion, setting):
                if name not in PREDICTIONS:
                    raise ValueError(f"{setting}: expected some of {', '.join(PREDICTIONS)}, got {name!r}")
        return fusion


def load_settings(path: str | Path) -> Settings:
    """Reads a TOML file. Raises ValueError naming the file, the setting, what was expected and what came."""
    try:
        with open(path, "rb") as file:
            return Settings.model_validate(tomllib.load(file))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: not TOML: {error}") from error
    except ValidationError as error:
        raise ValueError(f"{path}: {first_problem(error)}") from error
