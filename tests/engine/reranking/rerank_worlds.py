"""A catalogue and lists of its items, for the tests of re-ranking."""

import numpy as np
import torch

from headrace.data import Catalogue, IdMap, Jagged
from headrace.jagged import offsets_of
from headrace.types import Candidates

N = 400


def catalogue():
    rng = np.random.default_rng(3)
    return Catalogue(
        IdMap(np.arange(N)),
        author=rng.integers(0, 40, N).astype(np.int32),
        category=Jagged(np.arange(N + 1), rng.integers(0, 6, N).astype(np.int32)),
        marked=rng.random(N) < 0.2,
    )


def candidates(counts, seed=0):
    generator = torch.Generator().manual_seed(seed)
    item = torch.cat([torch.randperm(N, generator=generator)[:c] for c in counts])
    score = torch.randn(len(item), generator=generator) * 3 + 7
    offsets = offsets_of(torch.tensor(counts))
    return Candidates(offsets, item, score, torch.ones_like(item), {"tag": torch.arange(len(item))})
