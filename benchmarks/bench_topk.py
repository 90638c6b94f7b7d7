"""Exact top-k against what a user would write (a torch matrix product and torch.topk, float32) and against FAISS Flat.

Run with `pytest benchmarks/bench_topk.py`. FAISS runs tuned (`distance_compute_blas_threshold = 20`): by default it
leaves BLAS out for batches below 1000 and is far slower. Every answer is checked before it is timed. Rows of one case
form a group, so that the report shows their ratio; `extra_info` holds the case and the rates reached.
"""

from functools import cache

import numpy as np
import pytest
import torch

from headrace.kernels import settings
from headrace.kernels.topk import topk

DIM = 64
#: (batch, items, k)
CASES = [(b, n, k) for n in (100_000, 1_000_000) for b in (1, 16, 64, 256) for k in (100, 1000)]


@pytest.fixture(autouse=True)
def same_threads():
    """The peers get as many threads as the kernel: HEADRACE_THREADS, else the cores of this process."""
    before = torch.get_num_threads()
    torch.set_num_threads(settings.get_threads())
    yield
    torch.set_num_threads(before)


@cache
def vectors(n, seed):
    return torch.randn(n, DIM, generator=torch.Generator().manual_seed(seed))


def native(queries, items, k):
    return topk(queries, items, k, backend="native")[1]


def torch_product(queries, items, k):
    return torch.topk(queries @ items.T, k).indices


@cache
def first_answers(batch, n, k):
    """Ids of at most 4 queries by a float64 matrix product."""
    return torch.topk(vectors(batch, 1)[:4].double() @ vectors(n, 0).double().T, k).indices


@cache
def flat_index(n):
    faiss = pytest.importorskip("faiss")
    faiss.cvar.distance_compute_blas_threshold = 20
    faiss.omp_set_num_threads(settings.get_threads())
    index = faiss.IndexFlatIP(DIM)
    index.add(vectors(n, 0).numpy())
    return index


def faiss_tuned(queries, items, k):
    return torch.from_numpy(flat_index(len(items)).search(queries.numpy(), k)[1])


def reference(queries, items, k):
    return topk(queries, items, k, backend="reference")[1]


def measure(benchmark, case, provider, rounds):
    batch, n, k = case
    queries, items = vectors(batch, 1), vectors(n, 0)
    same = (provider(queries, items, k)[:4] == first_answers(*case)).double().mean()
    # Peers that rank in float32 swap near ties.
    assert same == 1 if provider in (native, reference) else same > 0.98
    benchmark.group = f"topk B{batch} N{n} k{k}"
    benchmark.pedantic(provider, (queries, items, k), rounds=rounds)
    benchmark.extra_info.update(batch=batch, items=n, dim=DIM, k=k, same_ids=round(float(same), 4))
    benchmark.extra_info.update(threads=settings.get_threads(), isa=settings.get_isa())
    if benchmark.stats:
        seconds = benchmark.stats.stats.median
        benchmark.extra_info["gflops"] = round(2 * batch * n * DIM / seconds / 1e9, 1)
        benchmark.extra_info["gbytes_per_s"] = round(4 * n * DIM / seconds / 1e9, 1)


@pytest.mark.parametrize("provider", [native, torch_product, faiss_tuned], ids=lambda f: f.__name__)
@pytest.mark.parametrize("case", CASES, ids=lambda c: "B{}-N{}-k{}".format(*c))
def bench_topk(benchmark, case, provider):
    measure(benchmark, case, provider, rounds=2 if case[0] * case[1] > 10**8 else 5)


@pytest.mark.parametrize("provider", [native, reference], ids=lambda f: f.__name__)
def bench_reference(benchmark, provider):
    measure(benchmark, (4, 100_000, 100), provider, rounds=3)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1, 0.01])
def bench_mask(benchmark, share):
    """One mask for all: items that it excludes cost nothing."""
    queries, items = vectors(64, 1), vectors(1_000_000, 0)
    allowed = np.random.default_rng(2).random(len(items)) < share
    mask = torch.from_numpy(np.packbits(allowed, bitorder="little").view(np.uint64))
    rows = torch.from_numpy(np.flatnonzero(allowed))
    found = topk(queries, items, 100, mask=mask)[1]
    assert torch.equal(found[:4], rows[torch.topk(queries[:4].double() @ items[rows].double().T, 100).indices])
    benchmark.group = "topk B64 N1000000 k100, one mask"
    benchmark.extra_info.update(allowed=share, threads=settings.get_threads(), isa=settings.get_isa())
    benchmark.pedantic(topk, (queries, items, 100), {"mask": mask}, rounds=5)
