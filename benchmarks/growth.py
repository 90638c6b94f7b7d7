"""How the time of DPP and MMR grows with n, d, k and the window: `python -m headrace.benchmarks.growth`.

One thread's processor time, so that other work on the machine moves it little. Two kinds of rewards: drawn evenly from
0 to 1, where items of low reward need no look, and equal, where every item competes for every pick: the worst case,
which the stated complexity is about.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from headrace.benchmarks.lists import THETA, Lists, make_lists
from headrace.benchmarks.report.cases import exponent
from headrace.kernels import dpp, mmr

Pick = Callable[..., tuple[Tensor, Tensor]]

#: What a list costs at most, as exponents of n, d, k and the window.
STATED = {"n": 1, "d": 1, "k": 1, "window": 0}
#: Values of each, beside which the others stay at BASE. No k is above d, where DPP without a window has no more moves.
AXES = {"n": (500, 1000, 2000, 4000), "d": (64, 128, 256, 512), "k": (16, 32, 64, 128), "window": (5, 10, 20, 40)}
BASE = {"n": 1000, "d": 256, "k": 64, "window": 10}
LISTS, ROUNDS = 4, 7


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    name: str
    pick: Pick
    windowed: bool
    equal: bool


LINES = [
    Line(f"{name}{', window' if windowed else ''}, {'equal' if equal else 'drawn'} rewards", pick, windowed, equal)
    for name, pick in (("DPP", dpp), ("MMR", mmr))
    for windowed in (False, True)
    for equal in (False, True)
]


def seconds(line: Line, sizes: dict[str, int]) -> float:
    """Processor time of one list: the best of ROUNDS."""
    window = sizes["window"] if line.windowed else None
    lists = make_lists(LISTS, sizes["n"], sizes["d"], sizes["k"], window)
    if line.equal:
        lists = replace(lists, rewards=torch.zeros_like(lists.rewards))
    return min(_once(line.pick, lists) for _ in range(ROUNDS)) / LISTS


def _once(pick: Pick, lists: Lists) -> float:
    start = time.thread_time()
    pick(lists.vectors, lists.rewards, lists.offsets, lists.k, THETA, lists.window, threads=1)
    return time.thread_time() - start


def fitted(line: Line) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """Each axis and its points (value, seconds)."""
    for axis, values in AXES.items():
        if axis != "window" or line.windowed:
            yield axis, [(float(value), seconds(line, {**BASE, axis: value})) for value in values]


def table() -> Iterator[str]:
    """A Markdown table, line by line: microseconds over each axis, and the exponent fitted to them."""
    ranges = [f"{axis} {', '.join(map(str, values))}" for axis, values in AXES.items()]
    yield f"| us a list | {' | '.join(ranges)} |"
    yield "|---|" + "---|" * len(ranges)
    yield f"| stated, at most | {' | '.join(f'**{power}**' for power in STATED.values())} |"
    for line in LINES:
        cells = dict.fromkeys(AXES, "")
        for axis, points in fitted(line):
            times = ", ".join(f"{value * 1e6:.0f}" for _, value in points)
            cells[axis] = f"{times}: **{exponent(points):.2f}**"
        yield f"| {line.name} | {' | '.join(cells.values())} |"


if __name__ == "__main__":
    base = ", ".join(f"{axis} = {value}" for axis, value in BASE.items())
    print(f"Beside {base}; one thread, processor time.\n")
    for row in table():
        print(row, flush=True)
