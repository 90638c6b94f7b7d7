from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.channels.merge import merge
from headrace.types import Candidates


def brute(found, quotas, total):
    """found: per channel, per request, items best first. Returns [(item, score, bits), ...] of each request."""
    out = []
    for request in range(len(found[0])):
        score, bits = defaultdict(float), defaultdict(int)
        for channel, (lists, quota) in enumerate(zip(found, quotas, strict=True)):
            for rank, item in enumerate(lists[request][:quota], 1):
                score[item] += 1 / (60 + rank)
                bits[item] |= 1 << channel
        rounded = {item: float(np.float32(value)) for item, value in score.items()}
        order = sorted(score, key=lambda item: (-rounded[item], item))[:total]
        out.append([(item, rounded[item], bits[item]) for item in order])
    return out


def triples(merged):
    rows = list(zip(merged.item.tolist(), merged.score.tolist(), merged.channels.tolist(), strict=True))
    bounds = merged.offsets.tolist()
    return [rows[a:b] for a, b in pairwise(bounds)]


def random_lists(random, channels, batch, items):
    return [
        [random.permutation(items)[: random.integers(0, items + 1)].tolist() for _ in range(batch)]
        for _ in range(channels)
    ]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    channels=st.sampled_from([1, 2, 5, 62]),
    batch=st.sampled_from([0, 1, 7, 16]),
    items=st.sampled_from([1, 15, 33, 97]),
    total=st.sampled_from([1, 7, 1000]),
)
def test_equals_brute_force(small, seed, channels, batch, items, total):
    random = np.random.default_rng(seed)
    lists = random_lists(random, channels, batch, items)
    quotas = random.integers(1, items + 2, channels).tolist()
    merged = merge([small.candidates(part) for part in lists], quotas, total)
    assert triples(merged) == brute(lists, quotas, total)


def test_large_batch_equals_brute_force(small):
    # Above 32,768 entries torch sorts integers in another way.
    lists = random_lists(np.random.default_rng(0), 4, 64, 400)
    merged = merge([small.candidates(part) for part in lists], [300] * 4, 350)
    assert triples(merged) == brute(lists, [300] * 4, 350)


def test_ranks_decide_whatever_the_scales(small):
    big, little = small.candidates([[7, 3]]), small.candidates([[3, 9]])
    merged = merge([big.with_score(torch.tensor([9e9, 8e9])), little.with_score(torch.tensor([-5.0, -6.0]))], [2, 2], 9)
    assert triples(merged) == [
        [(3, pytest.approx(1 / 61 + 1 / 62), 3), (7, pytest.approx(1 / 61), 1), (9, pytest.approx(1 / 62), 2)]
    ]


def test_ties_go_to_the_lower_item_also_at_the_cut(small):
    merged = merge([small.candidates([[9, 4]]), small.candidates([[2, 6]])], [2, 2], 3)
    assert merged.item.tolist() == [2, 9, 4]


def test_batch_of_five_equals_five_singles(small):
    lists = random_lists(np.random.default_rng(1), 3, 5, 31)
    whole = triples(merge([small.candidates(part) for part in lists], [20, 9, 31], 25))
    singles = [merge([small.candidates([part[b]]) for part in lists], [20, 9, 31], 25) for b in range(5)]
    assert whole == [triples(single)[0] for single in singles]


def test_no_requests_and_nothing_found():
    assert merge([Candidates.empty(0)] * 2, [1, 1], 1).batch == 0
    merged = merge([Candidates.empty(3)] * 2, [1, 1], 1)
    assert merged.offsets.tolist() == [0, 0, 0, 0]
    assert (merged.item.dtype, merged.score.dtype, merged.channels.dtype) == (torch.int64, torch.float32, torch.int64)


def test_errors_name_what_came(small):
    one, two = small.candidates([[1, 2]]), small.candidates([[1], [2]])
    for found, quotas, total, message in [
        ([], [], 1, "found: expected 1 to 62 channels, got 0"),
        ([one] * 63, [1] * 63, 1, "found: expected 1 to 62 channels, got 63"),
        ([one], [1, 2], 1, "quotas: expected one for each of 1 channels, got 2"),
        ([one, one], [1, 0], 1, r"quotas: expected at least 1 each, got \[1, 0\]"),
        ([one], [1], 0, "total: expected at least 1, got 0"),
        ([one, two], [1, 1], 1, r"found: expected one batch size, got \[1, 2\]"),
        ([one, small.candidates([[4, 4]])], [2, 2], 9, r"found\[1\]: expected each item once in a request"),
    ]:
        with pytest.raises(ValueError, match=message):
            merge(found, quotas, total)
