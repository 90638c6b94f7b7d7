"""What exact top-k on a GPU must answer, by every scan."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.benchmarks.gpu.site import Check, Site, equal, refused
from headrace.kernels.topk import METRICS, topk

PACKED = ("bfloat16", "int8")


def pack(items: Tensor, metric: str, scan: str) -> Tensor:
    from headrace.kernels.topk.packed_gpu import pack as packed  # needs triton

    return packed(items, metric, scan)


def search_packed(
    queries: Tensor, items: Tensor, packed: Tensor, k: int, metric: str, scan: str, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores, ids, _ = torch.ops.headrace.topk_packed(queries, items, packed, len(items), k, metric, scan, mask, "gpu", 0)
    return scores, ids


def _same(queries: Tensor, items: Tensor, k: int, metric: str, mask: Tensor | None = None) -> None:
    found = topk(queries, items, k, metric, mask, backend="gpu")
    expected = topk(queries, items, k, metric, mask, backend="reference")
    equal(f"{metric} ids", found[1], expected[1])
    equal(f"{metric} scores", found[0], expected[0])


def _same_packed(queries: Tensor, items: Tensor, k: int, metric: str, mask: Tensor | None = None) -> None:
    expected = torch.ops.headrace.topk(queries, items, k, metric, mask, "reference", 0)
    for scan in PACKED:
        scores, ids = search_packed(queries, items, pack(items, metric, scan), k, metric, scan, mask)
        equal(f"{scan} {metric} ids", ids, expected[1])
        equal(f"{scan} {metric} scores", scores, expected[0])


def awkward(site: Site) -> str:
    sizes = [(1, 1, 1, 1), (3, 97, 7, 100), (17, 5000, 33, 20), (2, 65537, 16, 4)]
    sizes = sizes[: site.size(4, 2)]  # the interpreter is slow
    for metric in METRICS:
        for batch, items, dim, k in sizes:
            _same(site.normal(batch, dim, seed=1), site.normal(items, dim, seed=2), k, metric)
    return f"ids and scores equal at {len(sizes)} sizes, {', '.join(METRICS)}"


def realistic(site: Site) -> str:
    batch, items, dim, k = site.size(17, 2), site.size(1_000_003, 140), site.size(64, 8), site.size(100, 5)
    for metric in METRICS:
        _same(site.normal(batch, dim, seed=1), site.normal(items, dim, seed=2), k, metric)
    return f"ids and scores equal, B {batch}, N {items}, d {dim}, k {k}"


def ties(site: Site) -> str:
    count = site.size(20_000, 70)
    _same(site.integers(-2, 3, 5, 9).float(), site.integers(-2, 3, count, 9, seed=1).float(), 50, "ip")
    _same(torch.ones(2, 4, device=site.device), torch.ones(count, 4, device=site.device), 5, "ip")
    _same(torch.zeros(1, 4, device=site.device), site.normal(count, 4), 5, "cosine")
    return "equal scores go to the lower id"


def extremes(site: Site) -> str:
    queries, items = site.normal(3, 8), site.normal(site.size(5000, 40), 8, seed=1)
    for metric in METRICS:
        _same(queries * 1e15, items * 1e18, 7, metric)
        _same(queries, items * 1e-25, 7, metric)
    return "large and tiny numbers"


def masks(site: Site) -> str:
    count = site.size(100_001, 70)
    words = -(-count // 64)
    queries, items = site.normal(5, 24), site.normal(count, 24, seed=1)
    for shape in ((words,), (5, words)):
        mask = site.integers(-(2**63), 2**63 - 1, *shape, seed=2)
        for k in (10, 300):
            _same(queries, items, k, "ip", mask)
    _same(queries, items, 10, "l2", torch.zeros(words, dtype=torch.int64, device=site.device))
    return "one mask for all, one each, and one that allows nothing"


def strided(site: Site) -> str:
    _same(site.normal(7, 5).T, site.normal(7, site.size(3000, 90)).T, 9, "ip")
    _same(site.normal(5, 14)[:, ::2], site.normal(90, 7)[::2], 9, "l2")
    return "transposed and strided inputs"


def empty(site: Site) -> str:
    for batch, items in ((0, 10), (3, 0), (0, 0)):
        _same(site.normal(batch, 4), site.normal(items, 4), 3, "ip")
    return "no queries, no items"


def not_finite(site: Site) -> str:
    for value in (torch.nan, torch.inf):
        for name, row in (("queries", 1), ("items", 70)):
            queries, items = site.normal(3, 4), site.normal(site.size(5000, 75), 4, seed=1)
            (queries if name == "queries" else items)[row, 2] = value
            words = f"{name}: expected finite values, got NaN or infinity in row {row}"
            refused(words, lambda q=queries, x=items: topk(q, x, 3, backend="gpu"))  # type: ignore[misc]
    return "NaN and infinity are named"


def packed_awkward(site: Site) -> str:
    sizes = [(1, 1, 1, 1), (3, 97, 7, 100), (200, 5000, 33, 20), (2, 65537, 300, 4)]
    sizes = sizes[: site.size(4, 2)]
    for metric in METRICS:
        for batch, items, dim, k in sizes:
            _same_packed(site.normal(batch, dim, seed=1), site.normal(items, dim, seed=2), k, metric)
    return f"ids and scores equal at {len(sizes)} sizes, {', '.join(METRICS)}, {', '.join(PACKED)}"


def packed_realistic(site: Site) -> str:
    items, dim, k = site.size(1_000_003, 140), site.size(128, 8), site.size(100, 5)
    for batch in (1,) if site.small else (1, 64, 300):
        _same_packed(site.normal(batch, dim, seed=1), site.normal(items, dim, seed=2), k, "ip")
    return f"ids and scores equal, N {items}, d {dim}, k {k}"


def packed_masks_and_ties(site: Site) -> str:
    count = site.size(100_001, 70)
    words = -(-count // 64)
    queries, items = site.normal(5, 24), site.normal(count, 24, seed=1)
    for shape in ((words,), (5, words)):
        _same_packed(queries, items, 10, "l2", site.integers(-(2**63), 2**63 - 1, *shape, seed=2))
    _same_packed(torch.ones(2, 4, device=site.device), torch.ones(count, 4, device=site.device), 5, "ip")
    _same_packed(queries * 1e25, items * torch.logspace(-30, 10, count, device=site.device).unsqueeze(1), 5, "ip")
    return "masks, all items equal, lengths of all sizes"


def captured(site: Site) -> str:
    """A call in a CUDA graph, replayed with other queries."""
    queries, items = site.normal(4, 32), site.normal(site.size(50_000, 200), 32, seed=1)
    packed = pack(items, "ip", "bfloat16")
    others = site.normal(4, 32, seed=3)
    expected = torch.ops.headrace.topk(others, items, 10, "ip", None, "reference", 0)
    answer = search_packed(queries, items, packed, 10, "ip", "bfloat16")  # compiles
    if site.device.type == "cuda":
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            answer = search_packed(queries, items, packed, 10, "ip", "bfloat16")
        queries.copy_(others)
        graph.replay()
        torch.cuda.synchronize()
        equal("ids", answer[1], expected[1])
        equal("scores", answer[0], expected[0])
        return "a captured call answers other queries"
    equal("shape", torch.tensor(answer[1].shape), torch.tensor(expected[1].shape))
    return "not captured: no GPU"


CHECKS = (
    Check("topk", "awkward sizes", awkward),
    Check("topk", "realistic size", realistic),
    Check("topk", "ties", ties),
    Check("topk", "extreme numbers", extremes),
    Check("topk", "masks", masks),
    Check("topk", "strided inputs", strided),
    Check("topk", "empty", empty),
    Check("topk", "not finite", not_finite),
    Check("topk_packed", "awkward sizes", packed_awkward),
    Check("topk_packed", "realistic size", packed_realistic),
    Check("topk_packed", "masks, ties, lengths", packed_masks_and_ties),
    Check("topk_packed", "CUDA graph", captured),
)
