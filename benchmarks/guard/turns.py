"""Two measurements taken in turns, which goes first drawn anew for each pair of rounds."""

from __future__ import annotations

import random
from collections.abc import Callable

#: Seconds for each side of a case, and the fewest and most pairs.
SECONDS = 1.0
LEAST, MOST = 24, 200
#: A round lasts at least this long. Short ones are better than long: on a busy machine most fit between two
#: interruptions, so that few rounds are spoilt rather than each a little.
ROUND_SECONDS = 5e-4


def plan(a_seconds: float, b_seconds: float) -> tuple[int, int]:
    """(calls a round, pairs) for calls that take so long: the same for both, or they would not be alike."""
    longer = max(a_seconds, b_seconds, 1e-9)
    inner = max(1, round(ROUND_SECONDS / longer))
    return inner, min(max(int(SECONDS / (longer * inner)), LEAST), MOST)


def take(a: Callable[[], float], b: Callable[[], float], pairs: int, seed: int) -> tuple[list[float], list[float]]:
    """The rounds of both. a, b: take one round and say how long a call took.

    With the order drawn anew, two sides that are the same code are exchangeable within each pair, whatever else
    the machine does: that is all the paired comparison assumes.
    """
    draw = random.Random(seed)
    rounds: tuple[list[float], list[float]] = ([], [])
    sides = [(a, rounds[0]), (b, rounds[1])]
    for _ in range(pairs):
        draw.shuffle(sides)
        for measure, taken in sides:
            taken.append(measure())
    return rounds
