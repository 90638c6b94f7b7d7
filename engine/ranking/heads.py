"""From the logits of a network to calibrated predictions and one fused score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from headrace.channels.evidence import RANK
from headrace.data.signals import COMPLETION, PLAY_TIME
from headrace.features.codes import DURATION_BUCKETS
from headrace.ranking.blend import FUSED, Blend
from headrace.ranking.calibration import calibrate_logits
from headrace.ranking.completion import CompletionCurve
from headrace.ranking.fusion import FusionSettings, fuse
from headrace.state import State
from headrace.types import Candidates

#: exp(z) is cut off at a day of play.
_LONGEST_LOG_SECONDS = 11.4


@dataclass
class Heads:
    """The targets of a network, in its order.

    negative_rate: target -> share of its negatives in training, from which probabilities are calibrated back. curve:
    f(duration) of the completion. fusion: may be changed at any time, as may blend, which scores instead of it where
    it is not None and candidates come with the columns of recall.
    """

    targets: tuple[str, ...]
    negative_rate: dict[str, float]
    curve: CompletionCurve
    fusion: FusionSettings
    blend: Blend | None = None

    def predictions(self, logits: Tensor, duration: Tensor) -> dict[str, Tensor]:
        """name -> float32 [n]: p_click, p_like ... (calibrated), play_time (s), p_finish (p_completion / f(duration)).

        logits: float32 [n, T]. duration: int [n] buckets of the items' durations.
        """
        rates = torch.tensor([self.negative_rate.get(name, 1.0) for name in self.targets], dtype=torch.float32)
        probability = _sigmoid(calibrate_logits(logits, rates))
        out = {}
        for column, name in enumerate(self.targets):
            if name == PLAY_TIME:
                out[PLAY_TIME] = logits[:, column].clamp_max(_LONGEST_LOG_SECONDS).exp()
            elif name == COMPLETION:
                out["p_completion"] = probability[:, column]
                out["p_finish"] = self.curve.adjust(probability[:, column], duration)
            else:
                out[f"p_{name}"] = probability[:, column]
        return out

    def scored(self, candidates: Candidates, predictions: dict[str, Tensor]) -> Candidates:
        """The candidates under one score, the predictions as columns."""
        score = fuse(predictions, candidates.offsets, candidates.item, self.fusion)
        if self.blend is not None and RANK in candidates.columns:
            score = self.blend.score({**candidates.columns, **predictions, FUSED: score})
        return candidates.with_score(score, **predictions)

    def state(self) -> State:
        return State.of(
            targets=list(self.targets),
            negative_rate=self.negative_rate,
            curve=self.curve.rate,
            fusion=self.fusion.model_dump(mode="json"),
            **({} if self.blend is None else {"blend": self.blend.state()}),
        )

    @classmethod
    def from_state(cls, state: State) -> Heads:
        fusion = FusionSettings.model_validate(state["fusion"])
        targets = state.fact("targets", list[str])
        if not targets or len(set(targets)) < len(targets):
            raise ValueError(f"targets: expected distinct ones, at least one, got {targets}")
        rates = state.fact("negative_rate", dict[str, Annotated[float, Field(gt=0, le=1)]])
        curve = state.tensor("curve", torch.float32, DURATION_BUCKETS, least=torch.finfo(torch.float32).tiny)
        blend = Blend.from_state(state.under("blend")) if "blend/predictions" in state else None
        return cls(tuple(targets), rates, CompletionCurve(curve), fusion, blend)


def _sigmoid(logits: Tensor) -> Tensor:
    # torch.sigmoid computes the last entries of a batch in another way, whose last bit may differ.
    return logits.neg().exp_().add_(1).reciprocal_()
