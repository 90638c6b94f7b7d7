"""Bloom filters on a GPU: against the reference, then beside plain torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from headrace.benchmarks.gpu.peers import COMPILED, compiled, provider
from headrace.benchmarks.gpu.site import Check, Part, Site, equal, refused
from headrace.benchmarks.harness.case import Bench, Call, Case, Provider, Wrong
from headrace.kernels.bloom import bloom_contains, bloom_contains_lists, bloom_insert
from headrace.kernels.bloom.reference import positions
from headrace.kernels.bloom.work import contains_work, insert_work
from headrace.kernels.work import Work

HASHES = 8
LEAST, MOST = -(2**63), 2**63 - 1


def _bank(site: Site, filters: int, words: int) -> Tensor:
    return torch.zeros(filters, words, dtype=torch.int64, device=site.device)


def _same(site: Site, filters: int, words: int, count: int, hashes: int, layout: str) -> None:
    rows, keys = site.integers(-1, filters, count, seed=1), site.integers(LEAST, MOST, count, seed=2)
    banks = [_bank(site, filters, words) for _ in range(2)]
    for bits, backend in zip(banks, ("reference", "gpu"), strict=True):
        bloom_insert(bits, rows, keys, hashes, layout=layout, backend=backend)
    equal(f"{layout} bits", banks[1], banks[0])
    probe = torch.cat([keys[: count // 2], keys[count // 2 :] + 1])
    for at in (rows, torch.stack([rows.roll(1), rows, torch.full_like(rows, -1)], 1)):
        found, expected = (
            bloom_contains(banks[0], at, probe, hashes, layout=layout, backend=backend)
            for backend in ("gpu", "reference")
        )
        equal(f"{layout} answers", found, expected)


def awkward(site: Site) -> str:
    for layout, most in (("block", 8), ("classic", 17)):
        for count, hashes in ((1, 8), (97, 3), (257, 1), (1000, most)):
            _same(site, 5, 12, count, hashes, layout)
    return "bits and answers equal for 1 to 17 hashes, block and classic"


def realistic(site: Site) -> str:
    count, filters = site.size(1_000_003, 600), site.size(20_000, 40)
    for layout in ("block", "classic"):
        _same(site, filters, site.size(64, 8), count, 7, layout)
    return f"bits and answers equal for {count} keys in {filters} filters"


def contended(site: Site) -> str:
    _same(site, 1, 4, site.size(100_000, 500), 8, "block")
    return "every key in one block"


def strided(site: Site) -> str:
    rows, keys = site.integers(0, 3, 200, seed=1)[::2], site.integers(LEAST, MOST, 200, seed=2)[::2]
    bits = _bank(site, 3, 8)
    bloom_insert(bits, rows, keys, 5, backend="gpu")
    if not bool(bloom_contains(bits, rows, keys, 5, backend="gpu").all()):
        raise Wrong("a key that was added is missing")
    return "strided rows and keys"


def listed(site: Site) -> str:
    banks = [_bank(site, filters, words) for filters, words in ((5, 8), (9, 12))]
    for bits in banks:
        bloom_insert(
            bits, site.integers(0, len(bits), 300, seed=1), site.integers(0, 500, 300, seed=2), 3, backend="gpu"
        )
    offsets = site.offsets(site.integers(0, 60, 7, seed=3))
    keys = site.integers(0, 900, int(offsets[-1]), seed=4)
    rows = [site.integers(-1, len(bits), 7 * 2, seed=5).view(7, 2).int() for bits in banks]
    found, expected = (
        bloom_contains_lists(banks, rows, [3, 3], offsets, keys, backend=backend) for backend in ("gpu", "reference")
    )
    equal("answers", found, expected)
    return "answers equal for lists that ask several banks"


def empty(site: Site) -> str:
    none = site.integers(0, 1, 0)
    for filters in (0, 3):
        bits = _bank(site, filters, 8)
        bloom_insert(bits, none, none, 3, backend="gpu")
        equal("answers", bloom_contains(bits, none, none, 3, backend="gpu"), none.bool())
    return "no keys, no filters"


def out_of_range(site: Site) -> str:
    bits, key = _bank(site, 5, 8), site.integers(0, 9, 1)
    for row in (5, -2):
        words = f"rows: expected -1 to 4, got {row}"
        refused(words, lambda row=row: bloom_insert(bits, torch.full_like(key, row), key, 7, backend="gpu"))  # type: ignore[misc]
        refused(words, lambda row=row: bloom_contains(bits, torch.full_like(key, row), key, 7, backend="gpu"))  # type: ignore[misc]
    return "rows that are not there are named"


def bench(site: Site) -> Bench:
    """Filters of 64 words with about 200 keys each; a million keys added, or asked for."""
    filters, words, count = site.size(100_000, 50), site.size(64, 8), site.size(1_000_000, 400)
    params: dict[str, Any] = {"filters": filters, "words": words, "keys": count, "hashes": HASHES}
    name = f"U{filters} n{count} h{HASHES}"

    def inputs() -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Bank, rows, keys, and which of the keys are in it."""
        rows, keys = site.integers(0, filters, count, seed=1), site.integers(LEAST, MOST, count, seed=2)
        inside = site.integers(0, 2, count, seed=3).bool()
        bits = _bank(site, filters, words)
        bloom_insert(bits, rows[inside], keys[inside], HASHES, backend="reference")
        return bits, rows, keys, inside

    # Each call adds to a fresh copy, as keys that are there already are not written again.
    added = insert_work(count, HASHES) + Work(0.0, 16.0 * filters * words)
    contains = Case("bloom_contains", name, params, inputs, _check_answers, contains_work(count, HASHES))
    insert = Case("bloom_insert", name, params, inputs, _check_bits, added)
    return Bench("bloom", "Bloom filters", (contains, insert), _providers(site))


def _check_answers(given: Any, answer: Any) -> str:
    """The truth is which keys were added: none may be missing, few others may be found."""
    inside = given[3]
    missing = int((inside & ~answer).sum())
    false = float((answer & ~inside).sum() / (~inside).sum().clamp_min(1))
    if missing or false > 0.05:
        raise Wrong(f"{missing} keys missing, {false:.2%} of the others found")
    return f"exact: no key missing, {false:.2%} of the others found"


def _check_bits(given: Any, answer: Any) -> str:
    bits, rows, keys, _ = given
    expected = bits.clone()
    bloom_insert(expected, rows, keys, HASHES, backend="reference")
    equal("bits", answer, expected)
    return "exact"


def _providers(site: Site) -> tuple[Provider, ...]:
    def of(backend: str, case: Case, given: Any) -> Call:
        bits, rows, keys, _ = given
        if case.op == "bloom_contains":
            return lambda: bloom_contains(bits, rows, keys, HASHES, backend=backend)
        own = torch.empty_like(bits)

        def call() -> Tensor:
            own.copy_(bits)
            bloom_insert(own, rows, keys, HASHES, backend=backend)
            return own

        return call

    def gather(given: Any) -> Any:
        bits, rows, keys, _ = given
        words = bits.shape[1]

        def call(rows: Tensor, keys: Tensor) -> Tensor:
            position = positions(keys, words, HASHES, "block")
            word = bits.view(-1)[rows[:, None] * words + (position >> 6)]
            seen: Tensor = ((word >> (position & 63)) & 1).all(1)
            return seen

        return call, rows, keys

    def compile_it(given: Any) -> Call:
        call, rows, keys = gather(given)
        fast = compiled(site, call)
        return lambda: fast(rows, keys)

    device = site.where
    plain = provider(site, COMPILED, "peer", compile_it)
    return (
        Provider("headrace", "headrace", lambda given, case: of("gpu", case, given), device=device),
        Provider("torch", "reference", lambda given, case: of("reference", case, given), device=device),
        Provider(
            COMPILED,
            "peer",
            plain.prepare,
            serves=lambda case: case.op == "bloom_contains",
            why="adding needs unique, whose size is not known beforehand",
            device=device,
        ),
    )


PART = Part(
    ("bloom_insert", "bloom_contains", "bloom_contains_lists"),
    (
        Check("bloom_insert", "awkward sizes", awkward),
        Check("bloom_contains", "realistic size", realistic),
        Check("bloom_insert", "contended", contended),
        Check("bloom_contains", "strided inputs", strided),
        Check("bloom_contains_lists", "several banks", listed),
        Check("bloom_contains", "empty", empty),
        Check("bloom_insert", "out of range", out_of_range),
    ),
    bench,
)
