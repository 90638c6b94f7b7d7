"""Settings of the ranking models."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, SerializeAsAny, ValidationError, ValidationInfo, field_validator

from headrace.data.signals import PLAY_TIME
from headrace.features import Columns
from headrace.models import MODELS, WithPrior
from headrace.ranking.targets import Target
from headrace.section import Section, first_problem, one_of
from headrace.training.settings import TrainSettings

#: Of units, layers, experts and whatever else a network has in numbers.
_MOST = 1 << 16

ModelName = Annotated[str, AfterValidator(one_of(MODELS))]


class NetworkSettings(Section):
    """Which network, and its own settings. Raises ValueError for a model that is not known, or settings not its own."""

    model: ModelName = Field(default="mmoe", description="the ranking network, by the name of its file in models/")
    network: SerializeAsAny[Section] = Field(
        default_factory=dict, validate_default=True, description="the network's own settings"
    )

    @field_validator("network", mode="before")
    @classmethod
    def _own(cls, network: Any, info: ValidationInfo) -> Any:
        if "model" not in info.data:  # refused already
            return Section()
        own = MODELS[info.data["model"]].Settings
        try:
            return network if isinstance(network, own) else own.model_validate(network)
        except ValidationError as error:
            raise ValueError(first_problem(error)) from error

    def build(self, columns: Columns, targets: int) -> WithPrior:
        """The network, untrained. Raises ValueError for settings that nobody's memory would hold."""
        for name, value in self.network:
            if isinstance(value, int) and value > _MOST:
                raise ValueError(f"network.{name}: expected at most {_MOST}, got {value}")
        return WithPrior(MODELS[self.model](columns, targets, self.network), targets).float()


class RankerTrain(TrainSettings):
    """How long and how fast a ranking model is trained; the rows kept back by `validation` end it."""

    patience: int = Field(
        default=2, ge=1, description="validations in a row without a lower loss after which training ends"
    )


class RankerSettings(NetworkSettings):
    """The ranker, and how it is trained."""

    #: The name of what is trained.
    part: ClassVar[str] = "ranker"

    leave_out: tuple[Target, ...] = Field(
        default=(), description="targets that the log could teach and that are not learnt"
    )
    negative_rate: dict[Target, Annotated[float, Field(gt=0, le=1)]] = Field(
        default={},
        description="target -> share of its negatives that training sees, below 1 to down-sample; predictions are "
        "calibrated back; those of play_time that are left weigh more instead",
    )
    weights: dict[Target, float] = Field(default={}, description="target -> weight of its loss, 1 where absent")
    train: RankerTrain | None = Field(
        default=None, description="how long and how fast to train; none: chosen by the size of the log"
    )


class PreRankerSettings(RankerSettings):
    """The pre-ranker, how it is trained, and how it selects."""

    part: ClassVar[str] = "preranker"

    model: ModelName = Field(
        default="three_towers", description="the pre-ranking network, by the name of its file in models/"
    )
    leave_out: tuple[Target, ...] = Field(
        default=(PLAY_TIME,), description="targets that the log could teach and that are left to the ranker"
    )
    by_score: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="share of what goes on that is selected by score alone; the rest by score and variety",
    )
    theta: float = Field(default=0.7, ge=0, le=1, description="weight of the score against variety in that rest")


#: Rows of the log that training sees in all where that allows it at least 1 epoch, and the most epochs of a small log.
_SEEN, _MOST_EPOCHS = 2_000_000, 20


def train_settings(settings: RankerSettings, rows: int, watched: bool = True) -> RankerTrain:
    """The given training settings, or such as give an epoch of `rows` rows some hundreds of steps, in batches of 512 to
    8192 rows, for as many epochs as it takes: at most 1 of a large one to 20 of a small one, and 3 at most where no
    validation watches it."""
    if settings.train is not None:
        return settings.train
    batch = min(max(1 << (max(rows, 1) // 256).bit_length() - 1, 512), 8192) if rows >= 256 else 512
    epochs = min(max(round(_SEEN / max(rows, 1)), 1), _MOST_EPOCHS if watched else 3)
    return RankerTrain(epochs=epochs, batch_size=batch, learning_rate=1e-3, embedding_learning_rate=5e-3)
