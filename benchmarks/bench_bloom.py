"""Bloom filters of many users at once beside torch, numba, sets, sorted arrays, and filters made in Rust and C.

A case asks whether users have seen items. Sets and sorted arrays are exact, at the price of memory; a Bloom filter may
say yes wrongly in one of a hundred, and never no.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headrace.benchmarks.harness.case import Bench, Call, Case, Provider, Wrong
from headrace.benchmarks.harness.curves import THREADS, curves
from headrace.benchmarks.peers import bloom_torch
from headrace.kernels import bloom_contains, bloom_insert, bloom_size
from headrace.kernels.bloom.work import contains_work, insert_work

FPR = 0.01
BASE = {"batch": 64, "seen": 3000, "asked": 3000}
AXES = {"batch": (1, 16, 64, 256, 1024), "threads": THREADS}

Pairs = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Exposures:
    """users: filters there are. seen, asked: (rows, keys) int64, user by user; a tenth of the asked were seen.

    capacity: keys that a filter is made for.
    """

    users: int
    seen: Pairs
    asked: Pairs
    capacity: int

    @cached_property
    def truth(self) -> NDArray[np.bool_]:
        """bool [asked]: whether the pair was seen, by sets of pairs."""
        return np.isin(_coded(self.asked), _coded(self.seen))

    def by_user(self, pairs: Pairs) -> list[list[int]]:
        """Each user's keys as Python integers, in order."""
        counts = torch.bincount(pairs[0], minlength=self.users).tolist()
        return [part.tolist() for part in pairs[1].split(counts)]


def _coded(pairs: Pairs) -> NDArray[np.int64]:
    return (pairs[0] * 10**7 + pairs[1]).numpy()


def make_exposures(batch: int, seen: int, asked: int, users: int | None = None) -> Exposures:
    """users: where given, the pairs are of `batch` users drawn from so many, one pair each."""
    generator = torch.Generator().manual_seed(0)
    if users is None:
        rows = torch.arange(batch)
        rows, asking, capacity = rows.repeat_interleave(seen), rows.repeat_interleave(asked), seen
    else:
        rows = torch.randint(0, users, (batch,), generator=generator).sort().values
        asking, capacity = rows, 80
    keys = torch.randint(0, 10**6, (len(rows),), generator=generator)
    questions = torch.randint(10**6, 2 * 10**6, (len(asking),), generator=generator)
    known = torch.arange(0, len(asking), 10)
    again = known if users is not None else asking[known] * seen + known % asked % seen
    questions[known] = keys[again]
    return Exposures(users or batch, (rows, keys), (asking, questions), capacity)


def check_contains(exposures: Exposures, answer: Any) -> str:
    got = np.concatenate([np.asarray(part) for part in answer]) if isinstance(answer, list) else np.asarray(answer)
    if got.shape != exposures.truth.shape:
        raise Wrong(f"expected {len(exposures.truth)} answers, got {got.shape}")
    missed = int((exposures.truth & ~got).sum())
    if missed:
        raise Wrong(f"{missed} of {int(exposures.truth.sum())} seen pairs were not found")
    unseen = got[~exposures.truth]
    rate = float(unseen.mean())
    if rate > 1.1 * FPR + 4 * math.sqrt(FPR / len(unseen)):  # a tenth more, and chance
        raise Wrong(f"{rate:.2%} of the unseen pairs were found, promised were {FPR:.0%}")
    return "exact" if rate == 0 else f"{100 * rate:.2g} % false positives"


def check_insert(exposures: Exposures, answer: Callable[[], Any]) -> str:
    """answer: asks what was inserted about the asked pairs."""
    return check_contains(exposures, answer())


def _bank(exposures: Exposures) -> tuple[Tensor, int]:
    words, hashes = bloom_size(exposures.capacity, FPR)
    return torch.zeros(exposures.users, words, dtype=torch.int64), hashes


def prepare_headrace(exposures: Exposures, case: Case, backend: str) -> Call:
    bits, hashes = _bank(exposures)
    if case.op == "bloom_insert":

        def insert() -> Call:
            bits.zero_()
            bloom_insert(bits, *exposures.seen, hashes, backend=backend)
            return lambda: bloom_contains(bits, *exposures.asked, hashes, backend=backend)

        return insert
    bloom_insert(bits, *exposures.seen, hashes)
    return lambda: bloom_contains(bits, *exposures.asked, hashes, backend=backend)


def prepare_torch(exposures: Exposures, case: Case) -> Call:
    bank = bloom_torch.Bank(exposures.users, exposures.capacity, FPR)
    if case.op == "bloom_insert":

        def insert() -> Call:
            bank.clear()
            bank.insert(*exposures.seen)
            return lambda: bank.contains(*exposures.asked)

        return insert
    bank.insert(*exposures.seen)
    return lambda: bank.contains(*exposures.asked)


def prepare_numba(exposures: Exposures, case: Case) -> Call:
    from headrace.benchmarks.peers import bloom_numba

    words, hashes = bloom_numba.size(exposures.capacity, FPR)
    bits = np.zeros((exposures.users, words), np.uint64)
    seen, asked = ([part.numpy() for part in pairs] for pairs in (exposures.seen, exposures.asked))
    if case.op == "bloom_insert":

        def insert() -> Call:
            bits[:] = 0
            bloom_numba.insert(bits, *seen, hashes)
            return lambda: bloom_numba.contains(bits, *asked, hashes)

        return insert
    bloom_numba.insert(bits, *seen, hashes)
    return lambda: bloom_numba.contains(bits, *asked, hashes)


def prepare_objects(exposures: Exposures, case: Case, make: Callable[[list[int], int], Any]) -> Call:
    """One object for each user that answers `in`: a set, or a filter of another library."""
    seen, asked = exposures.by_user(exposures.seen), exposures.by_user(exposures.asked)

    def build() -> list[Any]:
        return [make(keys, exposures.capacity) for keys in seen]

    def ask(filters: list[Any]) -> list[list[bool]]:
        each = zip(filters, asked, strict=True)
        return [[key in one for key in keys] for one, keys in each if keys]

    if case.op == "bloom_insert":
        return lambda: partial(ask, build())
    return partial(ask, build())


def prepare_sorted(exposures: Exposures, case: Case) -> Call:
    """Sorted pairs, and a binary search for each question."""
    pairs = torch.from_numpy(_coded(exposures.seen)).sort().values
    rows, keys = exposures.asked

    def ask() -> Tensor:
        code = rows * 10**7 + keys
        place = torch.searchsorted(pairs, code).clamp_max_(len(pairs) - 1)
        return pairs[place] == code

    return ask


def make_set(keys: list[int], capacity: int) -> Any:
    return set(keys)


def make_rbloom(keys: list[int], capacity: int) -> Any:
    from rbloom import Bloom

    made = Bloom(capacity, FPR)
    made.update(keys)
    return made


def make_abloom(keys: list[int], capacity: int) -> Any:
    from abloom import BloomFilter

    made = BloomFilter(capacity, FPR)
    made.update(keys)
    return made


def _contains(batch: int, seen: int, asked: int) -> Case:
    return Case(
        op="bloom_contains",
        name=f"B{batch} {seen} seen, {asked} asked",
        params={"batch": batch, "seen": seen, "asked": asked},
        inputs=partial(make_exposures, batch, seen, asked),
        check=check_contains,
        work=contains_work(batch * asked, bloom_size(seen, FPR)[1]),
    )


def _big(users: int, pairs: int) -> Case:
    """A bank far larger than any cache, and pairs all over it."""
    return Case(
        op="bloom_contains",
        name=f"{pairs // 1000}k pairs of {users // 10**6}M users",
        params={"users": users, "pairs": pairs},
        inputs=partial(make_exposures, pairs, 1, 1, users),
        check=check_contains,
        work=contains_work(pairs, bloom_size(80, FPR)[1]),
    )


def _insert(batch: int, seen: int) -> Case:
    return Case(
        op="bloom_insert",
        name=f"B{batch} {seen} seen",
        params={"batch": batch, "seen": seen},
        inputs=partial(make_exposures, batch, seen, 1000),
        check=check_insert,
        work=insert_work(batch * seen, bloom_size(seen, FPR)[1]),
    )


def _few_users(case: Case) -> bool:
    return "users" not in case.params


def _small(case: Case) -> bool:
    return case.params.get("batch") == 1


def _asks(case: Case) -> bool:
    return case.op == "bloom_contains"


_PROVIDERS = (
    Provider("headrace", "headrace", partial(prepare_headrace, backend="auto")),
    Provider("reference", "reference", partial(prepare_headrace, backend="reference"), (), _small, "too slow"),
    Provider("numba", "peer", prepare_numba, ("numba",)),
    Provider("torch", "peer", prepare_torch),
    Provider("torch sorted pairs", "peer", prepare_sorted, (), _asks, "sorted once"),
    Provider("Python sets", "peer", partial(prepare_objects, make=make_set)),
    Provider("rbloom", "peer", partial(prepare_objects, make=make_rbloom), ("rbloom",), _few_users, "a filter a user"),
    Provider("abloom", "peer", partial(prepare_objects, make=make_abloom), ("abloom",), _few_users, "a filter a user"),
)

BENCH = Bench(
    "bloom",
    "Bloom filters of many users",
    cases=(
        _contains(1, 3000, 3000),
        _contains(64, 3000, 3000),
        _big(1_000_000, 200_000),
        _insert(64, 3000),
        replace(_insert(1, 3000), suites=("full",)),
        *curves(_contains, BASE, AXES),
    ),
    providers=_PROVIDERS,
)
