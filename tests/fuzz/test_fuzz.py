"""A short fuzz of every subject, from seeds that stay. `make fuzz` takes fresh ones, for as long as it is told."""

from __future__ import annotations

import importlib

import pytest
from fuzz import main, subjects

#: Attempts at each subject, some seconds of them.
ATTEMPTS = {"indexes": 40, "logs": 4, "ops": 600, "serving": 200, "snapshots": 12}


@pytest.mark.parametrize("subject", subjects())
def test_a_short_fuzz_finds_nothing(subject: str) -> None:
    attempt = importlib.import_module(subject).attempt
    for seed in range(ATTEMPTS[subject]):
        attempt(seed)


def test_a_fault_is_told_with_its_seed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def attempt(seed: int) -> str:
        assert seed != 8, "eight"
        return "counting"

    monkeypatch.setattr("ops.attempt", attempt)
    monkeypatch.setattr("sys.argv", ["fuzz.py", "ops", "--seed", "7", "--count", "3"])
    assert main() == 1
    told = capsys.readouterr()
    assert "again: python tests/fuzz/fuzz.py ops --count 1 --seed 8" in told.out
    assert "2  ops: counting" in told.out
    assert "eight" in told.err
