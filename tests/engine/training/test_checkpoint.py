"""Checkpoints that are damaged are told from good ones, and a full disk is told as one."""

from __future__ import annotations

import errno
import os
import resource
import signal
from pathlib import Path

import pytest
import torch
from forked import ended, forked
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from headrace.training.checkpoint import read_checkpoint, write_checkpoint
from headrace.training.loop import fit
from headrace.training.settings import TrainSettings

STATE = {"weights": torch.arange(500.0), "steps": 3, "settings": {"rate": 0.1, "names": ["a", "b"]}}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("checkpoint") / "net.pt"
    write_checkpoint(path, STATE)
    return path.read_bytes()


def trained(checkpoint: Path | None) -> nn.Linear:
    torch.manual_seed(1)
    model = nn.Linear(3, 1)
    x = torch.randn(40, 3)
    fit(model, 40, lambda rows: model(x[rows]).square().mean(), TrainSettings(epochs=2, batch_size=8),
        label="net", checkpoint=checkpoint)  # fmt: skip
    return model


def test_round_trip(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "deep" / "net.pt", STATE)
    back = read_checkpoint(tmp_path / "deep" / "net.pt")
    assert torch.equal(back.pop("weights"), STATE["weights"])
    assert back == {name: value for name, value in STATE.items() if name != "weights"}
    assert os.listdir(tmp_path / "deep") == ["net.pt"]
    assert (tmp_path / "deep" / "net.pt").stat().st_mode & 0o077 == 0o666 & ~_umask() & 0o077


def _umask() -> int:
    before = os.umask(0)
    os.umask(before)
    return before


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_every_flipped_bit_is_found(
    written: bytes, tmp_path_factory: pytest.TempPathFactory, place: float, bit: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "flipped.pt"
    damaged = bytearray(written)
    damaged[int(place * len(damaged))] ^= 1 << bit
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"flipped\.pt: cut short, damaged, or not a checkpoint"):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"headrace-trained", b"not a checkpoint", None])
def test_a_run_with_a_damaged_checkpoint_says_so_and_starts_anew(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "net.pt"
    expected = trained(path)
    path.write_bytes(path.read_bytes()[:-700] if content is None else content)
    with pytest.warns(UserWarning, match=r"net\.pt: cut short, damaged, .*; net is trained from the start"):
        again = trained(path)
    assert torch.equal(again.weight, expected.weight)
    read_checkpoint(path)


def test_a_plain_file_of_torch_is_no_checkpoint(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "net.pt")
    with pytest.raises(ValueError, match="not a checkpoint"):
        read_checkpoint(tmp_path / "net.pt")


@pytest.mark.parametrize("room", [0, 100, 4096])
def test_a_full_disk_is_told_and_the_old_checkpoint_stays(tmp_path: Path, room: int) -> None:
    path = tmp_path / "net.pt"
    write_checkpoint(path, {"steps": 1})

    def filled() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        with pytest.raises(OSError, match=r"net\.pt") as caught:
            write_checkpoint(path, {"weights": torch.zeros(5000)})
        assert caught.value.errno == errno.EFBIG
        assert caught.value.filename == str(path)

    assert ended(forked(filled)) == 0
    assert read_checkpoint(path) == {"steps": 1}
    assert os.listdir(tmp_path) == ["net.pt"]
