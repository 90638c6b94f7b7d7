"""Settings of the ranking models."""

from __future__ import annotations

from pydantic import Field

from headrace.ranking.targets import Target
from headrace.section import Section
from headrace.training.loop import TrainSettings


class RankingSettings(Section):
    """What the training of both ranking models shares."""

    embedding_dim: int = Field(default=8, ge=1, description="width of every discrete field's embedding")
    negative_rate: dict[Target, float] = Field(
        default={},
        description="target -> share of its negatives that training sees, below 1 to down-sample; predictions are "
        "calibrated back",
    )
    weights: dict[Target, float] = Field(default={}, description="target -> weight of its loss, 1 where absent")
    train: TrainSettings | None = Field(
        default=None, description="how long and how fast to train; none: chosen by the size of the log"
    )


class RankerSettings(RankingSettings):
    """The ranker: a mixture of experts and a head for each target."""

    experts: int = Field(default=3, ge=1, description="experts of the mixture (MMoE)")
    expert_units: tuple[int, int] = Field(default=(64, 32), description="units of an expert's two layers")
    head_units: int = Field(default=16, ge=1, description="hidden units of a head")
    attention: bool = Field(default=True, description="target attention over the behaviours (DIN), beside their mean")
    expert_dropout: float = Field(
        default=0.1, ge=0, lt=1, description="probability that a gate's expert is masked in training"
    )


class PreRankerSettings(RankingSettings):
    """The pre-ranker: three towers, and what it passes on."""

    tower_units: int = Field(default=64, ge=1, description="hidden units of a tower")
    vector_dim: int = Field(default=16, ge=1, description="width of the towers' vectors")
    upper_units: int = Field(default=32, ge=1, description="hidden units of the upper network")
    by_score: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="share of what goes on that is selected by score alone; the rest by score and variety "
        "([reranking.md](reranking.md))",
    )
    theta: float = Field(default=0.7, ge=0, le=1, description="weight of the score in that rest")


def train_settings(settings: RankingSettings, rows: int) -> TrainSettings:
    """The given training settings, or such as give a log of `rows` rows some hundreds of steps: batches of 512 to 8192
    rows."""
    if settings.train is not None:
        return settings.train
    batch = min(max(1 << (max(rows, 1) // 256).bit_length() - 1, 512), 8192) if rows >= 256 else 512
    return TrainSettings(epochs=1, batch_size=batch, learning_rate=1e-3, embedding_learning_rate=5e-3)
