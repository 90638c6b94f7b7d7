import math
import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from headrace.kernels import settings
from headrace.kernels.bloom import bloom_contains, bloom_contains_lists, bloom_fpr, bloom_insert, bloom_size

LAYOUTS = ("block", "classic")
SIZES = (0, 1, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 97, 1000, 4097)
WRAP = 2**64 - 1


def mix(x: int) -> int:
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & WRAP
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & WRAP
    return x ^ (x >> 31)


def brute_bits(key: int, words: int, hashes: int, layout: str) -> set[int]:
    """The file format in whole numbers of Python."""
    golden = 0x9E3779B97F4A7C15
    hashed = mix((key + golden) & WRAP)
    high, low = hashed >> 32, hashed & 0xFFFFFFFF
    if layout == "block":
        salts = [0x47B6137B, 0x44974D91, 0x8824AD5B, 0xA2B7289D, 0x705495C7, 0x2DF1424B, 0x9EFC4947, 0x5C6BFB31]
        block = high * (words // 4) >> 32
        lanes = [(high + i) % 8 for i in range(hashes)]
        return {block * 256 + lane * 32 + ((low * salts[lane] & 0xFFFFFFFF) >> 27) for lane in lanes}
    draws = [mix((hashed + (i // 2 + 1) * golden) & WRAP) for i in range(hashes)]
    halves = [d >> 32 if i % 2 == 0 else d & 0xFFFFFFFF for i, d in enumerate(draws)]
    return {half * words * 64 >> 32 for half in halves}


def bank_bits(bits: torch.Tensor) -> list[set[int]]:
    words = bits.numpy().astype(np.uint64).astype("<u8")
    unpacked = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")
    return [set(np.flatnonzero(row).tolist()) for row in unpacked]


def batch(n: int, filters: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed + n)
    rows = torch.randint(-1, filters, (n,), generator=generator)
    keys = torch.randint(-(2**63), 2**63 - 1, (n,), generator=generator)
    return rows, keys


def empty(filters: int, words: int) -> torch.Tensor:
    return torch.zeros(filters, words, dtype=torch.uint64)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize("hashes", [1, 3, 8])
def test_bits_are_those_of_the_format(layout: str, backend: str, hashes: int) -> None:
    words = 12
    bits = empty(5, words)
    rows, keys = batch(97, 5)
    bloom_insert(bits, rows, keys, hashes, layout=layout, backend=backend)
    expected: list[set[int]] = [set() for _ in range(5)]
    for row, key in zip(rows.tolist(), keys.tolist(), strict=True):
        if row >= 0:
            expected[row] |= brute_bits(key, words, hashes, layout)
    assert bank_bits(bits) == expected
    probe_rows, probe_keys = torch.cat([rows, rows]), torch.cat([keys, keys + 1])
    seen = bloom_contains(bits, probe_rows, probe_keys, hashes, layout=layout, backend=backend)
    pairs = zip(probe_rows.tolist(), probe_keys.tolist(), strict=True)
    assert seen.tolist() == [r >= 0 and brute_bits(k, words, hashes, layout) <= expected[r] for r, k in pairs]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("n", SIZES)
def test_native_equals_the_reference(layout: str, threads: int, n: int) -> None:
    rows, keys = batch(n, 9)
    probe_rows, probe_keys = batch(n, 9, seed=1)
    probe_keys[: n // 2] = keys[: n // 2]
    for hashes in (1, 5, 8):
        expected = empty(9, 36)
        bloom_insert(expected, rows, keys, hashes, layout=layout, backend="reference")
        answer = bloom_contains(expected, probe_rows, probe_keys, hashes, layout=layout, backend="reference")
        for level in settings.usable_isas():
            with settings.isa(level):
                bits = empty(9, 36)
                bloom_insert(bits, rows, keys, hashes, layout=layout, backend="native", threads=threads)
                seen = bloom_contains(bits, probe_rows, probe_keys, hashes, layout=layout, threads=threads)
            assert torch.equal(bits.view(torch.int64), expected.view(torch.int64))
            assert torch.equal(seen, answer)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("backend", ["reference", "native"])
def test_rows_may_name_several_filters(layout: str, backend: str) -> None:
    bits = empty(6, 8)
    rows, keys = batch(300, 6)
    bloom_insert(bits, rows, keys, 6, layout=layout)
    fans = torch.stack([rows.roll(1), torch.full_like(rows, -1), rows.roll(2)], 1)
    seen = bloom_contains(bits, fans, keys, 6, layout=layout, backend=backend)
    each = [bloom_contains(bits, fan.contiguous(), keys, 6, layout=layout) for fan in fans.unbind(1)]
    assert torch.equal(seen, torch.stack(each).any(0))
    none = torch.zeros(300, 0, dtype=torch.int64)
    assert not bool(bloom_contains(bits, none, keys, 6, layout=layout, backend=backend).any())


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-(2**63), 2**63 - 1)), max_size=200), st.integers(1, 8))
@hypothesis_settings(max_examples=50, deadline=None)
def test_never_a_false_negative(pairs: list[tuple[int, int]], hashes: int) -> None:
    rows = torch.tensor([row for row, _ in pairs], dtype=torch.int64)
    keys = torch.tensor([key for _, key in pairs], dtype=torch.int64)
    for layout in LAYOUTS:
        bits = empty(4, 4)
        bloom_insert(bits, rows, keys, hashes, layout=layout)
        assert bool(bloom_contains(bits, rows, keys, hashes, layout=layout).all())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("capacity", "fpr"), [(10, 0.05), (100, 0.01), (1000, 0.01), (3000, 0.002)])
def test_the_measured_rate_is_the_promised_one(layout: str, capacity: int, fpr: float) -> None:
    words, hashes = bloom_size(capacity, fpr, layout)
    promised = bloom_fpr(capacity, words, hashes, layout)
    assert promised <= fpr
    filters = max(20, 40_000 // capacity)
    rows = torch.arange(filters).repeat_interleave(capacity)
    bits = empty(filters, words)
    bloom_insert(bits, rows, torch.arange(len(rows)), hashes, layout=layout)
    tries = 1_000_000 // filters
    wrong = bloom_contains(
        bits,
        torch.arange(filters).repeat_interleave(tries),
        torch.arange(filters * tries) + 10**7,
        hashes,
        layout=layout,
    )
    expected = promised * filters * tries
    # Six standard deviations of the count, and the spread between filters of their fill.
    assert abs(float(wrong.sum()) - expected) <= 6 * expected**0.5 + 0.06 * expected


@pytest.mark.parametrize(("fpr", "bits_per_key", "hashes"), [(0.1, 4.8, 3), (0.01, 9.6, 7), (0.001, 14.4, 10)])
def test_classic_size_is_the_optimum(fpr: float, bits_per_key: float, hashes: int) -> None:
    words, k = bloom_size(100_000, fpr, "classic")
    optimum = math.log(1 / fpr) / math.log(2) ** 2
    assert k == hashes
    assert optimum * 0.999 <= words * 64 / 100_000 <= optimum * 1.01
    assert words * 64 / 100_000 == pytest.approx(bits_per_key, rel=0.01)
    assert bloom_fpr(100_000, words, k, "classic") <= fpr < bloom_fpr(100_000, words - 1, k, "classic")


@pytest.mark.parametrize(("fpr", "hashes", "achieved"), [
    (0.1, 3, 0.10970), (0.05, 4, 0.05628), (0.01, 7, 0.012115), (0.001, 10, 0.0013151),
])  # fmt: skip
def test_slides_formula_gives_its_own_rate(fpr: float, hashes: int, achieved: float) -> None:
    words, k = bloom_size(1_000_000, fpr, "classic", formula="slides")
    assert k == hashes
    assert words == math.ceil(2_000_000 * math.log(1 / fpr) / 64)
    assert bloom_fpr(1_000_000, words, k, "classic") == pytest.approx(achieved, rel=1e-4)


@pytest.mark.parametrize(("hashes", "rate"), [(1, 0.0951626), (3, 0.0174106), (7, 0.00819372), (20, 0.0545701)])
def test_classic_rate_of_the_course(hashes: int, rate: float) -> None:
    # 1000 keys in 10,000 bits; a thousand times both here, where a word's rounding is nothing.
    assert bloom_fpr(1_000_000, 156_250, hashes, "classic") == pytest.approx(rate, rel=1e-4)


@pytest.mark.parametrize(("bits_per_key", "rate"), [(8, 0.0332), (10, 0.0126), (12, 0.0054), (16, 0.00132)])
def test_block_rate_of_the_poisson_model(bits_per_key: int, rate: float) -> None:
    capacity, p = 100_000, 31 / 32
    load = 256 / bits_per_key
    poisson = sum(math.exp(-load + j * math.log(load) - math.lgamma(j + 1)) * (1 - p**j) ** 8 for j in range(1, 400))
    got = bloom_fpr(capacity, capacity * bits_per_key // 256 * 4, 8)
    assert got == pytest.approx(poisson, rel=1e-3)
    assert got == pytest.approx(rate, rel=0.02)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sizes_are_the_least_that_do(layout: str) -> None:
    step = 4 if layout == "block" else 1
    for capacity in (1, 9, 64, 500):
        for fpr in (0.3, 0.01, 1e-5):
            words, hashes = bloom_size(capacity, fpr, layout)
            assert bloom_fpr(capacity, words, hashes, layout) <= fpr
            if words > step:
                assert all(bloom_fpr(capacity, words - step, h, layout) > fpr for h in range(1, 9))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_threads_insert_into_one_bank_and_lose_nothing(layout: str) -> None:
    bits, missing = empty(2, 64), []
    parts = [batch(3000, 2, seed) for seed in range(4)]

    def work(rows: torch.Tensor, keys: torch.Tensor) -> None:
        for start in range(0, 3000, 100):
            part = slice(start, start + 100)
            bloom_insert(bits, rows[part], keys[part], 4, layout=layout, threads=1)
            if not torch.equal(bloom_contains(bits, rows[: start + 100], keys[: start + 100], 4, layout=layout),
                               rows[: start + 100] >= 0):  # fmt: skip
                missing.append(start)

    threads = [threading.Thread(target=work, args=part) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = empty(2, 64)
    for rows, keys in parts:
        bloom_insert(alone, rows, keys, 4, layout=layout)
    assert missing == []
    assert torch.equal(bits.view(torch.int64), alone.view(torch.int64))


def test_int64_bits_are_the_same_bank() -> None:
    rows, keys = batch(50, 3)
    signed = torch.zeros(3, 8, dtype=torch.int64)
    bloom_insert(signed, rows, keys, 8)
    assert torch.equal(bloom_contains(signed.view(torch.uint64), rows, keys, 8), rows >= 0)


@pytest.mark.parametrize("backend", ["reference", "native"])
def test_an_empty_bank_and_an_empty_batch(backend: str) -> None:
    nothing = torch.zeros(0, dtype=torch.int64)
    bloom_insert(empty(0, 4), nothing, nothing, 8, backend=backend)
    nobody = torch.full((5,), -1)
    bloom_insert(empty(0, 4), nobody, torch.arange(5), 8, backend=backend)
    assert not bool(bloom_contains(empty(0, 4), nobody, torch.arange(5), 8, backend=backend).any())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize("bad", [-2, 4, 2**62, -(2**63)])
def test_bad_rows_change_nothing(layout: str, backend: str, bad: int) -> None:
    bits = empty(4, 8)
    rows = torch.zeros(5000, dtype=torch.int64)
    rows[4321] = bad
    with pytest.raises(ValueError, match=f"rows: expected -1 to 3, got {bad}"):
        bloom_insert(bits, rows, rows, 8, layout=layout, backend=backend)
    assert not bool(bits.view(torch.int64).any())
    with pytest.raises(ValueError, match=f"rows: expected -1 to 3, got {bad}"):
        bloom_contains(bits, rows, rows, 8, layout=layout, backend=backend)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"bits": torch.zeros(2, 8)}, TypeError, "bits: expected uint64 or int64, got float32"),
        ({"bits": torch.zeros(8, dtype=torch.uint64)}, ValueError, "bits: expected 2 dimensions"),
        ({"bits": empty(2, 6)}, ValueError, "multiple of 4"),
        ({"bits": empty(8, 4).view(torch.int64).t()}, ValueError, "bits: expected a contiguous"),
        ({"rows": torch.zeros(3)}, TypeError, "rows: expected int64"),
        ({"rows": torch.zeros(4, dtype=torch.int64)}, ValueError, "rows: expected 3 entries"),
        ({"rows": torch.zeros(3, 2, dtype=torch.int64)}, ValueError, "rows: expected 1 dimensions"),
        ({"keys": torch.zeros(3, dtype=torch.bool)}, TypeError, "keys: expected int64"),
        ({"hashes": 0}, ValueError, "hashes: expected 1 to 8"),
        ({"hashes": 9}, ValueError, "hashes: expected 1 to 8"),
        ({"layout": "flat"}, ValueError, "layout: expected block or classic"),
    ],
)
def test_bad_arguments(change: dict[str, object], error: type[Exception], words: str) -> None:
    arguments = {"bits": empty(2, 8), "rows": torch.zeros(3, dtype=torch.int64), "keys": torch.arange(3), "hashes": 8}
    with pytest.raises(error, match=words):
        bloom_insert(**{**arguments, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arguments",
    [
        (0, 0.01),
        (10, 0.0),
        (10, 0.9),
        (10, float("nan")),
        (10, 0.01, "x"),
        (10, 0.01, "block", "slides"),
        (2**40, 0.01),
    ],
)
def test_bad_sizes(arguments: tuple[object, ...]) -> None:
    with pytest.raises(ValueError, match=r"^(capacity|fpr|layout|formula): "):
        bloom_size(*arguments)  # type: ignore[arg-type]


def test_opcheck() -> None:
    bits = torch.zeros(4, 8, dtype=torch.int64)
    rows, keys = batch(20, 4)
    for layout in LAYOUTS:
        tail = (6, layout, "auto", 0)
        torch.library.opcheck(torch.ops.headrace.bloom_insert.default, (bits, rows, keys, *tail))
        torch.library.opcheck(torch.ops.headrace.bloom_contains.default, (bits, rows.unsqueeze(1), keys, *tail))


def asked_lists(layout: str, n: int, seed: int) -> tuple[list[torch.Tensor], list[torch.Tensor], list[int]]:
    """Three banks with some keys below 2000 in them; six lists that ask up to three filters of each."""
    generator = torch.Generator().manual_seed(seed)
    banks, rows, hashes = [], [], [8, 3, 5]
    for words, count in zip((4, 12, 40), hashes, strict=True):
        bits = empty(7, words)
        inserted = torch.randint(0, 2000, (n // 3,), generator=generator)
        bloom_insert(bits, torch.randint(0, 7, (n // 3,), generator=generator), inserted, count, layout=layout)
        banks.append(bits)
        rows.append(torch.randint(-1, 7, (6, len(banks)), generator=generator, dtype=torch.int32))
    return banks, rows, hashes


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n", [0, 1, 33, 97, 1000, 9000])
def test_lists_equal_each_pair_asked_alone(layout: str, n: int) -> None:
    banks, rows, hashes = asked_lists(layout, n, n)
    keys = torch.randint(0, 2000, (n,), generator=torch.Generator().manual_seed(n))
    offsets = torch.tensor([0, n // 3, n // 3, n // 2, n // 2 + n // 5, n, n])
    owner = torch.repeat_interleave(torch.arange(6), offsets.diff())
    expected = torch.zeros(n, dtype=torch.bool)
    for bits, asked, count in zip(banks, rows, hashes, strict=True):
        expected |= bloom_contains(bits, asked.long()[owner], keys, count, layout=layout, backend="reference")
    if n > 30:
        assert 0 < int(expected.sum()) < n
    lists = (banks, rows, hashes, offsets, keys)
    assert torch.equal(bloom_contains_lists(*lists, layout=layout, backend="reference"), expected)
    for level in settings.usable_isas():
        with settings.isa(level):
            for threads in (1, 2, 3):
                assert torch.equal(bloom_contains_lists(*lists, layout=layout, threads=threads), expected)


@pytest.mark.parametrize("backend", ["reference", "native"])
def test_lists_without_banks_or_filters(backend: str) -> None:
    keys, offsets = torch.arange(5), torch.tensor([0, 2, 5])
    assert not bool(bloom_contains_lists([], [], [], offsets, keys, backend=backend).any())
    nobody = torch.full((2, 3), -1, dtype=torch.int32)
    assert not bool(bloom_contains_lists([empty(0, 4)], [nobody], [8], offsets, keys, backend=backend).any())


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"rows": [torch.tensor([[4]], dtype=torch.int32)]}, ValueError, "rows: expected -1 to 3, got 4"),
        ({"rows": [torch.tensor([[-2]], dtype=torch.int32)]}, ValueError, "rows: expected -1 to 3, got -2"),
        ({"rows": [torch.tensor([[1], [1]], dtype=torch.int32)]}, ValueError, "rows: expected 1 lists, got 2"),
        ({"rows": []}, ValueError, "rows: expected one for each bank"),
        ({"rows": [torch.tensor([[1.0]])]}, TypeError, r"rows\[0\]: expected int32"),
        ({"offsets": torch.tensor([0, 2])}, ValueError, "offsets: expected to run from 0 to 3"),
        ({"offsets": torch.zeros(0, dtype=torch.int64)}, ValueError, "offsets: expected at least 1 entry"),
        ({"hashes": [9]}, ValueError, "hashes: expected 1 to 8"),
    ],
)
def test_bad_lists(backend: str, change: dict[str, object], error: type[Exception], words: str) -> None:
    good = {
        "bits": [empty(4, 4)],
        "rows": [torch.tensor([[1]], dtype=torch.int32)],
        "hashes": [8],
        "offsets": torch.tensor([0, 3]),
        "keys": torch.arange(3),
    }
    with pytest.raises(error, match=words):
        bloom_contains_lists(**{**good, **change}, backend=backend)  # type: ignore[arg-type]


def test_lists_as_a_torch_operator() -> None:
    banks, rows, hashes = asked_lists("block", 9, 0)
    arguments = ([bits.view(torch.int64) for bits in banks], rows, hashes, torch.tensor([0, 1, 1, 2, 3, 4, 9]))
    torch.library.opcheck(
        torch.ops.headrace.bloom_contains_lists,
        (*arguments, torch.arange(9), "block", "auto", 0),
        test_utils=("test_schema", "test_faketensor"),
    )
