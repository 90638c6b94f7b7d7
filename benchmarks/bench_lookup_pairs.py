"""Statistics of (user, category) and (user, author) for candidates, beside SciPy's sparse matrices, NumPy and torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from headrace.benchmarks.candidates import drawn, ragged, sample
from headrace.benchmarks.harness.case import Bench, Call, Case, Provider, Wrong
from headrace.benchmarks.harness.curves import THREADS, curves
from headrace.benchmarks.harness.keep import keep
from headrace.kernels import PairTable, lookup_pairs
from headrace.kernels.lookup_pairs.work import work

USERS, WIDTH = 20_000, 4
#: Of each table: codes there are, and pairs that a user has on average.
TABLES = ((40, 12), (5_000, 30))
#: A table with so many pairs at most is also held dense by whoever wants to.
DENSE = 1 << 22
BASE = {"batch": 64, "each": 1300}
AXES = {"batch": (1, 4, 16, 64, 256), "each": (100, 1300, 5000), "threads": THREADS}


@dataclass(frozen=True)
class Pairs:
    """user: int64 [B]. offsets, item: whose candidates."""

    tables: tuple[PairTable, ...]
    user: Tensor
    offsets: Tensor
    item: Tensor

    @property
    def item_codes(self) -> list[Tensor]:
        return [table.item_code for table in self.tables if table.item_code is not None]

    def seen(self) -> list[Tensor]:
        """For each table int64 [entries]: its pairs as one number each, rising."""
        found = []
        for table, (codes, _) in zip(self.tables, TABLES, strict=True):
            users = torch.repeat_interleave(table.offsets.diff())
            found.append(users * codes + table.codes)
        return found

    @cached_property
    def truth(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Positions and their rows, pair after pair out of Python dicts of the users that ask."""
        at = sample(len(self.item))
        owner = np.searchsorted(self.offsets.numpy(), at, "right") - 1
        found = np.zeros((len(at), 0), np.float32)
        for table, item_code in zip(self.tables, self.item_codes, strict=True):
            entry: dict[tuple[int, int], int] = {}
            for user in set(self.user[owner].tolist()):
                first, last = table.offsets[user : user + 2].tolist()
                entry |= {(user, code): first + e for e, code in enumerate(table.codes[first:last].tolist())}
            pairs = zip(self.user[owner].tolist(), item_code[self.item[at]].tolist(), strict=True)
            rows = table.rows.numpy()[[entry.get(pair, -1) + 1 for pair in pairs]]
            found = np.concatenate([found, rows], 1)
        return at, found


@keep()
def make_tables(items: int, users: int) -> tuple[PairTable, ...]:
    draw = np.random.default_rng(0)
    made = []
    for codes, each in TABLES:
        seen = np.unique(draw.integers(0, users, users * each) * codes + draw.integers(0, codes, users * each))
        starts = np.searchsorted(seen, np.arange(users + 1) * codes)
        rows = draw.standard_normal((len(seen) + 1, WIDTH), np.float32)
        item_code = draw.integers(0, codes, items).astype(np.int32)
        made.append(PairTable(*map(torch.from_numpy, (starts, (seen % codes).astype(np.int32), rows, item_code))))
    return tuple(made)


def make_pairs(batch: int, each: int, items: int, users: int) -> Pairs:
    offsets = ragged(batch, each)
    user = torch.randint(0, users, (batch,), generator=torch.Generator().manual_seed(1))
    return Pairs(make_tables(items, users), user, offsets, drawn(offsets, items))


def check(pairs: Pairs, answer: Any) -> str:
    got = np.asarray(answer)
    if got.shape != (len(pairs.item), len(TABLES) * WIDTH):
        raise Wrong(f"expected rows of shape {(len(pairs.item), len(TABLES) * WIDTH)}, got {got.shape}")
    at, truth = pairs.truth
    wrong = int((got[at] != truth).any(1).sum())
    if wrong:
        raise Wrong(f"{wrong} of {len(at)} rows are another pair's")
    return "exact"


def prepare_headrace(pairs: Pairs, case: Case, backend: str) -> Call:
    keys = pairs.user.expand(len(TABLES), -1).contiguous()
    return lambda: lookup_pairs(pairs.tables, keys, pairs.offsets, pairs.item, backend=backend)


def prepare_torch(pairs: Pairs, case: Case, dense: bool) -> Call:
    """A search among all pairs of a table. dense: where they are few, a table with an entry for every pair instead."""
    users = len(pairs.tables[0].offsets) - 1
    seen = pairs.seen()
    full = [users * codes <= DENSE and dense for codes, _ in TABLES]
    for t, (codes, _) in enumerate(TABLES):
        if full[t]:
            entry = torch.zeros(users * codes, dtype=torch.int32)
            entry[seen[t]] = torch.arange(1, len(seen[t]) + 1, dtype=torch.int32)
            seen[t] = entry

    def call() -> Tensor:
        user = pairs.user.repeat_interleave(pairs.offsets.diff(), output_size=len(pairs.item))
        parts = []
        for table, item_code, known, direct, (codes, _) in zip(
            pairs.tables, pairs.item_codes, seen, full, TABLES, strict=True
        ):
            key = user * codes + item_code.index_select(0, pairs.item)
            if direct:
                row = known.index_select(0, key)
            else:
                place = torch.searchsorted(known, key).clamp_max_(len(known) - 1)
                row = torch.where(known.index_select(0, place) == key, place + 1, 0)
            parts.append(table.rows.index_select(0, row))
        return torch.cat(parts, 1)

    return call


def prepare_numpy(pairs: Pairs, case: Case) -> Call:
    user, counts, item = pairs.user.numpy(), pairs.offsets.diff().numpy(), pairs.item.numpy()
    tables = [
        (table.rows.numpy(), item_code.numpy(), known.numpy(), codes)
        for table, item_code, known, (codes, _) in zip(
            pairs.tables, pairs.item_codes, pairs.seen(), TABLES, strict=True
        )
    ]

    def call() -> NDArray[np.float32]:
        asked = user.repeat(counts)
        parts = []
        for rows, item_code, known, codes in tables:
            key = asked * codes + item_code[item]
            place = np.minimum(np.searchsorted(known, key), len(known) - 1)
            parts.append(rows[np.where(known[place] == key, place + 1, 0)])
        return np.concatenate(parts, 1)

    return call


def prepare_scipy(pairs: Pairs, case: Case) -> Call:
    """A sparse matrix of users and codes for each table that says which row a pair has."""
    user, counts, item = pairs.user.numpy(), pairs.offsets.diff().numpy(), pairs.item.numpy()
    tables = []
    for table, item_code, (codes, _) in zip(pairs.tables, pairs.item_codes, TABLES, strict=True):
        entry = np.arange(1, len(table.codes) + 1, dtype=np.int32)
        shape = len(table.offsets) - 1, codes
        matrix = sp.csr_matrix((entry, table.codes.numpy(), table.offsets.numpy()), shape=shape)
        tables.append((matrix, item_code.numpy(), table.rows.numpy()))

    def call() -> NDArray[np.float32]:
        asked = user.repeat(counts)
        return np.concatenate([rows[matrix[asked, code[item]].A1] for matrix, code, rows in tables], 1)

    return call


def _case(batch: int, each: int, items: int = 100_000, users: int = USERS) -> Case:
    n, tables = batch * each, len(TABLES)
    least = work(n, tables, tables * WIDTH)
    codes = items * (1 - (1 - min(each / items, 1.0)) ** batch) * 4 * tables
    rows = sum(min(batch * (own + 1), n) for _, own in TABLES) * 4 * WIDTH
    return Case(
        op="lookup_pairs",
        name=f"B{batch} x {each} {tables} tables",
        params={"batch": batch, "each": each, "tables": tables, "items": items, "users": users},
        inputs=partial(make_pairs, batch, each, items, users),
        check=check,
        work=replace(least, touched=n * (8 + 4 * tables * WIDTH) + codes + rows),
    )


def _small(case: Case) -> bool:
    return case.params["batch"] == 1 and case.axis is None


BENCH = Bench(
    "lookup_pairs",
    "Look-ups by request and candidate",
    cases=(
        _case(64, 1300),
        _case(1, 1300),
        replace(_case(256, 1300), suites=("full",)),
        *curves(_case, BASE, AXES),
    ),
    providers=(
        Provider("headrace", "headrace", partial(prepare_headrace, backend="auto")),
        Provider("reference", "reference", partial(prepare_headrace, backend="reference"), (), _small, "too slow"),
        Provider("torch", "peer", partial(prepare_torch, dense=False)),
        Provider("torch, dense where it fits", "peer", partial(prepare_torch, dense=True)),
        Provider("NumPy searchsorted", "peer", prepare_numpy),
        Provider("SciPy sparse", "peer", prepare_scipy),
    ),
)
