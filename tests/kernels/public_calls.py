"""A call of everything public in the kernels that takes arrays, with small arrays that a test may replace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from headrace import kernels
from headrace.kernels import similarity
from headrace.kernels.network.instructions import Rows

#: Numbers that every floating dtype holds, none of them below 0 where they may be integers.
VECTORS = torch.tensor([[1.0, -0.5], [0.25, 2.0], [-1.5, 0.75]])
REWARDS = torch.tensor([0.5, 0.25, 1.0])
OFFSETS, ITEMS = torch.tensor([0, 1, 3]), torch.tensor([2, 0, 1])
#: Bits keep their width, which is how a test knows them.
WORDS = torch.tensor([3], dtype=torch.uint64)
CODES = torch.tensor([[0, 1], [2, 0]], dtype=torch.int32)
FLAGS = torch.tensor([True, True, False])
#: Makes the array that a test passes in place of a tensor.
Make = Callable[[Tensor], Any]


def edges(a: Make, **parts: Any) -> kernels.Edges:
    return kernels.Edges(a(OFFSETS), a(torch.tensor([1, 0, 1])), a(REWARDS), **parts)


def pair_table(a: Make) -> kernels.PairTable:
    codes = torch.tensor([0, 0, 1], dtype=torch.int32)
    return kernels.PairTable(a(OFFSETS), a(codes), a(torch.arange(8.0).reshape(4, 2)), a(codes))


def path_model(a: Make) -> kernels.PathModel:
    nodes, hidden = torch.ones(1, 2, 2), [torch.ones(3, 2), torch.ones(3, 4)]
    biases, out = [torch.ones(3)] * 2, [VECTORS.T.contiguous()] * 2
    parts = [[a(part) for part in each] for each in (hidden, biases, out, [torch.tensor([0.5, 0.25])] * 2)]
    return kernels.PathModel(a(nodes), *parts)


def path_index(a: Make) -> kernels.PathIndex:
    return kernels.PathIndex.build(a(torch.tensor([[[0, 1]], [[1, 1]]], dtype=torch.int32)), 2)


def rules(a: Make) -> kernels.Rules:
    return kernels.Rules(a(torch.zeros(1, 3, dtype=torch.int32)), a(torch.tensor([[2, 1, 0]])))


def run_network(a: Make) -> Any:
    rows = kernels.Stage((Rows(0, 2, item=0),), 2, 0, 2)
    empty = torch.zeros(0)
    program = kernels.Program(kernels.Stage((), 0, 0, 0), rows, a(empty), a(VECTORS), a(VECTORS[:0]), 0, 0, 0, (2,))
    parts = {"request": VECTORS[:2, :0], "offsets": OFFSETS, "item": ITEMS, "codes": CODES.new_zeros(3, 0)}
    held = (a(torch.ones(2, 1, 2)), a(torch.ones(2, dtype=torch.int32)))
    made = {name: a(part) for name, part in parts.items()}
    return kernels.network(program, **made, pair=a(VECTORS[:, :0]), sequences=[held])


def index(a: Make) -> kernels.TopKIndex:
    return kernels.TopKIndex(a(VECTORS), a(ITEMS))


def changed(a: Make, change: Callable[[kernels.TopKIndex], Any]) -> Any:
    one = index(a)
    change(one)
    return one.search(a(VECTORS), 2)


def inserted(a: Make) -> Any:
    bits = torch.zeros(2, 4, dtype=torch.uint64)
    given = a(bits)
    kernels.bloom_insert(given, a(torch.tensor([0, 1, 1])), a(ITEMS), 3)
    return given


BITS = inserted(torch.clone)


def contains(a: Make) -> Any:
    return kernels.bloom_contains(a(BITS), a(torch.tensor([1, 1, 0])), a(ITEMS), 3)


def contains_lists(a: Make) -> Any:
    return kernels.bloom_contains_lists([a(BITS)], [a(torch.tensor([[0], [1]]).int())], [3], a(OFFSETS), a(ITEMS))


def saved(a: Make, folder: Path) -> Any:
    kernels.save_shards(folder / "shards", a(VECTORS), 2, a(ITEMS))
    return kernels.TopKShards.load(folder / "shards").search(a(VECTORS), 2)


def lists(a: Make) -> tuple[Any, ...]:
    return a(VECTORS), a(REWARDS), a(OFFSETS), 2


#: A call of everything public that takes arrays; those of no folder get none.
CALLS: dict[str, Callable[..., Any]] = {
    "Edges": lambda a: kernels.two_hop(
        ITEMS[1:], edges(a), edges(a, time=a(torch.tensor([1, 3, 2]))), 2, now=ITEMS[:2]
    ),
    "EmbeddingTables": lambda a: kernels.EmbeddingTables([a(VECTORS), a(VECTORS)]).table(1),
    "PairTable": lambda a: pair_table(a).rows,
    "PathIndex": lambda a: kernels.PathIndex(1, 1, 3, a(OFFSETS[::2]), a(ITEMS.int()), None).items,
    "PathIndex.build": lambda a: path_index(a).offsets,
    "PathIndex.lookup": lambda a: path_index(a).lookup(a(torch.tensor([[[0, 1]]], dtype=torch.int32))),
    "PathModel": lambda a: path_model(a).weights[0],
    "Program": run_network,
    "Rules": lambda a: rules(a).kinds,
    "TopKIndex": lambda a: index(a).truth,
    "TopKIndex.add": lambda a: changed(a, lambda one: one.add(a(VECTORS), a(ITEMS + 3))),
    "TopKIndex.mask": lambda a: index(a).mask(a(ITEMS[:2])),
    "TopKIndex.remove": lambda a: changed(a, lambda one: one.remove(a(ITEMS[:2]))),
    "TopKIndex.search": lambda a: index(a).search(a(VECTORS), 2, a(WORDS)),
    "TopKIndex.search_counted": lambda a: index(a).search_counted(a(VECTORS), 2)[:2],
    "TopKIndex.search_float64": lambda a: index(a).search_float64(a(VECTORS), 2)[:2],
    "TopKIndex.upsert": lambda a: changed(a, lambda one: one.upsert(a(VECTORS), a(ITEMS + 1))),
    "TopKShards.mask": lambda a: kernels.TopKShards([index(a)]).mask(a(ITEMS[:1])),
    "TopKShards.search": lambda a: kernels.TopKShards([index(a)]).search(a(VECTORS), 2, a(WORDS)),
    "TopKShards.search_float64": lambda a: kernels.TopKShards([index(a)]).search_float64(a(VECTORS), 2)[:2],
    "beam_search": lambda a: kernels.beam_search(a(VECTORS), path_model(a), 2),
    "bloom_contains": contains,
    "bloom_contains_lists": contains_lists,
    "bloom_insert": inserted,
    "closeness": lambda a: kernels.closeness(a(VECTORS), a(CODES), a(OFFSETS), a(ITEMS)),
    "co_occurrence": lambda a: kernels.co_occurrence(
        a(OFFSETS),
        a(ITEMS),
        2,
        items=3,
        weight=a(REWARDS.double()),
        formula="product",
        column=a(REWARDS.double()),
        kept=a(FLAGS),
    ),
    "dpp": lambda a: kernels.dpp(*lists(a)),
    "dpp_picks": lambda a: kernels.dpp_picks(*lists(a)[:3], 1, rules=rules(a), pinned=a(torch.tensor([[0], [1]]))),
    "embedding_bag": lambda a: kernels.embedding_bag(
        kernels.EmbeddingTables([a(VECTORS)]), a(ITEMS), a(OFFSETS), weights=a(REWARDS)
    ),
    "lookup_pairs": lambda a: kernels.lookup_pairs([pair_table(a)], a(torch.tensor([[1, 0]])), a(OFFSETS), a(ITEMS)),
    "mmr": lambda a: kernels.mmr(*lists(a)),
    "mmr_picks": lambda a: kernels.mmr_picks(*lists(a), rules=rules(a)),
    "network": run_network,
    "pool_items": lambda a: kernels.pool_items(a(OFFSETS[None]), a(ITEMS), 2, score=a(REWARDS.double()), ranks=True),
    "save_shards": saved,
    "segment_topk": lambda a: kernels.segment_topk(a(OFFSETS), a(REWARDS), a(ITEMS), 2),
    "similarity.blend": lambda a: similarity.blend([(0.25, a(VECTORS)), (0.75, a(VECTORS))]),
    "similarity.cosine": lambda a: similarity.cosine(a(VECTORS)),
    "similarity.factor": lambda a: similarity.factor(a(VECTORS @ VECTORS.T)),
    "similarity.gaussian": lambda a: similarity.gaussian(a(VECTORS), 1.0),
    "similarity.one_hot": lambda a: similarity.one_hot(a(ITEMS)),
    "swing": lambda a: kernels.swing(a(OFFSETS), a(ITEMS), 2, items=3, kept=a(FLAGS)),
    "topk": lambda a: kernels.topk(a(VECTORS), a(VECTORS), 2, mask=a(WORDS)),
    "two_hop": lambda a: kernels.two_hop(a(torch.tensor([1, 0])), edges(a), edges(a), 2),
}
#: Whose answers hold what the object keeps: tensors.
KEPT = {"Edges", "EmbeddingTables", "PairTable", "PathIndex", "PathIndex.build", "PathModel", "Rules", "TopKIndex"}


def run(name: str, make: Make, folder: Path) -> Any:
    call = CALLS[name]
    return call(make, folder) if call is saved else call(make)


def same(tensor: Tensor) -> Tensor:
    return tensor.clone()
