"""Settings of the ranking models."""

from __future__ import annotations

from pydantic import BaseModel, Field

from headrace.training.loop import TrainSettings


class RankingSettings(BaseModel):
    """What the training of both ranking models shares.

    embedding_dim: of every discrete field. negative_rate: target -> share of its negatives that is trained on, below 1
        to down-sample; predictions are calibrated back. weights: target -> weight of its loss, 1 where absent. train:
        None chooses by the size of the log, see `train_settings`.
    """

    embedding_dim: int = Field(default=8, ge=1)
    negative_rate: dict[str, float] = {}
    weights: dict[str, float] = {}
    train: TrainSettings | None = None


class RankerSettings(RankingSettings):
    """The ranker. experts, expert_units, head_units: the mixture and the heads. attention: DIN target attention over
    LastN, beside the mean. expert_dropout: probability that a gate's expert is masked in training."""

    experts: int = Field(default=3, ge=1)
    expert_units: tuple[int, int] = (64, 32)
    head_units: int = Field(default=16, ge=1)
    attention: bool = True
    expert_dropout: float = Field(default=0.1, ge=0, lt=1)


class PreRankerSettings(RankingSettings):
    """The pre-ranker: hidden units of its towers, the width of their vectors, and the units of the upper network.

    by_score: share of what goes on that is selected by score alone; the rest by score and variety (see `TwoPart`).
    theta: weight of the score in that rest.
    """

    tower_units: int = Field(default=64, ge=1)
    vector_dim: int = Field(default=16, ge=1)
    upper_units: int = Field(default=32, ge=1)
    by_score: float = Field(default=1.0, ge=0, le=1)
    theta: float = Field(default=0.7, ge=0, le=1)


def train_settings(settings: RankingSettings, rows: int) -> TrainSettings:
    """The given training settings, or such as give a log of `rows` rows some hundreds of steps: batches of 512 to 8192
    rows."""
    if settings.train is not None:
        return settings.train
    batch = min(max(1 << (max(rows, 1) // 256).bit_length() - 1, 512), 8192) if rows >= 256 else 512
    return TrainSettings(epochs=1, batch_size=batch, learning_rate=1e-3, embedding_learning_rate=5e-3)
