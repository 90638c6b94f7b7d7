"""What the checks of DPP and MMR share: lists, the claims about their picks, and the case of one size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from headrace.benchmarks.gpu.peers import told
from headrace.benchmarks.gpu.site import Check, Site, close, equal, refused
from headrace.benchmarks.harness.case import Case, Wrong
from headrace.kernels.diversity import Picks, Rules
from headrace.kernels.work import Work

Pick = Callable[..., Picks]
#: Vectors [B * n, d], rewards [B * n], offsets [B + 1], k.
Inputs = tuple[Tensor, Tensor, Tensor, int]
THETA = 0.5
LEAST_RIGHT = 0.9


def lists(site: Site, lengths: list[int], dim: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    count = sum(lengths)
    vectors = normalize(site.normal(count, dim, seed=seed), dim=1)
    return vectors, site.uniform(count, seed=seed + 1), site.offsets(lengths)


def checks(op: str, pick: Pick) -> tuple[Check, ...]:
    """The same claims for both ops; `pick` is `dpp_picks` or `mmr_picks`."""

    def same(vectors: Tensor, rewards: Tensor, offsets: Tensor, k: int, *settings: Any) -> None:
        expected, found = (
            pick(vectors, rewards, offsets, k, *settings, backend=backend) for backend in ("reference", "gpu")
        )
        for name in ("picked", "relaxed", "overruled"):
            equal(name, getattr(found, name), getattr(expected, name))
        close("gain", found.gain, expected.gain, 1e-5, 1e-5)

    def awkward(site: Site) -> str:
        lengths = [13, 0, 1, 130, 97, 2, 31, 64]
        for dim, window in ((1, None), (7, 3), (site.size(65, 17), 10)):
            same(*lists(site, lengths[: site.size(8, 4)], dim), 9, 0.6, window)
        return "picks equal for lists of 0 to 130 items, with and without a window"

    def realistic(site: Site) -> str:
        lengths = [site.size(500, 40)] * site.size(6, 2)
        for window in (None, site.size(10, 3)):
            same(*lists(site, lengths, site.size(64, 8)), site.size(50, 6), THETA, window)
        return f"picks equal for lists of {lengths[0]}"

    def weights(site: Site) -> str:
        for theta in (0.0, 1.0):
            same(*lists(site, [20, 33], 8), 10, theta, None)
        return "likeness alone, reward alone"

    def ties(site: Site) -> str:
        vectors, rewards, offsets = lists(site, [30, 65], 8)
        copies = vectors[torch.arange(len(vectors), device=site.device) // 2 * 2]
        for window in (None, 4):
            same(copies, rewards, offsets, 7, 0.6, window)
        same(torch.zeros_like(vectors), torch.ones_like(rewards), offsets, 7, 0.5, None)
        return "equal items, zero vectors: ties go to the lower position"

    def rules(site: Site) -> str:
        vectors, rewards, offsets = lists(site, [13, 0, 1, 90], 7)
        kinds = site.integers(-1, 3, 2, len(vectors), seed=2).int()
        limits = torch.tensor([[3, 1, 0], [4, 1, 1]])
        same(vectors, rewards, offsets, 9, 0.6, 3, Rules(kinds, limits))
        same(vectors, rewards, offsets, 9, 0.6, None, Rules(kinds, limits))
        nothing = Rules(torch.zeros_like(kinds[:1]), torch.tensor([[2, 0, 0]]))
        same(vectors, rewards, offsets, 7, 0.6, 2, nothing)
        return "rules hold, and are dropped from the last on where they leave nothing"

    def strided(site: Site) -> str:
        vectors, rewards, offsets = lists(site, [13, 5], 14)
        same(vectors[:, ::2], rewards.repeat_interleave(2)[::2], offsets, 6, 0.6, None)
        return "strided inputs"

    def empty(site: Site) -> str:
        for lengths in ([], [0, 0]):
            same(*lists(site, lengths, 4), 3, 0.5, None)
        return "no lists, no items"

    def not_finite(site: Site) -> str:
        vectors, rewards, offsets = lists(site, [5, 9], 4)
        for name, tensor in (("vectors", vectors), ("rewards", rewards)):
            before = tensor[7].clone()
            tensor[7] = torch.nan
            words = f"{name}: expected finite numbers, got NaN or infinity in list 1"
            refused(words, lambda: pick(vectors, rewards, offsets, 3, backend="gpu"))
            tensor[7] = before
        refused("offsets: expected to run from 0", lambda: pick(vectors, rewards, offsets + 1, 3, backend="gpu"))
        return "NaN and bad offsets are named"

    claims: dict[str, Callable[[Site], str]] = {
        "awkward sizes": awkward,
        "realistic size": realistic,
        "weights": weights,
        "ties": ties,
        "rules": rules,
        "strided inputs": strided,
        "empty": empty,
        "not finite": not_finite,
    }
    return tuple(Check(op, name, claim) for name, claim in claims.items())


def case(site: Site, op: str, pick: Pick, work: Callable[[int, int, int, int], Work], batch: int) -> Case:
    """Lists of 500 items, of which 50 are picked."""
    items, dim, k = site.size(500, 24), site.size(64, 8), site.size(50, 5)

    def inputs() -> Inputs:
        return *lists(site, [items] * batch, dim), k

    def check(given: Inputs, answer: Any) -> str:
        """Up to 6 lists against the reference; a peer may swap near ties, after which its list goes its own way."""
        vectors, rewards, _, k = given
        sample = sorted({round(b * (batch - 1) / 5) for b in range(6)})
        right = 0
        for b in sample:
            own = slice(b * items, (b + 1) * items)
            bounds = torch.tensor([0, items], device=site.device)
            expected = pick(vectors[own], rewards[own], bounds, k, THETA, None, backend="reference").picked
            right += bool((answer[b] == expected[0]).all())
        if answer.shape != (batch, k) or right < LEAST_RIGHT * len(sample):
            raise Wrong(f"{right} of {len(sample)} lists right")
        return told(right / len(sample), f"of {len(sample)} lists")

    params = {"batch": batch, "items": items, "dim": dim, "k": k}
    name = f"B{batch} n{items} d{dim} k{k}"
    return Case(op, name, dict(params), inputs, check, work(batch, items, dim, k))


def batched(given: Inputs) -> tuple[Tensor, Tensor, Tensor]:
    """Lists of one length as vectors [B, n, d] and rewards [B, n], and the numbers of the lists."""
    vectors, rewards, offsets, _ = given
    batch = len(offsets) - 1
    return (
        vectors.view(batch, -1, vectors.shape[1]),
        rewards.view(batch, -1),
        torch.arange(batch, device=rewards.device),
    )
