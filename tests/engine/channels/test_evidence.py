"""What candidates keep of the channels that found them."""

import pytest
import torch

from headrace.channels.evidence import RANK, SCORE, with_scores
from headrace.channels.merge import merge
from headrace.types import Candidates


def lists(*rows: list[tuple[int, float]]) -> Candidates:
    offsets = torch.tensor([0, *(len(row) for row in rows)]).cumsum(0)
    pairs = [pair for row in rows for pair in row]
    item = torch.tensor([item for item, _ in pairs], dtype=torch.int64)
    return Candidates(offsets, item, torch.tensor([score for _, score in pairs]), torch.zeros_like(item))


def test_ranks_and_standardised_scores_of_every_channel() -> None:
    found = [lists([(7, 5.0), (3, 3.0), (9, 1.0)], [(1, 2.0)]), lists([(3, 0.5)], [(1, 8.0), (2, 6.0)])]
    merged = with_scores(merge(found, [2, 5], 10), found)
    assert merged.item.tolist() == [3, 7, 1, 2]
    assert merged.columns[RANK].tolist() == [[2, 1], [1, 0], [1, 1], [0, 2]]
    # Item 9 is beyond its channel's quota, but is part of the list that its scores are standardised in.
    deviation = (8 / 3) ** 0.5
    expected = [[0.0, 0.0], [2 / deviation, 0.0], [0.0, 1.0], [0.0, -1.0]]
    assert merged.columns[SCORE].tolist() == [pytest.approx(row) for row in expected]


def test_nothing_found_is_nothing_known() -> None:
    found = [lists([], []), lists([], [])]
    merged = with_scores(merge(found, [2, 5], 10), found)
    assert merged.columns[RANK].shape == merged.columns[SCORE].shape == (0, 2)


def test_a_request_knows_the_same_in_any_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = [
        [(int(item), float(len(row)) / 3) for item in row]
        for row in (torch.randperm(40, generator=generator)[:n] for n in (20, 0, 33))
    ]
    found = [lists(*rows), lists(*rows[::-1])]
    whole = with_scores(merge(found, [15, 15], 25), found)
    for b in range(3):
        alone = [lists(rows[b]), lists(rows[2 - b])]
        one = with_scores(merge(alone, [15, 15], 25), alone)
        for name in (RANK, SCORE):
            part = whole.columns[name][whole.offsets[b] : whole.offsets[b + 1]]
            assert torch.equal(part, one.columns[name])
