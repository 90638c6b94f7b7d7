"""Every setting of a build, in one tree. Defaults are the sizes of an industrial funnel; a TOML file changes them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    SerializeAsAny,
    ValidationError,
    create_model,
    model_validator,
)

from headrace.channels import CHANNELS, ChannelSettings
from headrace.data.feedback import POSITIVE
from headrace.data.files import MOST_ROWS
from headrace.features import FeatureSettings
from headrace.ranking import BlendSettings, FusionSettings, PreRankerSettings, RankerSettings
from headrace.reranking import MaxRun, OneInWindow, RerankSettings, Rule
from headrace.section import Section, first_problem
from headrace.training.split import SHARE

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class MergeSettings(Section):
    """The merge of what the channels found."""

    total: int = Field(default=2000, ge=1, description="items that the merge keeps (thousands)")


def _by_registry(value: Any) -> dict[str, ChannelSettings]:
    """Settings of every channel there is, from what is said of some."""
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a section for each channel, got {value!r}")
    for name in value:
        if name not in CHANNELS:
            raise ValueError(f"expected one of {', '.join(CHANNELS)}, got {name!r}")
    fields: dict[str, Any] = {name: (kind.Settings, kind.Settings()) for name, kind in CHANNELS.items()}
    model = create_model("channels", **fields)
    return dict(model.model_validate(dict(value)))


class ExposureSettings(Section):
    """What was shown already, and what is too old to be shown."""

    fpr: float = Field(default=0.01, gt=0, lt=1, description="designed false-positive rate of the exposure filter")
    days: int = Field(default=30, ge=1, le=36_500, description="days that an exposure counts, and at most one more")
    recall_days: int | None = Field(
        default=None,
        ge=0,
        le=36_500,
        description="days after its publish time that an item is recalled, 0: for ever; none: 30 where 99 % of the "
        "log's rows show items as young, else 0",
    )


class StageSettings(Section):
    """Which stages a request goes through. What is skipped is not trained either."""

    whole: bool = Field(
        default=False,
        description="rank every item that may be shown, not only those that recall found; for small catalogues",
    )
    preranking: bool = Field(default=True, description="else all candidates go on to ranking")
    ranking: bool = Field(default=True, description="else the scores are those of pre-ranking, or of the merge")
    reranking: bool = Field(default=True, description="else a page is the best scores, without rules or slots")


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


#: Sections that older settings files have -> where they went.
_MOVED = {
    "recall": "[channels.<name>] quota, [channels.itemcf] and [merge] total",
    "two_tower": "[channels.two_tower]",
    "matrix_completion": "[channels.matrix_completion]",
}


class Settings(Section):
    """All settings of a build."""

    seed: int = Field(default=0, ge=0, description="of every draw")
    log_rows: int = Field(
        default=MOST_ROWS,
        ge=1,
        description="the most rows of a Parquet file of the log; one with more is refused; reading takes some 200 "
        "bytes of memory a row",
    )
    positive_rating: float = Field(
        default=POSITIVE, allow_inf_nan=False, description="of a log of ratings, those from here on are clicks"
    )
    unshown: float = Field(
        default=2.0,
        ge=0,
        description="rows of items never shown that the ranking models see for each row of the log",
    )
    unshown_most: int = Field(default=1_000_000, ge=0, description="the most of them")
    validation: float = Field(
        default=SHARE,
        ge=0,
        le=0.5,
        description="share of the log's rows, by the fewest whole last days, that ranking is first trained without: "
        "their loss ends training, then they are learnt too; 0 trains for all epochs",
    )
    channels: Annotated[dict[str, SerializeAsAny[ChannelSettings]], BeforeValidator(_by_registry)] = Field(
        default_factory=lambda: _by_registry({}), description="each recall channel, by name"
    )
    merge: MergeSettings = Field(default=MergeSettings(), description="the merge of what the channels found")
    exposure: ExposureSettings = Field(default=ExposureSettings(), description="what is not recalled")
    features: FeatureSettings = Field(default=FeatureSettings(), description="how features are made")
    preranker: PreRankerSettings = Field(default=PreRankerSettings(), description="the pre-ranker")
    ranker: RankerSettings = Field(default=RankerSettings(), description="the ranker")
    fusion: FusionSettings = Field(default=FusionSettings(), description="from predictions to one score")
    blend: BlendSettings = Field(
        default=BlendSettings(), description="from predictions and recall to one score, learnt"
    )
    stages: StageSettings = Field(default=StageSettings(), description="which stages there are")
    page: PageSettings = Field(default=PageSettings(), description="how many items go from stage to stage")
    reranking: PageRules = Field(default=PageRules(), description="how a page is picked")

    @model_validator(mode="before")
    @classmethod
    def _no_moved_section(cls, value: Any) -> Any:
        for name in _MOVED:
            if isinstance(value, Mapping) and name in value:
                raise ValueError(f"{name}: this section is now {_MOVED[name]}")
        return value


def read_toml(path: str | Path) -> dict[str, Any]:
    """What a TOML file says. Raises ValueError naming the file."""
    try:
        with open(path, "rb") as file:
            found: dict[str, Any] = tomllib.load(file)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: not TOML: {error}") from error
    return found


def load_settings(path: str | Path) -> Settings:
    """Reads a TOML file. Raises ValueError naming the file, the setting, what was expected and what came."""
    try:
        return Settings.model_validate(read_toml(path))
    except ValidationError as error:
        raise ValueError(f"{path}: {first_problem(error)}") from error
