"""Settings of the fusion."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from headrace.data.signals import PLAY_TIME
from headrace.ranking.fusion.formula import FORMULAS
from headrace.ranking.targets import Prediction
from headrace.section import Section, one_of

#: Rough worth of each target beside a click.
DEFAULT_WEIGHTS = {
    "p_like": 1.0,
    "p_collect": 1.0,
    "p_share": 2.0,
    "p_follow": 2.0,
    "p_comment": 1.0,
    "p_finish": 0.3,
}


class FusionSettings(Section):
    """Which formula fuses the predictions, and its weights by column. A column the log cannot teach is left out."""

    formula: Annotated[str, AfterValidator(one_of(FORMULAS))] = Field(
        default="click_times_sum",
        description="how the predictions become one score, by the name of its file in ranking/fusion/",
    )
    weights: dict[Prediction, float] = Field(
        default=DEFAULT_WEIGHTS,
        description="column -> w; in all formulas but expected_value only the columns named here count (p_click "
        "besides)",
    )
    exponents: dict[Prediction, float] = Field(
        default={}, description="column -> a, 1 where absent; in expected_value they name the columns"
    )
    offsets: dict[Prediction, float] = Field(default={}, description="column -> b of the formula rank, 1 where absent")
    exposure_power: float | None = Field(
        default=None,
        ge=0,
        description="e: the score is multiplied by (p_impression / (1 - p_impression))^e, the odds that the item is "
        "shown rather than one drawn from the catalogue; 0 ranks by worth once shown, 1 by what the log would replay; "
        "none: what a rehearsal of the log's last days says, 0 without one",
    )

    @model_validator(mode="after")
    def _powers_have_a_base(self) -> FusionSettings:
        """power_product takes the logarithm of 1 + w p, of probabilities p and of play times without an upper end."""
        for name, weight in self.weights.items() if self.formula == "power_product" else ():
            if weight < 0 and (name == PLAY_TIME or weight <= -1):
                least = "at least 0" if name == PLAY_TIME else "more than -1"
                raise ValueError(f"weights.{name}: expected {least} in power_product, got {weight}")
        return self
