import threading

import numpy as np
import pytest
import torch
from bounds import sum_error, within

from headrace.kernels import settings
from headrace.kernels.embedding_bag import EmbeddingTables, embedding_bag

DIMS = (1, 7, 15, 16, 17, 31, 33, 64, 65, 97, 128, 200)
DTYPES = ("float32", "bfloat16", "int8")
Numbers = torch.Tensor


def make(
    dims: tuple[int, ...], batch: int, longest: int, dtype: str | None = None, seed: int = 0
) -> tuple[EmbeddingTables, Numbers, Numbers, Numbers]:
    generator = torch.Generator().manual_seed(seed + batch)
    weights = [torch.randn(5 + 10 * t, dim, generator=generator) for t, dim in enumerate(dims)]
    counts = torch.randint(0, longest + 1, (len(dims), batch), generator=generator)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.flatten().cumsum(0)])
    indices = torch.cat(
        [torch.randint(0, 5 + 10 * t, (int(counts[t].sum()),), generator=generator) for t in range(len(dims))]
    )
    factors = torch.randn(len(indices), generator=generator)
    return EmbeddingTables(weights, dtype), indices, offsets, factors


def brute(
    tables: EmbeddingTables, indices: Numbers, offsets: Numbers, pooling: str, weights: Numbers | None
) -> tuple[np.ndarray, np.ndarray]:
    """The pooling in float64, bag by bag, and the error that float32 sums may make."""
    batch = (len(offsets) - 1) // len(tables.dims)
    out, bound = [], []
    for t in range(len(tables.dims)):
        table = tables.table(t).double().numpy()
        if tables.dtype == "int8":
            _, first, rows, dim, _ = tables.layout[t].tolist()
            start, stride = int(tables.layout[t, 0]), -(-dim // 16) * 16
            whole = tables.values[start : start + rows * stride].view(rows, stride)[:, :dim]
            table = whole.double().numpy() * tables.scales[first : first + rows].double().numpy()[:, None]
        for b in range(batch):
            here = slice(int(offsets[t * batch + b]), int(offsets[t * batch + b + 1]))
            terms = table[indices[here].numpy()]
            if weights is not None:
                terms = terms * weights[here].double().numpy()[:, None]
            size = max(len(terms), 1) if pooling == "mean" else 1
            out.append(terms.sum(0) / size)
            bound.append(sum_error(len(terms), np.abs(terms).sum(0)) / size)
    pick = [[t * batch + b for t in range(len(tables.dims))] for b in range(batch)]
    shape = (batch, tables.width)
    return tuple(  # type: ignore[return-value]
        np.array([np.concatenate([rows[i] for i in row]) for row in pick]).reshape(shape) for rows in (out, bound)
    )


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch", [0, 1, 7, 33])
def test_equals_a_brute_force(backend: str, dtype: str, batch: int) -> None:
    tables, indices, offsets, factors = make(DIMS, batch, 6, dtype)
    for pooling, weights in (("sum", None), ("mean", None), ("sum", factors)):
        pooled = embedding_bag(tables, indices, offsets, pooling=pooling, weights=weights, backend=backend)
        expected, bound = brute(tables, indices, offsets, pooling, weights)
        assert pooled.dtype == torch.float32
        assert pooled.shape == (batch, sum(DIMS))
        assert within(pooled, expected, bound)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("longest", [0, 1, 20])
def test_the_same_bits_for_every_isa_and_thread_count(dtype: str, longest: int) -> None:
    tables, indices, offsets, factors = make((3, 64, 17, 128), 700, longest, dtype)
    for pooling, weights in (("sum", None), ("mean", None), ("sum", factors)):
        answers = []
        for level in settings.usable_isas():
            with settings.isa(level):
                for threads in (1, 2, 3):
                    answers.append(
                        embedding_bag(tables, indices, offsets, pooling=pooling, weights=weights, threads=threads)
                    )
        assert all(torch.equal(answer, answers[0]) for answer in answers)


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize("pooling", ["sum", "mean"])
def test_is_torchs_pooling_table_by_table(backend: str, pooling: str) -> None:
    generator = torch.Generator().manual_seed(5)
    weights = [torch.randn(50, dim, generator=generator) for dim in (8, 64)]
    counts = torch.randint(0, 9, (2, 31), generator=generator)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.flatten().cumsum(0)])
    indices = torch.randint(0, 50, (int(offsets[-1]),), generator=generator)
    pooled = embedding_bag(EmbeddingTables(weights), indices, offsets, pooling=pooling, backend=backend)

    def each(tables: list[torch.Tensor]) -> Numbers:
        pools = [
            torch.nn.functional.embedding_bag(
                indices[offsets[t * 31] : offsets[t * 31 + 31]],
                table.double(),
                offsets[t * 31 : t * 31 + 32] - offsets[t * 31],
                mode=pooling,
                include_last_offset=True,
            )
            for t, table in enumerate(tables)
        ]
        return torch.cat(pools, 1)

    assert within(pooled, each(weights), sum_error(8, each([table.abs() for table in weights])))


def test_int8_rows_keep_the_stated_bound() -> None:
    generator = torch.Generator().manual_seed(2)
    table = torch.randn(300, 40, generator=generator) * torch.logspace(-30, 30, 300).unsqueeze(1)
    table[7] = 0
    tables = EmbeddingTables([table], "int8")
    largest = table.abs().amax(1, keepdim=True).double()
    error = (tables.table(0).double() - table.double()).abs()
    assert bool((error <= largest / 254 * (1 + 2.0**-20)).all())
    assert bool((tables.table(0)[7] == 0).all())
    assert tables.nbytes < EmbeddingTables([table]).nbytes / 3


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_largest_numbers_stay_finite(dtype: str) -> None:
    most = torch.finfo(torch.float32).max
    table = torch.tensor([[most, -most], [3.4028e38, 1.0], [-3.3961775e38, 3.3895e38]])
    tables = EmbeddingTables([table], dtype)
    stored = tables.table(0)
    assert stored.isfinite().all()
    assert bool(((stored - table).abs() <= 2.0**-7 * table.abs().amax(1, keepdim=True)).all())
    for backend in ("reference", "native"):
        pooled = embedding_bag(tables, torch.tensor([0, 1, 2]), torch.arange(4), backend=backend)
        assert torch.equal(pooled, stored)
    if dtype == "bfloat16":
        assert stored[0].tolist() == [torch.finfo(torch.bfloat16).max, -torch.finfo(torch.bfloat16).max]


def test_bfloat16_rows_are_the_nearest() -> None:
    table = torch.randn(100, 33, generator=torch.Generator().manual_seed(3))
    assert torch.equal(EmbeddingTables([table], "bfloat16").table(0), table.bfloat16().float())
    given = EmbeddingTables([table.bfloat16()])
    assert given.dtype == "bfloat16"
    assert torch.equal(given.table(0), table.bfloat16().float())


def test_tables_describe_themselves_and_copy() -> None:
    weights = [torch.ones(3, 5), torch.ones(0, 20), torch.ones(4, 16)]
    tables = EmbeddingTables(weights)
    weights[0].zero_()
    assert (tables.dims, tables.rows, tables.width, tables.dtype) == ((5, 20, 16), (3, 0, 4), 41, "float32")
    assert tables.nbytes == (3 * 16 + 4 * 16) * 4 + tables.layout.nbytes
    assert bool((tables.table(0) == 1).all())
    pooled = embedding_bag(tables, torch.tensor([2, 2, 3]), torch.tensor([0, 2, 2, 3]))
    assert pooled[0].tolist() == [2.0] * 5 + [0.0] * 20 + [1.0] * 16


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize("bad", [-1, 15, 2**62, -(2**63)])
def test_a_bad_index_is_named(backend: str, bad: int) -> None:
    tables, indices, offsets, _ = make((8, 8), 40, 5)
    at = int(offsets[40]) + 3
    indices[at] = bad
    with pytest.raises(ValueError, match=f"indices: expected 0 to 14 in table 1, got {bad} at position {at}"):
        embedding_bag(tables, indices, offsets, backend=backend)


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize(
    "offsets", [[0, 3, 2, 5, 5], [1, 2, 3, 4, 5], [0, 1, 2, 3, 4], [0, 9, 9, 9, 5], [0, -3, 0, 0, 5], [0, 0, -9, 0, 5]]
)
def test_bad_offsets(backend: str, offsets: list[int]) -> None:
    tables = EmbeddingTables([torch.ones(4, 8), torch.ones(4, 8)])
    with pytest.raises(ValueError, match="offsets: expected"):
        embedding_bag(tables, torch.zeros(5, dtype=torch.int64), torch.tensor(offsets), backend=backend)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"indices": torch.zeros(4)}, TypeError, "indices: expected int64"),
        ({"offsets": torch.tensor([0, 2, 4, 4])}, ValueError, r"offsets: expected 2 \* B"),
        ({"offsets": torch.zeros(0, dtype=torch.int64)}, ValueError, "offsets: expected"),
        ({"pooling": "max"}, ValueError, "pooling: expected sum or mean"),
        ({"weights": torch.ones(4, dtype=torch.int64)}, TypeError, "weights: expected float32"),
        ({"weights": torch.ones(3)}, ValueError, "weights: expected 4 entries"),
        ({"weights": torch.ones(4), "pooling": "mean"}, ValueError, "weights: expected None"),
        ({"threads": -1}, ValueError, "threads"),
    ],
)
def test_bad_arguments(change: dict[str, object], error: type[Exception], words: str) -> None:
    arguments: dict[str, object] = {
        "tables": EmbeddingTables([torch.ones(4, 8), torch.ones(4, 8)]),
        "indices": torch.zeros(4, dtype=torch.int64),
        "offsets": torch.tensor([0, 2, 4]),
    }
    with pytest.raises(error, match=words):
        embedding_bag(**{**arguments, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tables", "dtype", "error", "words"),
    [
        ([], None, ValueError, "tables: expected at least 1"),
        ([torch.ones(3)], None, ValueError, r"tables\[0\]: expected shape"),
        ([torch.ones(3, 0)], None, ValueError, r"tables\[0\]: expected shape"),
        ([torch.ones(3, 2).long()], None, TypeError, r"tables\[0\]: expected float32 or bfloat16"),
        ([torch.ones(3, 2), torch.ones(3, 2).bfloat16()], None, ValueError, r"tables\[1\]: expected torch.float32"),
        ([torch.tensor([[1.0, float("nan")]])], None, ValueError, "finite"),
        ([torch.tensor([[1.0, float("inf")]])], "int8", ValueError, "finite"),
        ([torch.ones(3, 2)], "int4", ValueError, "dtype: expected None, float32, bfloat16, int8, got 'int4'"),
    ],
)
def test_bad_tables(tables: list[torch.Tensor], dtype: str | None, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        EmbeddingTables(tables, dtype)


def test_threads_share_one_set_of_tables() -> None:
    tables, indices, offsets, factors = make((16, 33), 64, 9)
    expected, wrong = embedding_bag(tables, indices, offsets, weights=factors), []

    def work() -> None:
        for _ in range(50):
            if not torch.equal(embedding_bag(tables, indices, offsets, weights=factors), expected):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_opcheck() -> None:
    for dtype in DTYPES:
        tables, indices, offsets, factors = make((8, 17), 5, 4, dtype)
        arguments = (tables.values, tables.scales, tables.layout, list(tables.dims), indices, offsets)
        torch.library.opcheck(torch.ops.headrace.embedding_bag.default, (*arguments, factors, "sum", "auto", 0))
        torch.library.opcheck(torch.ops.headrace.embedding_bag.default, (*arguments, None, "mean", "auto", 0))
