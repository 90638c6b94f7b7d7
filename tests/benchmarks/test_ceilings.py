"""Ceilings: complete and sane for every instruction set; `limit` against numbers worked by hand."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from headrace.benchmarks.harness import ceilings, ceilings_gpu
from headrace.benchmarks.harness.caches import Cache, data_caches
from headrace.benchmarks.harness.ceilings import Ceiling, limit
from headrace.kernels import settings
from headrace.kernels.work import Work

BRIEF = 0.002
NAMES = {"read", "copy", "random read", "random read, 256-byte rows"} | {f"matrix {n}" for n in ceilings.NUMBERS}


@pytest.fixture(autouse=True)
def small_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings, "_far_bytes", lambda caches, threads: 1 << 22)
    ceilings._measured.cache_clear()


@pytest.mark.parametrize("level", settings.usable_isas())
def test_every_level_gives_every_ceiling(level: str) -> None:
    with settings.isa(level):
        found = ceilings.measure([1, 2], BRIEF)
    assert {(c.name, c.threads) for c in found if c.fits is None} == {(n, t) for n in NAMES for t in (1, 2)}
    for ceiling in found:
        assert math.isfinite(ceiling.value), ceiling
        assert ceiling.value > 0, ceiling
        assert ceiling.unit == ("GFLOP/s" if ceiling.name.startswith("matrix") else "GB/s")
        assert ceiling.how
    how = {c.name: c.how for c in found}
    assert level == "scalar" or {"avx2": "AVX2"}.get(level, "AVX-512") in how["matrix float32"]
    if level == "amx":
        assert how["matrix bfloat16"] == "AMX tdpbf16ps"
        assert how["matrix int8"] == "AMX tdpbusd"


def test_answers_are_kept() -> None:
    first = ceilings.measure([1], BRIEF)
    assert ceilings.measure([1, 1], BRIEF) == first


def test_bad_input() -> None:
    for counts in ([], [0], [-1, 2]):
        with pytest.raises(ValueError, match=r"^threads: expected"):
            ceilings.measure(counts, BRIEF)
    for seconds in (0.0, -1.0, math.nan, 61.0):
        with pytest.raises(ValueError, match=r"^seconds: expected"):
            ceilings.measure([1], seconds)


MACHINE = [
    Ceiling("read", "GB/s", 2, 40.0, "by hand"),
    Ceiling("copy", "GB/s", 2, 60.0, "by hand"),
    Ceiling("random read", "GB/s", 2, 8.0, "by hand"),
    Ceiling("random read, 256-byte rows", "GB/s", 2, 16.0, "by hand"),
    Ceiling("read, in L2", "GB/s", 2, 200.0, "by hand", fits=2_000_000),
    Ceiling("read, in L3", "GB/s", 2, 100.0, "by hand", fits=32_000_000),
    Ceiling("random read, in L3", "GB/s", 2, 80.0, "by hand", fits=32_000_000),
    Ceiling("matrix float32", "GFLOP/s", 2, 200.0, "by hand"),
    Ceiling("matrix int8", "GFLOP/s", 2, 800.0, "by hand"),
    Ceiling("read", "GB/s", 1, 20.0, "by hand"),
]


@pytest.mark.parametrize(
    ("work", "touched", "name", "seconds"),
    [
        # 400 MB / 40 GB/s = 10 ms against 200 MFLOP / 200 GFLOP/s = 1 ms
        (Work(2e8, 4e8), None, "read", 0.010),
        (Work(4e9, 4e8), None, "matrix float32", 0.020),
        (Work(4e9, 1e8, "int8"), None, "matrix int8", 0.005),
        (Work(0, 4e8, random=True), None, "random read, 256-byte rows", 0.025),
        # the same gathers from a table of 16 MB
        (Work(0, 4e8, random=True), 16e6, "random read, in L3", 0.005),
        (Work(0, 2e6), None, "read, in L2", 1e-5),
        (Work(0, 2e6 + 1), None, "read, in L3", 2e-5),
        (Work(0, 0), None, "read, in L2", 0.0),
    ],
)
def test_limit_by_hand(work: Work, touched: float | None, name: str, seconds: float) -> None:
    found, at_best = limit(replace(work, touched=touched), MACHINE, 2)
    assert found == name
    assert at_best == pytest.approx(seconds, rel=1e-4)


def test_limit_by_hand_on_one_thread() -> None:
    assert limit(Work(0, 1e9, "bfloat16"), MACHINE, 1) == ("read", 0.05)


def test_limit_says_what_was_not_measured() -> None:
    with pytest.raises(ValueError, match="no ceiling was measured for 3"):
        limit(Work(1, 1), MACHINE, 3)
    with pytest.raises(ValueError, match="no matrix rate was measured for bfloat16"):
        limit(Work(1, 1, "bfloat16"), MACHINE, 2)
    with pytest.raises(ValueError, match="expected one for reading"):
        limit(Work(0, 1, random=True), MACHINE, 1)


def test_caches_of_a_made_up_machine(tmp_path: Path) -> None:
    kinds = [
        ("Data", 1, "32K", "0"),
        ("Instruction", 1, "32K", "0"),
        ("Unified", 2, "2M", "0"),
        ("Unified", 3, "7", ""),
    ]
    for n, values in enumerate(kinds):
        folder = tmp_path / f"cpu{min(os.sched_getaffinity(0))}" / "cache" / f"index{n}"
        folder.mkdir(parents=True)
        for name, value in zip(("type", "level", "size", "shared_cpu_list"), values, strict=True):
            (folder / name).write_text(f"{value}\n")
    found = data_caches(tmp_path)
    assert [(c.level, c.size) for c in found] == [(1, 32 << 10), (2, 2 << 20)]
    assert data_caches(tmp_path / "none") == []
    assert [Cache(3, 100, 4).bytes_for(threads) for threads in (1, 4, 5, 8)] == [100, 100, 200, 200]


def test_a_device_gives_the_same_names() -> None:
    before = torch.get_float32_matmul_precision()
    found = ceilings_gpu.measure("cpu", seconds=0.001, bytes_moved=1 << 16, size=64)
    assert [c.name for c in found] == ["read", "copy", "random read", *(f"matrix {n}" for n in ceilings.NUMBERS)]
    assert all(math.isfinite(c.value) and c.value > 0 and c.threads == 0 and c.how for c in found)
    assert limit(Work(1e9, 1e6, "int8"), found, 0)[1] > 0
    assert torch.get_float32_matmul_precision() == before
