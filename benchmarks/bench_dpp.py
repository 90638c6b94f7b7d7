"""Greedy DPP and MMR against what a user would write: a padded torch loop and a NumPy loop over requests, in float32.

Run with `pytest benchmarks/bench_dpp.py`. Every answer is checked before it is timed; each row's `extra_info` holds the
case, and rows of one case form a group, so that the report shows their ratio.
"""

import numpy as np
import pytest
import torch

from headrace.kernels import settings
from headrace.kernels.dpp import dpp
from headrace.kernels.mmr import mmr

SIZES = [(200, 64, 50), (500, 64, 80), (1000, 64, 100), (5000, 64, 100)]
#: (batch, n, d, k, window)
CASES = [*((1, *size, 10) for size in SIZES), *((64, *size, 10) for size in SIZES[:3])]
CASES += [(1, *SIZES[1], None), (64, *SIZES[1], None), (256, *SIZES[0], 10), (256, *SIZES[1], 10)]


@pytest.fixture(autouse=True)
def same_threads():
    """The peers get as many threads as the kernel: HEADRACE_THREADS, else the cores of this process."""
    before = torch.get_num_threads()
    torch.set_num_threads(settings.get_threads())
    yield
    torch.set_num_threads(before)


def lists(batch, n, d):
    generator = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(batch * n, d, generator=generator), dim=1)
    return vectors, torch.rand(batch * n, generator=generator), torch.arange(batch + 1) * n


def native(vectors, rewards, offsets, k, window):
    return dpp(vectors, rewards, offsets, k, 0.5, window, backend="native")[0]


def torch_loop(vectors, rewards, offsets, k, window):
    """All requests at once, padded: a kernel column per pick by einsum, and with a window its Cholesky factor anew."""
    batch = len(offsets) - 1
    v, r = vectors.view(batch, -1, vectors.shape[1]), rewards.view(batch, -1)
    each = torch.arange(batch)
    picked = torch.empty(batch, k, dtype=torch.int64)
    taken = torch.zeros_like(r)
    norms = v.square().sum(2)
    d2 = norms
    basis = torch.zeros(batch, window or k, r.shape[1])
    members = torch.zeros(batch, window or k, dtype=torch.int64)
    for t in range(k):
        j = (0.5 * r + 0.5 * d2.clamp_min(1e-6).log() + taken).argmax(1)
        picked[:, t] = j
        taken[each, j] = -torch.inf
        if window is None:
            column = torch.einsum("bd,bnd->bn", v[each, j], v)
            column -= torch.einsum("bt,btn->bn", basis[each, :t, j], basis[:, :t])
            basis[:, t] = column / d2[each, j].clamp_min(1e-6).sqrt()[:, None]
            d2 = d2 - basis[:, t].square()
        else:
            basis[:, t % window] = torch.einsum("bd,bnd->bn", v[each, j], v)
            members[:, t % window] = j
            held = min(t + 1, window)
            columns = basis[:, :held]
            gram = columns.gather(2, members[:, None, :held].expand(-1, held, -1)) + 1e-6 * torch.eye(held)
            whitened = torch.linalg.solve_triangular(torch.linalg.cholesky(gram), columns, upper=False)
            d2 = norms - whitened.square().sum(1)
    return picked


def numpy_loop(vectors, rewards, offsets, k, window):
    """One request after the other, the published fast greedy; with a window, its Cholesky factor anew for each pick."""
    out = np.empty((len(offsets) - 1, k), np.int64)
    for b in range(len(offsets) - 1):
        part = slice(int(offsets[b]), int(offsets[b + 1]))
        v, r = vectors[part].numpy(), 0.5 * rewards[part].numpy()
        norms = (v * v).sum(1)
        d2 = norms.copy()
        basis = np.zeros((window or k, len(r)), np.float32)
        members = np.zeros(window or k, np.int64)
        for t in range(k):
            j = int((r + 0.5 * np.log(np.maximum(d2, 1e-6))).argmax())
            out[b, t] = j
            r[j] = -np.inf
            if window is None:
                basis[t] = (v @ v[j] - basis[:t, j] @ basis[:t]) / np.sqrt(max(d2[j], 1e-6))
                d2 = d2 - basis[t] ** 2
            else:
                basis[t % window] = v @ v[j]
                members[t % window] = j
                held = min(t + 1, window)
                gram = basis[:held, members[:held]] + 1e-6 * np.eye(held, dtype=np.float32)
                d2 = norms - np.square(np.linalg.inv(np.linalg.cholesky(gram)) @ basis[:held]).sum(0)
    return torch.from_numpy(out)


@pytest.mark.parametrize("provider", [native, torch_loop, numpy_loop], ids=lambda f: f.__name__)
@pytest.mark.parametrize("case", CASES, ids=lambda c: "B{}-n{}-d{}-k{}-w{}".format(*c))
def bench_dpp(benchmark, case, provider):
    batch, n, d, k, window = case
    arguments = (*lists(batch, n, d), k, window)
    expected = native(*arguments)
    same = (provider(*arguments) == expected).float().mean()
    # A peer in float32 may turn off at a near tie, and goes its own way from there.
    assert same == 1 or provider is not native
    benchmark.group = f"dpp {case}"
    benchmark.extra_info.update(batch=batch, n=n, d=d, k=k, window=window, same_picks=round(float(same), 4))
    benchmark.extra_info.update(threads=settings.get_threads(), isa=settings.get_isa())
    benchmark.pedantic(provider, arguments, rounds=10 if provider is native else 3)


def mmr_native(vectors, rewards, offsets, k, window):
    return mmr(vectors, rewards, offsets, k, 0.5, window, backend="native")[0]


def mmr_torch_loop(vectors, rewards, offsets, k, window):
    batch = len(offsets) - 1
    v, r = vectors.view(batch, -1, vectors.shape[1]), 0.5 * rewards.view(batch, -1)
    each = torch.arange(batch)
    picked = torch.empty(batch, k, dtype=torch.int64)
    columns = []
    for t in range(k):
        j = (r - 0.5 * torch.stack(columns[-window:]).amax(0) if columns else r).argmax(1)
        picked[:, t] = j
        r[each, j] = -torch.inf
        columns.append(torch.einsum("bd,bnd->bn", v[each, j], v))
    return picked


@pytest.mark.parametrize("provider", [mmr_native, mmr_torch_loop], ids=lambda f: f.__name__)
@pytest.mark.parametrize("batch", [1, 64])
def bench_mmr(benchmark, batch, provider):
    arguments = (*lists(batch, 500, 64), 80, 10)
    same = (provider(*arguments) == mmr_native(*arguments)).float().mean()
    assert same > 0.9
    benchmark.group = f"mmr B{batch}"
    benchmark.extra_info.update(batch=batch, n=500, d=64, k=80, window=10, same_picks=round(float(same), 4))
    benchmark.extra_info.update(threads=settings.get_threads(), isa=settings.get_isa())
    benchmark.pedantic(provider, arguments, rounds=10 if provider is mmr_native else 3)
