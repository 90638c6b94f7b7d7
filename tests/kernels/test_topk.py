"""top-k: every backend and instruction set against a float64 brute force."""

from __future__ import annotations

import threading
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from topk_vectors import normal
from torch import Tensor

from headrace.kernels import settings
from headrace.kernels.topk import METRICS, topk

CPU_BACKENDS = ("reference", "native")


def brute_force(
    queries: Tensor, items: Tensor, k: int, metric: str, allowed: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Independent of the reference: NumPy float64, lexsort by falling score then rising id."""
    q, x = queries.numpy().astype(np.float64), items.numpy().astype(np.float64)
    scores = -((q[:, None, :] - x[None, :, :]) ** 2).sum(2) if metric == "l2" else np.einsum("bd,nd->bn", q, x)
    if metric == "cosine":
        lengths = np.outer(np.linalg.norm(q, axis=1), np.linalg.norm(x, axis=1))
        scores = np.divide(scores, lengths, out=np.zeros_like(scores), where=lengths > 0)
    best_scores = np.full((len(q), k), -np.inf)
    best_ids = np.full((len(q), k), -1, dtype=np.int64)
    for b in range(len(q)):
        rows = np.arange(len(x)) if allowed is None else np.flatnonzero(np.broadcast_to(allowed, scores.shape)[b])
        order = rows[np.lexsort((rows, -scores[b, rows]))][:k]
        best_scores[b, : len(order)], best_ids[b, : len(order)] = scores[b, order], order
    return best_scores, best_ids


def bitset(allowed: np.ndarray) -> Tensor:
    """uint64 words from bool [..., N]."""
    padded = np.zeros((*allowed.shape[:-1], -(-allowed.shape[-1] // 64) * 64), dtype=bool)
    padded[..., : allowed.shape[-1]] = allowed
    return torch.from_numpy(np.packbits(padded, axis=-1, bitorder="little").view(np.uint64))


def check_against_brute_force(
    queries: Tensor,
    items: Tensor,
    k: int,
    metric: str,
    backend: str,
    threads: int = 0,
    allowed: np.ndarray | None = None,
) -> None:
    mask = None if allowed is None else bitset(allowed)
    scores, ids = topk(queries, items, k, metric, mask, backend=backend, threads=threads)
    true_scores, true_ids = brute_force(queries, items, k, metric, allowed)
    np.testing.assert_array_equal(ids.numpy(), true_ids)
    np.testing.assert_allclose(scores.numpy(), true_scores, rtol=1e-6, atol=1e-12)


SHAPES = [
    (1, 1, 1, 1),
    (1, 7, 3, 7),
    (7, 15, 16, 4),
    (15, 16, 17, 17),
    (16, 17, 31, 40),
    (17, 31, 32, 5),
    (31, 33, 33, 33),
    (3, 63, 64, 2),
    (2, 64, 65, 64),
    (5, 65, 97, 65),
    (13, 97, 8, 96),
    (97, 1000, 24, 100),
    (33, 1000, 64, 1000),
]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_reference_is_the_brute_force(shape: tuple[int, int, int, int], metric: str) -> None:
    n_queries, n_items, dim, k = shape
    check_against_brute_force(normal(n_queries, dim), normal(n_items, dim, seed=1), k, metric, "reference")


@cache
def reference_answer(n_queries: int, n_items: int, dim: int, k: int, metric: str) -> tuple[Tensor, Tensor]:
    return topk(normal(n_queries, dim), normal(n_items, dim, seed=1), k, metric, backend="reference")


@pytest.mark.parametrize("isa", settings.usable_isas())
@pytest.mark.parametrize("metric", METRICS)
def test_every_instruction_set_and_thread_count_gives_the_reference(isa: str, metric: str) -> None:
    for n_queries, n_items, dim, k in SHAPES:
        queries, items = normal(n_queries, dim), normal(n_items, dim, seed=1)
        scores, ids = reference_answer(n_queries, n_items, dim, k, metric)
        for threads in (1, 2, 3):
            with settings.isa(isa):
                found, rows = topk(queries, items, k, metric, backend="native", threads=threads)
            assert torch.equal(rows, ids), (n_queries, n_items, dim, k, threads)
            assert torch.equal(found, scores), (n_queries, n_items, dim, k, threads)


@pytest.mark.parametrize("backend", CPU_BACKENDS)
def test_empty_sides(backend: str) -> None:
    scores, ids = topk(normal(0, 5), normal(9, 5), 3, backend=backend)
    assert scores.shape == (0, 3)
    assert ids.shape == (0, 3)
    for mask in (None, torch.zeros(0, dtype=torch.int64)):
        scores, ids = topk(normal(2, 5), normal(0, 5), 3, mask=mask, backend=backend)
        assert torch.isneginf(scores).all()
        assert (ids == -1).all()


@pytest.mark.parametrize("metric", METRICS)
def test_ties_go_to_the_lower_id(metric: str) -> None:
    # Small integers: float64 sums are exact in any order, so equal scores are equal.
    generator = torch.Generator().manual_seed(3)
    queries = torch.randint(-1, 2, (9, 6), generator=generator).float()
    items = torch.randint(-1, 2, (5000, 6), generator=generator).float()
    for k in (1, 10, 700):
        scores, ids = topk(queries, items, k, metric, backend="reference")
        if metric != "cosine":
            np.testing.assert_array_equal(ids.numpy(), brute_force(queries, items, k, metric)[1])
        for isa in settings.usable_isas():
            for threads in (1, 3):
                with settings.isa(isa):
                    found, rows = topk(queries, items, k, metric, backend="native", threads=threads)
                assert torch.equal(rows, ids)
                assert torch.equal(found, scores)


@pytest.mark.parametrize("isa", settings.usable_isas())
def test_near_ties_that_float32_cannot_tell_apart(isa: str) -> None:
    # One base vector, moved in its last float32 bits: float32 dot products collide, float64 ones do not.
    base = normal(1, 64, seed=5)
    items = base * (1 + torch.randint(-3, 4, (4000, 64), generator=torch.Generator().manual_seed(6)) * 2.0**-23)
    queries = torch.cat([base, normal(3, 64, seed=7)])
    with settings.isa(isa):
        for metric in ("ip", "l2"):
            check_against_brute_force(queries, items, 50, metric, "native", 2)
        # Cosines this close differ in float64's own last bits, where only one order of additions is the definition.
        assert torch.equal(
            topk(queries, items, 50, "cosine")[1], topk(queries, items, 50, "cosine", backend="reference")[1]
        )


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("backend", CPU_BACKENDS)
def test_values_at_the_ends_of_float32(metric: str, backend: str) -> None:
    items = normal(600, 10, seed=8)
    items[100:200] *= 1e30
    items[200:300] *= 1e-30
    items[300:310] = torch.finfo(torch.float32).max
    items[310:320] = 0
    items[320:330] *= 1e-42
    for size in (1.0, 1e-30, 1e30, 3e38, 0.0):
        query = normal(3, 10, seed=9).clamp(-1, 1) * size
        reference = topk(query, items, 250, metric, backend="reference")
        scores, ids = topk(query, items, 250, metric, backend=backend, threads=2)
        assert torch.equal(ids, reference[1])
        assert torch.equal(scores, reference[0])
    q = normal(3, 10, seed=9) * 1e30
    np.testing.assert_array_equal(
        topk(q, items, 250, metric, backend=backend)[1].numpy(), brute_force(q, items, 250, metric)[1]
    )


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
@pytest.mark.parametrize("per_query", [False, True])
@pytest.mark.parametrize("backend", CPU_BACKENDS)
def test_masks(share: float, per_query: bool, backend: str) -> None:
    for n_queries, n_items in ((1, 65), (7, 1000), (130, 1500)):
        rng = np.random.default_rng(11)
        allowed = rng.random((n_queries, n_items) if per_query else n_items) < share
        queries, items = normal(n_queries, 20), normal(n_items, 20, seed=1)
        for threads in (1, 2):
            check_against_brute_force(queries, items, 12, "ip", backend, threads, allowed)


def test_masks_as_int64_and_stray_bits() -> None:
    queries, items = normal(2, 8), normal(70, 8, seed=1)
    everything = torch.full((2,), -1, dtype=torch.int64)  # bits beyond item 69 are set too
    for backend in CPU_BACKENDS:
        assert torch.equal(
            topk(queries, items, 80, mask=everything, backend=backend)[1][:, 70:], torch.full((2, 10), -1)
        )
    assert torch.equal(topk(queries, items, 80, mask=everything)[1], topk(queries, items, 80)[1])


def test_masked_items_are_not_read() -> None:
    items = normal(300, 8)
    items[3] = torch.nan
    allowed = np.ones(300, dtype=bool)
    allowed[3] = False
    for backend in CPU_BACKENDS:
        assert (topk(normal(2, 8), items, 300, mask=bitset(allowed), backend=backend)[1][:, :299] != 3).all()


@pytest.mark.parametrize("isa", settings.usable_isas())
def test_many_items_through_many_thinnings(isa: str) -> None:
    queries, items = normal(3, 16), normal(20000, 16, seed=1)
    items = items[items[:, 0].argsort()]  # rising scores for some queries: the worst order for a threshold
    queries[0] = 0
    queries[0, 0] = 1
    with settings.isa(isa):
        for threads in (1, 2):
            for k in (1, 100, 3000):
                check_against_brute_force(queries, items, k, "ip", "native", threads)


def test_results_do_not_depend_on_the_batch() -> None:
    queries, items = normal(300, 32), normal(3000, 32, seed=1)
    scores, ids = topk(queries, items, 20, backend="native", threads=2)
    for part in (slice(0, 1), slice(5, 18), slice(100, 300)):
        alone = topk(queries[part], items, 20, backend="native", threads=3)
        assert torch.equal(alone[0], scores[part])
        assert torch.equal(alone[1], ids[part])


def test_strided_and_training_tensors() -> None:
    queries, items = normal(8, 4).T.contiguous().T, normal(40, 8, seed=1)[:, ::2].requires_grad_()
    scores, ids = topk(queries, items, 5)
    true_scores, true_ids = brute_force(queries, items.detach(), 5, "ip")
    np.testing.assert_array_equal(ids.numpy(), true_ids)
    assert not scores.requires_grad
    np.testing.assert_allclose(scores.numpy(), true_scores, rtol=1e-6)


def test_what_arrives_wrong_is_named() -> None:
    q, x = normal(2, 4), normal(6, 4)
    for error, match, call in [
        (ValueError, "k: expected at least 1, got 0", lambda: topk(q, x, 0)),
        (ValueError, "k: expected at least 1, got -3", lambda: topk(q, x, -3)),
        (TypeError, "queries: expected float32, got complex64", lambda: topk(q.cfloat(), x, 1)),
        (TypeError, "items: expected float32, got int64", lambda: topk(q, x.long(), 1)),
        (TypeError, "queries: expected a tensor, .*, got str", lambda: topk("[[1.0]]", x, 1)),  # type: ignore[arg-type]
        (ValueError, "queries: expected 2 dimensions", lambda: topk(q[0], x, 1)),
        (ValueError, "items: expected 4 columns", lambda: topk(q, normal(6, 5), 1)),
        (ValueError, "items: expected 1 to 65536 columns, got 0", lambda: topk(normal(2, 0), normal(6, 0), 1)),
        (ValueError, "metric: expected one of ip, cosine, l2, got 'dot'", lambda: topk(q, x, 1, "dot")),
        (TypeError, "mask: expected uint64 or int64, got bool", lambda: topk(q, x, 1, mask=torch.ones(6).bool())),
        (ValueError, r"mask: expected shape \[1\]", lambda: topk(q, x, 1, mask=torch.ones(2, dtype=torch.int64))),
        (ValueError, "backend: expected auto", lambda: topk(q, x, 1, backend="cuda")),
        (ValueError, "threads: expected 0 to 1024", lambda: topk(q, x, 1, backend="native", threads=-1)),
    ]:
        with pytest.raises(error, match=match):
            call()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("backend", CPU_BACKENDS)
def test_the_first_row_that_is_not_finite_is_named(backend: str, metric: str, bad: float) -> None:
    for threads in (1, 2):
        queries, items = normal(5, 70), normal(9000, 70, seed=1)
        items[8000, 3] = items[4321, 69] = items[4322] = bad
        with pytest.raises(ValueError, match=r"items: expected finite values, got NaN or infinity in row 4321$"):
            topk(queries, items, 3, metric, backend=backend, threads=threads)
        queries[2, 1] = queries[4, 0] = bad
        with pytest.raises(ValueError, match=r"queries: expected finite values, got NaN or infinity in row 2$"):
            topk(queries, normal(9, 70), 3, metric, backend=backend, threads=threads)


def test_cosines_round_as_in_the_reference() -> None:
    items, query = normal(50_000, 3, seed=5), normal(1, 3, seed=6)
    expected = torch.ops.headrace.topk(query, items, 50_000, "cosine", None, "reference", 1)
    for mine, theirs in zip(
        torch.ops.headrace.topk(query, items, 50_000, "cosine", None, "native", 1), expected, strict=True
    ):
        assert torch.equal(mine, theirs)


def test_operator_contract() -> None:
    mask = torch.tensor([5], dtype=torch.int64)
    torch.library.opcheck(torch.ops.headrace.topk.default, (normal(2, 4), normal(6, 4), 3, "ip", mask, "auto", 0))


def test_threads_hammering() -> None:
    queries, items = normal(40, 16), normal(4000, 16, seed=1)
    expected = topk(queries, items, 30, backend="reference")[1]
    wrong: list[int] = []

    def work(seed: int) -> None:
        for step in range(10):
            at = (seed * 7 + step) % 30
            found = topk(queries[at : at + 10], items, 30, backend="native", threads=1 + step % 3)[1]
            if not torch.equal(found, expected[at : at + 10]):
                wrong.append(seed)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


@given(st.data())
@hypothesis_settings(max_examples=40, deadline=None, derandomize=True)
def test_any_small_problem(data: st.DataObject) -> None:
    n_queries, n_items = data.draw(st.integers(1, 30)), data.draw(st.integers(0, 700))
    dim, k = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 300))
    metric, threads = data.draw(st.sampled_from(METRICS)), data.draw(st.integers(1, 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    queries = torch.from_numpy(rng.integers(-3, 4, (n_queries, dim)).astype(np.float32))
    items = torch.from_numpy(rng.integers(-3, 4, (n_items, dim)).astype(np.float32))
    allowed = rng.random((n_queries, n_items)) < rng.random()
    mask = bitset(allowed) if data.draw(st.booleans()) else None
    found = topk(queries, items, k, metric, mask, backend="native", threads=threads)
    expected = topk(queries, items, k, metric, mask, backend="reference")
    assert torch.equal(found[1], expected[1])
    assert torch.equal(found[0], expected[0])
