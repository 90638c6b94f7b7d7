"""What ops must do at least: against counts by hand and by loops, and against the calls themselves."""

from __future__ import annotations

import pytest
import torch

from headrace import kernels
from headrace.kernels import spans
from headrace.kernels.beam_search.work import work as beam_search_work
from headrace.kernels.bloom.work import contains_work, insert_work
from headrace.kernels.dpp.work import of_lists as dpp_of_lists
from headrace.kernels.dpp.work import work as dpp_work
from headrace.kernels.embedding_bag.work import work as embedding_bag_work
from headrace.kernels.mmr.work import work as mmr_work
from headrace.kernels.network import instructions as ins
from headrace.kernels.network.work import flops_of
from headrace.kernels.network.work import work as network_work
from headrace.kernels.topk.work import work as topk_work
from headrace.kernels.work import Counted, Work


def counted(call, *arguments, **options):
    """What the only kernel span of a call says."""
    with spans.recording() as recorded:
        call(*arguments, **options)
    assert [span.kind for span in recorded] == ["kernel"]
    assert isinstance(recorded[0].counted, Counted)
    return recorded[0].counted


def test_topk():
    # 2 x 5 products of 3 terms; 7 vectors of 3 floats; 2 x 4 scores and ids.
    assert topk_work(2, 5, 3, 4) == Work(60, 7 * 12 + 8 * 12)
    found = counted(kernels.topk, torch.randn(2, 3), torch.randn(5, 3), 4)
    assert found == Counted(10, 8, topk_work(2, 5, 3, 4))
    assert counted(kernels.topk, torch.randn(2, 3), torch.randn(5, 3), 9).items_out == 10
    masked = counted(kernels.topk, torch.randn(2, 3), torch.randn(5, 3), 4, mask=torch.tensor([3]))
    assert masked.work is None


def test_bloom():
    assert insert_work(3, 6) == Work(0, 3 * (8 + 8 + 32 + 32), random=True)
    assert insert_work(3, 6, "classic") == Work(0, 3 * (8 + 8 + 6 * 16), random=True)
    assert contains_work(3, 6) == Work(0, 3 * (8 + 8 + 1 + 32), random=True)
    assert contains_work(3, 6, "classic", filters=2) == Work(0, 3 * (8 + 1 + 2 * (8 + 48)), random=True)
    bits, keys = torch.zeros(2, 8, dtype=torch.uint64), torch.arange(3)
    assert counted(kernels.bloom_insert, bits, torch.tensor([0, -1, 1]), keys, 6) == Counted(3, 2, insert_work(2, 6))
    rows = torch.tensor([[0, 1]] * 3)
    assert counted(kernels.bloom_contains, bits, rows, keys, 6) == Counted(6, 3, contains_work(3, 6, filters=2))


def test_embedding_bag():
    # 5 rows of 3 and 2 rows of 4: 23 values; 7 indices, 5 offsets, 2 pooled rows of 7.
    assert embedding_bag_work(2, [5, 2], [3, 4]) == Work(23, 23 * 4 + 7 * 8 + 5 * 8 + 14 * 4, random=True)
    assert embedding_bag_work(2, [5, 2], [3, 4], "bfloat16", weighted=True) == Work(
        46, 23 * 2 + 7 * 12 + 5 * 8 + 14 * 4, random=True
    )
    assert embedding_bag_work(2, [5, 2], [3, 4], "int8") == Work(46, 23 + 7 * 12 + 5 * 8 + 14 * 4, random=True)
    tables = kernels.EmbeddingTables([torch.randn(9, 3), torch.randn(9, 4)])
    found = counted(kernels.embedding_bag, tables, torch.arange(7), torch.tensor([0, 2, 5, 5, 7]))
    assert found == Counted(7, 4, embedding_bag_work(2, [5, 2], [3, 4]))
    empty = counted(kernels.embedding_bag, tables, torch.arange(0), torch.tensor([0]))
    assert empty == Counted(0, 0, embedding_bag_work(0, [0, 0], [3, 4]))


def test_beam_search():
    batch, user_dim, depth, nodes, hidden, beam = 2, 4, 3, 5, 8, 7
    paths = [1, 5, 7]
    flops = sum(batch * (2 * user_dim * hidden + n * (d * hidden + 2 * hidden * nodes)) for d, n in enumerate(paths))
    rows = batch * (5 * 1 + 7 * 2) * hidden * 8
    weights = depth * (user_dim * hidden + hidden + hidden * nodes + nodes) * 8
    moved = rows + weights + batch * user_dim * 4 + batch * beam * (depth * 4 + 4)
    expected = Work(flops, moved, "float64", random=rows > moved - rows)
    assert beam_search_work(batch, user_dim, depth, nodes, hidden, beam) == expected
    model = kernels.PathModel.from_module(kernels.PathNetwork(user_dim, nodes, depth, 6, hidden))
    assert counted(kernels.beam_search, torch.randn(batch, user_dim), model, beam) == Counted(2, 14, expected)


def test_network():
    request = (ins.Rows(0, 6, pair=0), ins.Affine(6, 5, 0, 6, 0, 5))
    pair = (ins.Rows(0, 4, request=0, item=1, codes=2), ins.Attend(4, 3, 0, 0, 0), ins.Affine(7, 2, 0, 7, 0, 2))
    program = kernels.Program(
        request=kernels.Stage(request, 11, 6, 5),
        pair=kernels.Stage(pair, 9, 7, 2),
        weights=torch.randn(30),
        item_rows=torch.randn(9, 5),
        code_rows=torch.randn(3, 6),
        request_inputs=6,
        pair_inputs=1,
        fields=2,
        sequences=(3,),
    )
    # A request: 6 x 5 products. A candidate: 4 rows added up, 7 entries of 3 twice and a softmax, 7 x 2 products.
    flops = 2 * 2 * 30 + 10 * (3 * 4 + 7 * (4 * 3 + 4) + 2 * 14)
    moved = 10 * (20 + 8 + 2 * (4 + 24) + 4 + 8) + 2 * (24 + 8 + 7 * 12 + 4)
    assert network_work(program, 2, 10, [7]) == Work(flops, moved, random=True)
    found = counted(
        kernels.network,
        program,
        request=torch.randn(2, 6),
        sequences=[(torch.randn(2, 7, 3), torch.tensor([7, 7], dtype=torch.int32))],
        offsets=torch.tensor([0, 4, 10]),
        item=torch.zeros(10, dtype=torch.int64),
        codes=torch.zeros(10, 2, dtype=torch.int32),
        pair=torch.randn(10, 1),
    )
    assert found == Counted(10, 20, network_work(program, 2, 10, [7]))


def test_network_by_instruction():
    steps = {
        ins.Fold(9, 3, 0, 2, 0, 0, 3): 12,
        ins.Constant(0, 3, 0): 0,
        ins.Unary(0, 3, 0, 0): 0,
        ins.Unary(0, 3, 0, 1): 3,
        ins.Binary(0, 3, 0, 0, 0, 1, 3): 3,
        ins.Softmax(0, 3, 2): 24,
        ins.Mix(9, 3, 0, 0, 2): 12,
        ins.Mean(0, 3, 0): 0,
        ins.FM(9, 3, 0, 2): 18,
        ins.Pairs(9, 3, 0, 0, 3, 0): 9,
        ins.Pairs(9, 3, 0, 0, 3, 1): 18,
        ins.SelfAttend(9, 4, 0, 0, 0, 3, 2, 0): 216,
        ins.Reduce(9, 3, 0, 2, 0): 6,
        ins.Normalise(0, 3, 0, 2, 0): 30,
    }
    assert {step: flops_of(step, (), 0) for step in steps} == steps


def by_loop(counts, dim, k, window):
    """Operations of DPP, pick by pick."""
    total = 0
    for n in counts:
        total += 2 * dim * n
        for pick in range(1, min(k, n)):
            known = pick - 1 if window is None else min(pick - 1, window - 1)
            total += (n - pick) * (2 * dim + 2 * known + 2)
    return total


@pytest.mark.parametrize("window", [None, 1, 3])
@pytest.mark.parametrize("k", [1, 4, 12])
def test_dpp(k, window):
    counts = [0, 1, 5, 9]
    offsets = torch.tensor([0, *counts]).cumsum(0)
    found = counted(kernels.dpp, torch.randn(15, 6), torch.rand(15), offsets, k, 0.5, window)
    moved = 15 * (24 + 4) + 5 * 8 + 4 * (k * 12 + 16)
    assert found == Counted(15, sum(min(k, n) for n in counts), Work(by_loop(counts, 6, k, window), moved))
    assert dpp_work(3, 9, 6, k, window).flops == by_loop([9] * 3, 6, k, window)


def test_dpp_of_nothing():
    assert dpp_of_lists(torch.zeros(0, dtype=torch.int64).numpy(), 6, 4) == Work(0, 8)


def test_mmr():
    # Lists of 5: products with the 4 and 3 items that are left after the first and second of 3 picks.
    flops, moved = 2 * (4 + 3) * 12, 10 * 28 + 3 * 8 + 2 * (3 * 12 + 16)
    assert mmr_work(2, 5, 6, 3) == Work(flops, moved)
    kinds = torch.zeros(1, 10, dtype=torch.int32)
    rules = kernels.Rules(kinds, torch.tensor([[2, 1, 0]]))
    found = counted(kernels.mmr, torch.randn(10, 6), torch.rand(10), torch.tensor([0, 5, 10]), 3, rules=rules)
    assert found == Counted(10, 6, mmr_work(2, 5, 6, 3, rules=1))


def test_a_sum_keeps_the_terms_of_the_larger():
    assert Work(1, 2, "int8") + Work(3, 4, "float64", True) == Work(4, 6, "float64", True)
