"""The learned blend: it finds what is planted, says nothing where it knows too little, and keeps its weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from headrace.channels.evidence import RANK, SCORE
from headrace.ranking import Blend, BlendSettings
from headrace.ranking.blend import learn
from headrace.state import State
from headrace.types import Candidates

CHANNELS = ("good", "silent")
SETTINGS = BlendSettings(least=50, negatives=40, penalty=0.1)


def world(requests: int, each: int = 60, seed: int = 0) -> tuple[Candidates, Tensor]:
    """Candidates of which those chosen are likelier the higher their p_click and their rank in the first channel."""
    rng = torch.Generator().manual_seed(seed)
    n = requests * each
    click, noise = (torch.rand(n, generator=rng) * 0.8 + 0.1 for _ in range(2))
    rank = torch.stack([torch.randperm(each, generator=rng) + 1 for _ in range(requests)]).flatten().int()
    rank[rank > 30] = 0
    truth = 1.5 * click.logit() + 4.0 * (rank > 0) * 10 / (10 + rank)
    gumbel = -(-torch.rand(n, generator=rng).log()).log()
    best = (truth + gumbel).view(requests, each).topk(3, dim=1).indices
    chosen = torch.zeros(requests, each, dtype=torch.bool).scatter_(1, best, True).flatten()
    columns = {
        "p_click": click,
        "p_like": noise,
        "p_finish": click * 1.2,
        RANK: torch.stack([rank, torch.zeros_like(rank)], 1),
        SCORE: torch.zeros(n, 2),
    }
    item = torch.arange(each).repeat(requests)
    offsets = torch.arange(requests + 1) * each
    return Candidates(offsets, item, torch.zeros(n), torch.ones_like(item), columns), chosen


def hits(blend: Blend, candidates: Candidates, chosen: Tensor) -> float:
    best = blend.score(candidates.columns).view(candidates.batch, -1).topk(3, dim=1).indices
    return float(chosen.view(candidates.batch, -1).gather(1, best).float().mean())


def test_what_is_planted_is_found() -> None:
    blend = learn(*((w := world(400))[0], CHANNELS, w[1]), SETTINGS, 0)
    assert blend is not None
    assert blend.predictions.keys() == {"p_click", "p_like"}
    assert blend.predictions["p_click"] == pytest.approx(1.5, abs=0.25)
    assert blend.predictions["p_like"] == pytest.approx(0, abs=0.2)
    found, top, log_rank, score = blend.channels["good"]
    at = torch.tensor([1.0, 5.0, 20.0])
    value = found + top * 10 / (10 + at) + log_rank * at.log()
    assert (value - 4 * 10 / (10 + at)).abs().max() < 0.8
    # What never varies has no say.
    assert score == 0
    assert blend.channels["silent"] == (0, 0, 0, 0)
    new, chosen = world(200, seed=1)
    by_click = Blend({"p_click": 1.0}, {}).of(CHANNELS)
    assert hits(blend, new, chosen) > 1.3 * hits(by_click, new, chosen)


def test_the_less_there_is_to_learn_from_the_nearer_it_stays_to_the_plain_fusion() -> None:
    candidates, chosen = world(400)
    fused = candidates.with_score(candidates.score, fused=candidates.columns["p_like"])
    few, asked = fused.keep(fused.request < 20), chosen[: 20 * 60]
    learnt = []
    for given, known in ((few.take(torch.arange(len(few)), few.offsets[:21]), asked), (fused, chosen)):
        blend = learn(given, CHANNELS, known, BlendSettings(least=50), 0, {"fused": 1.0})
        assert blend is not None
        learnt.append(blend.predictions)
    assert learnt[0]["p_click"] < 0.7 < 1.0 < learnt[1]["p_click"]
    # What says nothing of the choice loses the weight that the plain fusion gave it.
    assert abs(learnt[0]["fused"] - 1) < abs(learnt[1]["fused"] - 1)


def test_too_little_teaches_nothing() -> None:
    candidates, chosen = world(16)
    assert learn(candidates, CHANNELS, chosen, SETTINGS, 0) is None
    assert learn(candidates, CHANNELS, torch.zeros_like(chosen), BlendSettings(least=1), 0) is None


def test_requests_without_a_choice_say_nothing() -> None:
    candidates, chosen = world(60)
    emptied = chosen.clone()
    emptied[60 * 40 :] = False
    whole = learn(candidates, CHANNELS, emptied, SETTINGS, 0)
    first = candidates.keep(torch.arange(len(chosen)) < 60 * 40)
    part = learn(
        Candidates(first.offsets[:41], first.item, first.score, first.channels, first.columns),
        CHANNELS,
        emptied[: 60 * 40],
        SETTINGS,
        0,
    )
    assert whole is not None
    assert part is not None
    assert whole.predictions == pytest.approx(part.predictions, rel=0.3, abs=0.1)


def test_a_candidate_has_the_same_score_in_any_batch() -> None:
    candidates, chosen = world(60)
    blend = learn(candidates, CHANNELS, chosen, SETTINGS, 0)
    assert blend is not None
    whole = blend.score(candidates.columns)
    for size in (1, 7, 1001):
        parts = [
            blend.score({name: column[at : at + size] for name, column in candidates.columns.items()})
            for at in range(0, 2002, size)
        ]
        assert torch.equal(torch.cat(parts)[:2000], whole[:2000])


def test_weights_follow_their_channels() -> None:
    candidates, chosen = world(60)
    blend = learn(candidates, CHANNELS, chosen, SETTINGS, 0)
    assert blend is not None
    turned = {name: c.flip(1) if name in (RANK, SCORE) else c for name, c in candidates.columns.items()}
    assert torch.equal(blend.of(("silent", "good")).score(turned), blend.score(candidates.columns))
    alone = {name: c[:, :1] if name in (RANK, SCORE) else c for name, c in candidates.columns.items()}
    assert torch.equal(blend.of(("new",)).score(alone), Blend(blend.predictions, {}).score(alone))


def test_a_state_gives_it_back_and_another_is_refused() -> None:
    blend = Blend({"p_click": 0.5}, {"good": (1.0, 2.0, 3.0, 4.0)})
    assert Blend.from_state(blend.state()) == blend
    for wrong in ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0, float("nan")], "good"):
        with pytest.raises(ValueError, match="channels"):
            Blend.from_state(State.of(predictions={"p_click": 1.0}, channels={"good": wrong}))
    with pytest.raises(ValueError, match="predictions"):
        Blend.from_state(State.of(predictions={"p_click": float("inf")}, channels={}))
