"""Random lives of a top-k index: after every change, and read back from a file, it answers as a new one would."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from headrace.kernels import TopKIndex


def attempt(seed: int) -> str:
    rng = np.random.default_rng(seed)
    dim, held = int(rng.integers(1, 20)), dict[int, Tensor]()
    metric = ("ip", "cosine", "l2")[rng.integers(3)]
    scan = ("auto", "float32", "bfloat16", "int8")[rng.integers(4)]
    index = TopKIndex(torch.zeros(0, dim), torch.zeros(0, dtype=torch.int64), metric=metric, scan=scan)
    for _ in range(int(rng.integers(1, 8))):
        ids = torch.from_numpy(rng.permutation(400)[: rng.integers(1, 200)])
        items = torch.from_numpy(rng.integers(-3, 4, (len(ids), dim)).astype(np.float32))
        if held and rng.random() < 0.4:
            gone = torch.tensor(sorted(held))[torch.from_numpy(rng.random(len(held)) < 0.3)]
            index.remove(gone)
            held = {name: item for name, item in held.items() if name not in gone.tolist()}
        else:
            index.upsert(items, ids)
            held |= dict(zip(ids.tolist(), items, strict=True))
    names = torch.tensor(sorted(held), dtype=torch.int64)
    vectors = torch.stack([held[name] for name in names.tolist()]) if held else torch.zeros(0, dim)
    queries, k = torch.from_numpy(rng.standard_normal((3, dim)).astype(np.float32)), int(rng.integers(1, 50))
    right = TopKIndex(vectors, names, metric=metric, scan="float32").search(queries, k)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "items.topk"
        index.save(path)
        for one in (index, index.copy(), TopKIndex.load(path), TopKIndex.load(path, mmap=False)):
            assert len(one) == len(held)
            assert all(map(torch.equal, one.search(queries, k), right))
        data = bytearray(path.read_bytes())
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        refusal = str(path)
        try:
            again = TopKIndex.load(path).search(queries, k)
        except ValueError as error:
            refusal = str(error)
        else:
            assert all(map(torch.equal, again, right)), "a flipped bit changed the answer"
        assert str(path) in refusal
    return metric
