"""What a log can teach the ranking models, told before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from headrace.data.dataset import InteractionLog
from headrace.data.signals import INTEREST
from headrace.ranking.completion import CompletionCurve
from headrace.ranking.fusion import FORMULAS, FusionSettings
from headrace.ranking.heads import Heads
from headrace.ranking.negatives import as_shown
from headrace.ranking.settings import RankerSettings
from headrace.ranking.targets import remaining, taught, untaught


def check_interest(log: InteractionLog) -> None:
    """Raises ValueError, naming what the columns hold, for a log in which nobody took an interest in anything."""
    if not any(log.gave(name) for name in INTEREST):
        held = ", ".join(f"no 1 in {name}" for name in INTEREST if name in log.signals) or "no such column"
        raise ValueError(f"log: expected a 1 in some row of {', '.join(INTEREST)} to learn from, got {held}")


def check_objectives(
    log: InteractionLog, rankers: Sequence[RankerSettings], fusion: FusionSettings, drawn: bool
) -> dict[str, str]:
    """Target or formula -> why it has no say in the score, of those that could have one.

    log: what the rankers would learn from. drawn: whether unshown items are drawn beside it. Raises ValueError, naming
    the columns, where some ranker has nothing to learn that the score is made of.
    """
    if drawn:
        log = as_shown(log)
    missing, names = untaught(log, drawn), taught(log, drawn)
    out = {f"target {name}": why for name, why in missing.items()}
    for settings in rankers:
        learnt = remaining(names, settings.leave_out)
        if _used(learnt, fusion):
            continue
        if "impression" not in learnt:
            why = "; ".join(missing.values()) or f"the log teaches {', '.join(learnt) or 'nothing'}"
            raise ValueError(
                f"{settings.part}: expected a target that {fusion.formula} uses, got none ({why}); unshown above 0 "
                "teaches which items are shown"
            )
        out[f"fusion {fusion.formula}"] = "the log teaches no column of it; the score is the odds of being shown"
    return out


def _used(targets: tuple[str, ...], fusion: FusionSettings) -> bool:
    """Whether the formula has a say, once these targets are learnt."""
    if not targets:
        return False
    one = torch.zeros(1, len(targets), dtype=torch.float32)
    columns = Heads(targets, {}, CompletionCurve.flat(), fusion).predictions(one, torch.zeros(1, dtype=torch.int32))
    return FORMULAS[fusion.formula](columns, torch.tensor([0, 1]), torch.tensor([0]), fusion) is not None
