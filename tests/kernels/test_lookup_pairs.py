import pytest
import torch

from headrace.kernels.lookup_pairs import PairTable, lookup_pairs

BACKENDS = ("reference", "native")
ITEMS, LISTS = 40, 11


def table(width: int, by_item: bool, longest: int, seed: int = 0) -> PairTable:
    generator = torch.Generator().manual_seed(seed)
    lists = ITEMS if by_item else LISTS
    counts = torch.randint(0, longest + 1, (lists,), generator=generator)
    codes = [torch.randperm(longest + 3, generator=generator)[: int(n)].sort().values for n in counts]
    item_code = torch.randint(-1, longest + 5, (ITEMS,), generator=generator).int()
    rows = torch.randn(int(counts.sum()) + 1, width, generator=generator)
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return PairTable(offsets, torch.cat([counts[:0], *codes]).int(), rows, None if by_item else item_code)


def brute(tables: list[PairTable], keys: torch.Tensor, offsets: torch.Tensor, item: torch.Tensor) -> list[list[float]]:
    out = []
    for b in range(len(offsets) - 1):
        for i in item[int(offsets[b]) : int(offsets[b + 1])].tolist():
            row: list[float] = []
            for t, one in enumerate(tables):
                key = int(keys[t, b])
                first, second = (i, key) if one.item_code is None else (key, int(one.item_code[i]))
                start = int(one.offsets[first]) if first >= 0 else 0
                codes = one.codes[start : int(one.offsets[first + 1])].tolist() if first >= 0 else []
                found = start + codes.index(second) + 1 if second >= 0 and second in codes else 0
                row += one.rows[found].tolist()
            out.append(row)
    return out


def asked(tables: list[PairTable], batch: int, longest: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(batch)
    counts = torch.randint(0, longest + 1, (batch,), generator=generator)
    item = torch.randint(0, ITEMS, (int(counts.sum()),), generator=generator)
    keys = torch.randint(-1, LISTS, (len(tables), batch), generator=generator)
    return keys, torch.cat([counts.new_zeros(1), counts.cumsum(0)]), item


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("batch", [0, 1, 7, 33])
@pytest.mark.parametrize("longest", [0, 1, 9, 300])
def test_equals_a_brute_force(backend: str, batch: int, longest: int) -> None:
    tables = [table(4, False, longest), table(1, True, 6, 1), table(7, False, 3, 2), table(4, True, longest, 3)]
    for candidates in (1, 65):
        keys, offsets, item = asked(tables, batch, candidates)
        got = lookup_pairs(tables, keys, offsets, item, backend=backend)
        expected = torch.tensor(brute(tables, keys, offsets, item)).view(len(item), 16)
        assert torch.equal(got, expected)


def test_the_same_for_every_thread_count() -> None:
    tables = [table(4, False, 200), table(4, True, 5, 1)]
    keys, offsets, item = asked(tables, 100, 200)
    expected = lookup_pairs(tables, keys, offsets, item, threads=1)
    for threads in (2, 3):
        assert torch.equal(lookup_pairs(tables, keys, offsets, item, threads=threads), expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_code_that_no_list_has_is_no_error(backend: str) -> None:
    one = table(2, True, 4)
    keys = torch.tensor([[2**40, 2**31 - 1]])
    got = lookup_pairs([one], keys, torch.tensor([0, 2, 3]), torch.tensor([0, 1, 2]), backend=backend)
    assert torch.equal(got, one.rows[:1].expand(3, 2))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"tables": []}, ValueError, "tables: expected at least 1"),
        ({"keys": torch.zeros(2, 2, dtype=torch.int64)}, ValueError, r"keys: expected shape \(1, 2\)"),
        ({"keys": torch.zeros(1, 2)}, TypeError, "keys: expected int64"),
        ({"keys": torch.tensor([[0, LISTS]])}, ValueError, f"key: expected -1 to {LISTS - 1}, got {LISTS}"),
        ({"keys": torch.tensor([[-2, 0]])}, ValueError, f"key: expected -1 to {LISTS - 1}, got -2"),
        ({"item": torch.tensor([0, 1, ITEMS])}, ValueError, f"item: expected 0 to {ITEMS - 1}"),
        ({"item": torch.tensor([0, 1, -1])}, ValueError, f"item: expected 0 to {ITEMS - 1}"),
        ({"offsets": torch.tensor([0, 2, 1])}, ValueError, "offsets: expected to run from 0 to 3"),
        ({"offsets": torch.tensor([0, 5, 3])}, ValueError, "offsets: expected no falling"),
    ],
)
def test_bad_arguments(backend: str, change: dict[str, object], error: type[Exception], words: str) -> None:
    good = {"tables": [table(4, False, 9)], "keys": torch.tensor([[1, -1]])}
    good |= {"offsets": torch.tensor([0, 2, 3]), "item": torch.tensor([0, 1, 2])}  # type: ignore[dict-item]
    with pytest.raises(error, match=words):
        lookup_pairs(**{**good, **change}, backend=backend)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"codes": torch.tensor([1, 1, 0]).int()}, ValueError, "codes: expected at least 0, rising"),
        ({"codes": torch.tensor([-1, 1, 0]).int()}, ValueError, "codes: expected at least 0, rising"),
        ({"codes": torch.tensor([0.0, 1.0, 0.0])}, TypeError, "codes: expected int32"),
        ({"rows": torch.ones(3, 2)}, ValueError, "rows: expected 4, one more than codes, got 3"),
        ({"offsets": torch.tensor([0, 2, 2])}, ValueError, "offsets: expected to run from 0 to 3"),
        ({"item_code": torch.zeros(3)}, TypeError, "item_code: expected int32"),
    ],
)
def test_bad_tables(change: dict[str, torch.Tensor], error: type[Exception], words: str) -> None:
    good = {"offsets": torch.tensor([0, 0, 2, 2, 3, 3]), "codes": torch.tensor([0, 1, 0]).int()}
    good |= {"rows": torch.ones(4, 2), "item_code": torch.zeros(3, dtype=torch.int32)}
    PairTable(**good)
    with pytest.raises(error, match=words):
        PairTable(**{**good, **change})


def test_as_a_torch_operator() -> None:
    tables = [table(4, False, 9), table(2, True, 3)]
    keys, offsets, item = asked(tables, 3, 5)
    parts = ([t.offsets for t in tables], [t.codes for t in tables], [t.rows for t in tables])
    arguments = (*parts, [t.item_code for t in tables], keys, offsets, item, "auto", 0)
    torch.library.opcheck(torch.ops.headrace.lookup_pairs, arguments, test_utils=("test_schema", "test_faketensor"))
