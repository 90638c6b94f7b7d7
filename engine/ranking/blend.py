"""The learned blend: one score of what the targets predict and what each recall channel says of a candidate.

The logarithms of the plain fused score and the merge's, log-odds of the predictions and, of every channel, whether it
found the item, at which rank and with which score, each under a weight. The weights are those under which the items
that users went on to choose stand out among what the funnel would have ranked for them: a listwise softmax (Cao et al.,
ICML 2007) over a rehearsal's lists. The less there is to learn from, the nearer they stay to those of the plain fusion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from headrace.channels.evidence import MERGED, RANK, SCORE
from headrace.data.signals import PLAY_TIME
from headrace.jagged import segment_of
from headrace.section import Section
from headrace.state import State
from headrace.types import Candidates

#: The column of the plain fused score.
FUSED = "fused"
#: Predictions that others say already.
_DERIVED = ("p_finish",)
#: Inputs that are no probabilities.
_LOGARITHMS = (PLAY_TIME, FUSED, MERGED)
#: Where probabilities end, so that their log-odds do, and the merge's scores, which are 0 for what recall lacks.
_LEAST, _LEAST_MERGED = 1e-6, 1e-3
#: What is made of a rank r: 1 where there is one, 10 / (10 + r), and log r.
_BY_RANK = ("found", "near the top", "log rank")
_TOP = 10.0

Weight = Annotated[float, Field(allow_inf_nan=False)]


class BlendSettings(Section):
    """The learned blend of predictions and recall (docs/blending.md)."""

    use: bool = Field(default=True, description="rank by the learned blend, where one could be learnt, not by fusion")
    requests: int = Field(default=3000, ge=1, description="users of the rehearsal, at most, drawn from those there are")
    least: int = Field(
        default=200, ge=1, description="chosen items among the rehearsal's candidates below which nothing is learnt"
    )
    negatives: int = Field(default=256, ge=1, description="other candidates of each request, drawn, to choose among")
    penalty: float = Field(
        default=10.0,
        gt=0,
        description="how strongly weights, of standardised inputs, are drawn to those of the plain fusion, in requests",
    )


@dataclass(frozen=True)
class Blend:
    """predictions: column of the candidates -> weight of its log-odds, or of its logarithm for a play time and the
    plain fused score. channels: name -> weights of being found, 10 / (10 + rank), log rank and the standardised
    score."""

    predictions: dict[str, float]
    channels: dict[str, tuple[float, ...]]

    @property
    def weights(self) -> dict[str, float]:
        """Every weight by the name of what it is of."""
        inputs = (*_BY_RANK, "score")
        by_channel = {
            f"{name}: {of}": weight
            for name, held in self.channels.items()
            for of, weight in zip(inputs, held, strict=True)
        }
        return {**self.predictions, **by_channel}

    def of(self, channels: Sequence[str]) -> Blend:
        """The same for candidates whose columns of recall are of these channels; one it does not know has no say."""
        return Blend(self.predictions, {name: self.channels.get(name, (0.0, 0.0, 0.0, 0.0)) for name in channels})

    def score(self, columns: Mapping[str, Tensor]) -> Tensor:
        """float32 [n], above 0 as a fused score is, since boosts multiply it: e to the weighted sum, cut off at 80
        either way. From the columns of n candidates; those of recall are of `channels`, in their order."""
        rank, given = columns[RANK], columns[SCORE]
        total = torch.zeros(len(rank), dtype=torch.float64)
        for name, weight in self.predictions.items():
            total += weight * _log_odds(name, columns[name])
        by_rank = _by_rank(1 + int(rank.max()) if rank.numel() else 1)
        for place, (*weights, by_score) in enumerate(self.channels.values()):
            table = (by_rank * torch.tensor(weights, dtype=torch.float64)).sum(1)
            total += table.index_select(0, rank[:, place].int())
            total += by_score * given[:, place].double()
        return total.clamp(-80, 80).exp().float()

    def state(self) -> State:
        return State.of(predictions=self.predictions, channels={name: list(w) for name, w in self.channels.items()})

    @classmethod
    def from_state(cls, state: State) -> Blend:
        four = Annotated[list[Weight], Field(min_length=4, max_length=4)]
        channels = state.fact("channels", dict[str, four])
        return cls(state.fact("predictions", dict[str, Weight]), {name: tuple(w) for name, w in channels.items()})


def learn(
    candidates: Candidates,
    channels: tuple[str, ...],
    chosen: Tensor,
    settings: BlendSettings,
    seed: int,
    plain: Mapping[str, float] = MappingProxyType({}),
) -> Blend | None:
    """The blend under which the chosen candidates stand out; None where too few are.

    candidates: with the columns of the predictions, `FUSED` and those of recall. chosen: bool [n]. A request without a
    chosen one says nothing; the others count alike. Of those not chosen a sample competes, each for as many as it
    stands for. plain: column -> the weight that it is drawn to, 0 where absent.
    """
    if int(chosen.sum()) < settings.least:
        return None
    drawn, owner, stands_for = _sample(candidates, chosen, settings.negatives, seed)
    names, inputs = _inputs(candidates, channels, drawn)
    middle, spread = inputs.mean(0), inputs.std(0, correction=0)
    # What never varied gets no weight.
    factor = torch.where(spread > 1e-6, 1 / spread.clamp_min(1e-6), 0)
    towards = torch.tensor([plain.get(name, 0.0) if isinstance(name, str) else 0.0 for name in names]) * spread
    scaled = (inputs - middle) * factor
    weights = _fit(scaled, owner, chosen[drawn].double(), stands_for, towards, settings.penalty) * factor
    given = dict(zip(names, weights.tolist(), strict=True))
    predictions = {name: given[name] for name in names if isinstance(name, str)}
    return Blend(
        predictions,
        {name: tuple(given[name, p] for p in range(len(_BY_RANK) + 1)) for name in channels},
    )


def _sample(candidates: Candidates, chosen: Tensor, negatives: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """(int64 [m], the candidates that are used; int64 [m], the place of their request among the R used; float64 [m],
    the logarithm of how many each stands for)."""
    request = segment_of(candidates.offsets)
    batch = candidates.batch
    positive = torch.zeros(batch, dtype=torch.int64).index_add_(0, request, chosen.long())
    share = negatives / (candidates.counts - positive).clamp_min(1)
    draw = torch.rand(len(chosen), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    used = (chosen | (draw < share.index_select(0, request))) & (positive > 0).index_select(0, request)
    index = used.nonzero().squeeze(1)
    taken = request.index_select(0, index)
    others = torch.zeros(batch, dtype=torch.int64).index_add_(0, taken, (~chosen[index]).long())
    each = (candidates.counts - positive).double() / others.clamp_min(1)
    stands_for = torch.where(chosen[index], torch.zeros((), dtype=torch.float64), each.clamp_min(1).log()[taken])
    return index, torch.unique_consecutive(taken, return_inverse=True)[1], stands_for


def _inputs(
    candidates: Candidates, channels: tuple[str, ...], index: Tensor
) -> tuple[list[str | tuple[str, int]], Tensor]:
    """Names of the inputs, and float64 [m, F], the inputs of the candidates at `index`."""
    columns = {name: column.index_select(0, index) for name, column in candidates.columns.items()}
    names: list[str | tuple[str, int]] = [
        name for name in columns if (name.startswith("p_") and name not in _DERIVED) or name in _LOGARITHMS
    ]
    made = [_log_odds(str(name), columns[str(name)]) for name in names]
    ranks = _by_rank(1 + int(columns[RANK].max()))
    for place, name in enumerate(channels):
        made += [*ranks.index_select(0, columns[RANK][:, place].int()).unbind(1), columns[SCORE][:, place].double()]
        names += [(name, part) for part in range(len(_BY_RANK) + 1)]
    return names, torch.stack(made, 1)


def _fit(inputs: Tensor, owner: Tensor, chosen: Tensor, stands_for: Tensor, towards: Tensor, penalty: float) -> Tensor:
    """float64 [F]: the weights of least loss, which are drawn to `towards`."""
    requests = int(owner[-1]) + 1
    share = chosen / torch.zeros(requests, dtype=torch.float64).index_add_(0, owner, chosen)[owner] / requests
    weights = towards.double().clone().requires_grad_()
    steps = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        steps.zero_grad()
        score = inputs @ weights + stands_for
        top = torch.full((requests,), -torch.inf, dtype=torch.float64).scatter_reduce(0, owner, score.detach(), "amax")
        mass = torch.zeros(requests, dtype=torch.float64).index_add(0, owner, (score - top[owner]).exp())
        value = (
            -(share * (score - (mass.log() + top)[owner])).sum()
            + penalty / requests * (weights - towards).square().sum()
        )
        value.backward()
        return value

    with torch.enable_grad():
        steps.step(loss)
    return weights.detach()


def _log_odds(name: str, column: Tensor) -> Tensor:
    """float64 [n]: log p / (1 - p) of a probability, the logarithm of what is none."""
    value = column.double()
    if name in _LOGARITHMS:
        return value.clamp_min(_LEAST_MERGED if name == MERGED else _LEAST).log()
    return value.clamp(_LEAST, 1 - _LEAST).logit()


def _by_rank(count: int) -> Tensor:
    """float64 [count, 3]: what is made of each rank from 0, which stands for not found."""
    rank = torch.arange(count, dtype=torch.float64)
    return torch.stack([torch.ones_like(rank), _TOP / (_TOP + rank), rank.clamp_min(1).log()], 1) * (rank > 0)[:, None]
