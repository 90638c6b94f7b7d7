"""Look-ups by pair on a GPU: against the reference, then beside it: the reference is plain torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from headrace.benchmarks.gpu.peers import provider
from headrace.benchmarks.gpu.site import Check, Part, Site, equal, refused
from headrace.benchmarks.harness.case import Bench, Call, Case, Wrong
from headrace.kernels.lookup_pairs import PairTable, lookup_pairs
from headrace.kernels.lookup_pairs.work import work

Inputs = tuple[list[PairTable], Tensor, Tensor, Tensor]


def _table(site: Site, lists: int, codes: int, width: int, items: int | None, seed: int) -> PairTable:
    """About half of `codes` seen in each list. items: of a catalogue, for lists of users; None: a list an item."""
    seen = site.integers(0, 2, lists, codes, seed=seed).bool()
    owner, code = seen.nonzero().unbind(1)
    rows = site.normal(len(owner) + 1, width, seed=seed + 1)
    item_code = None if items is None else site.integers(-1, codes + 2, items, seed=seed + 2).int()
    return PairTable(site.offsets(seen.sum(1)), code.int(), rows, item_code)


def _call(site: Site, lengths: list[int], users: int, codes: int, items: int) -> Inputs:
    tables = [_table(site, users, codes, 4, items, 10), _table(site, items, codes, 3, None, 20)]
    keys = torch.stack([site.integers(-1, high, len(lengths), seed=1) for high in (users, codes)])
    return tables, keys, site.offsets(lengths), site.integers(0, items, sum(lengths), seed=2)


def _same(inputs: Inputs) -> None:
    found, expected = (lookup_pairs(*inputs, backend=backend) for backend in ("gpu", "reference"))
    equal("rows", found, expected)


def awkward(site: Site) -> str:
    for users, codes, items in ((1, 1, 1), (6, 12, 20), (3, 65, 33)):
        _same(_call(site, [0, 7, 143, 1], users, codes, items))
    return "rows equal for tables by user and by item, unknown pairs among them"


def realistic(site: Site) -> str:
    inputs = _call(site, [site.size(500, 40)] * site.size(64, 2), site.size(10_000, 9), 64, site.size(10_000, 30))
    _same(inputs)
    return f"rows equal for {len(inputs[3])} candidates"


def empty(site: Site) -> str:
    for lengths in ([], [0, 0]):
        _same(_call(site, lengths, 3, 4, 5))
    tables, keys, offsets, item = _call(site, [3], 3, 4, 5)
    bare = PairTable(site.offsets([0, 0, 0]), item[:0].int(), tables[0].rows[:1], tables[0].item_code)
    _same(([bare, tables[1]], keys, offsets, item))
    return "no requests, no candidates, a table of nothing"


def refusals(site: Site) -> str:
    tables, keys, offsets, item = _call(site, [3, 4], 3, 4, 5)
    refused("item: expected 0 to 4", lambda: lookup_pairs(tables, keys, offsets, item + 5, backend="gpu"))
    refused("key: expected -1 to 2", lambda: lookup_pairs(tables, keys + 9, offsets, item, backend="gpu"))
    return "items and lists that are not there are named"


def bench(site: Site) -> Bench:
    batch, each = site.size(256, 2), site.size(500, 40)
    users, codes, items = site.size(20_000, 9), site.size(100, 8), site.size(100_000, 30)

    def of(backend: str, inputs: Inputs) -> Call:
        return lambda: lookup_pairs(*inputs, backend=backend)

    name = f"B{batch} n{each} T2"
    params: dict[str, Any] = {"batch": batch, "candidates": each, "users": users, "codes": codes, "items": items}
    least = work(batch * each, 2, 7)
    case = Case("lookup_pairs", name, params, lambda: _call(site, [each] * batch, users, codes, items), _check, least)
    providers = (
        provider(site, "headrace", "headrace", lambda inputs: of("gpu", inputs)),
        provider(site, "torch", "reference", lambda inputs: of("reference", inputs)),
    )
    return Bench("lookup_pairs", "look-ups by pair", (case,), providers)


def _check(inputs: Inputs, answer: Any) -> str:
    """A sample of candidates, each pair looked for in its list."""
    tables, keys, offsets, item = inputs
    owner = torch.repeat_interleave(offsets.diff())
    sample = torch.linspace(0, len(item) - 1, min(200, len(item)), device=item.device).long()
    for at in sample.tolist():
        expected = []
        for table, key in zip(tables, keys, strict=True):
            asked, row = int(key[owner[at]]), int(item[at])
            first, second = (row, asked) if table.item_code is None else (asked, int(table.item_code[row]))
            place = 0
            if first >= 0 and second >= 0:
                start, end = table.offsets[first : first + 2].tolist()
                codes = table.codes[start:end].tolist()
                place = start + codes.index(second) + 1 if second in codes else 0
            expected.append(table.rows[place])
        if not torch.equal(answer[at], torch.cat(expected)):
            raise Wrong(f"another row for candidate {at}")
    return f"exact, of {len(sample)} candidates"


PART = Part(
    ("lookup_pairs",),
    (
        Check("lookup_pairs", "awkward sizes", awkward),
        Check("lookup_pairs", "realistic size", realistic),
        Check("lookup_pairs", "empty", empty),
        Check("lookup_pairs", "refusals", refusals),
    ),
    bench,
)
