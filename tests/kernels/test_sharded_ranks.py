"""Top-k over the ranks of `torch.distributed`: every rank has the answer of one index over everything."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import ranks_script
import torch.distributed as dist
import torch.multiprocessing as mp

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="torch was built without distributed")
LIMIT = 90.0


def test_one_rank(tmp_path: Path) -> None:
    ranks_script.run(0, (100,), str(tmp_path / "store"))


@pytest.mark.rare
@pytest.mark.parametrize("sizes", [(137, 63), (64, 0, 136)])
def test_ranks(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    ranks = mp.spawn(ranks_script.run, (sizes, str(tmp_path / "store")), nprocs=len(sizes), join=False)
    until = time.monotonic() + LIMIT
    try:
        while not ranks.join(timeout=1.0):
            assert time.monotonic() < until, "the ranks hang"
    finally:
        for process in ranks.processes:
            process.kill()
