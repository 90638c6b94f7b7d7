"""top-k in Triton: two passes over tiles of scores that stay on chip, then a float64 rescore of the survivors.

Pass 1 keeps the best score of every group of items; the k-th best group bounds the k-th best item from below. Pass 2
collects the items that reach that bound. Both use tensor cores in three tf32 products. The host waits once, at the end,
to learn of values that are not finite and of queries whose survivors did not fit; those go through the reference.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from headrace.kernels.topk.checks import check_finite
from headrace.kernels.topk.reference import sum_in_lanes
from headrace.kernels.topk.reference import topk as reference_topk

TILE_ITEMS = 128
STEP = 16  # dimensions in one step of a product; more would spill registers on sm_80
MOST_QUERIES = 4096  # in one pass, so that scratch stays bounded
SPARE = 1024  # survivors beyond 2k that a query has room for
SAFE, SHORT, TINY = 2.0**60, 2.0**-40, 2.0**-124


@triton.jit  # type: ignore[untyped-decorator]
def allowed_tile(
    mask: tl.tensor, stride: tl.tensor, query: tl.tensor, row: tl.tensor, n_queries: tl.tensor, n_items: tl.tensor,
    MASKED: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """Which items of the tile each query may have, bool [queries, items]."""
    inside = (query[:, None] < n_queries) & (row[None, :] < n_items)
    if MASKED:
        word = tl.load(mask + query[:, None].to(tl.int64) * stride + row[None, :] // 64, mask=inside, other=0)
        inside = inside & (((word >> (row[None, :] % 64).to(tl.int64)) & 1) != 0)
    return inside


@triton.jit  # type: ignore[untyped-decorator]
def score_tile(
    queries: tl.tensor, items: tl.tensor, scale: tl.tensor, shift: tl.tensor, query: tl.tensor, row: tl.tensor,
    n_queries: tl.tensor, n_items: tl.tensor, dim: tl.tensor, QUERIES: tl.constexpr, ITEMS: tl.constexpr,
    STEP: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """Scan scores float32 [queries, items]."""
    dots = tl.zeros((QUERIES, ITEMS), tl.float32)
    for start in range(0, dim, STEP):
        column = start + tl.arange(0, STEP)
        q_at = query[:, None].to(tl.int64) * dim + column[None, :]
        x_at = row[None, :].to(tl.int64) * dim + column[:, None]
        q = tl.load(queries + q_at, mask=(query[:, None] < n_queries) & (column[None, :] < dim), other=0.0)
        x = tl.load(items + x_at, mask=(row[None, :] < n_items) & (column[:, None] < dim), other=0.0)
        dots = tl.dot(q, x, dots, input_precision="tf32x3")
    inside = row < n_items
    by = tl.load(scale + row, mask=inside, other=0.0)
    plus = tl.load(shift + row, mask=inside, other=0.0)
    return dots * by[None, :] + plus[None, :]


@triton.jit  # type: ignore[untyped-decorator]
def tile_of_program(
    n_queries: tl.tensor, QUERIES: tl.constexpr, ITEMS: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:  # fmt: skip
    """The queries and items of this program, and the number of its tile of items.

    Programs that follow each other share a tile of items, which the cache then keeps for them.
    """
    parts = tl.cdiv(n_queries, QUERIES)
    tile = tl.program_id(0) // parts
    query = tl.program_id(0) % parts * QUERIES + tl.arange(0, QUERIES)
    return query, tile * ITEMS + tl.arange(0, ITEMS), tile


@triton.jit(do_not_specialize=["stride", "n_queries", "n_items", "n_groups"])  # type: ignore[untyped-decorator]
def best_of_groups(
    queries: tl.tensor, items: tl.tensor, scale: tl.tensor, shift: tl.tensor, mask: tl.tensor, stride: tl.tensor,
    best: tl.tensor, n_queries: tl.tensor, n_items: tl.tensor, dim: tl.tensor, n_groups: tl.tensor,
    QUERIES: tl.constexpr, ITEMS: tl.constexpr, STEP: tl.constexpr, GROUP: tl.constexpr, MASKED: tl.constexpr,
) -> None:  # fmt: skip
    """Pass 1: best [n_queries, n_groups], the best scan score of each GROUP allowed items, -inf where none is."""
    query, row, tile = tile_of_program(n_queries, QUERIES, ITEMS)
    allowed = allowed_tile(mask, stride, query, row, n_queries, n_items, MASKED)
    groups = tl.full((QUERIES, ITEMS // GROUP), float("-inf"), tl.float32)
    if tl.max(tl.max(allowed.to(tl.int32), 1), 0) > 0:
        scores = score_tile(queries, items, scale, shift, query, row, n_queries, n_items, dim, QUERIES, ITEMS, STEP)
        scores = tl.where(allowed, scores, float("-inf"))
        groups = tl.max(tl.reshape(scores, (QUERIES, ITEMS // GROUP, GROUP)), 2)
    group = tile * (ITEMS // GROUP) + tl.arange(0, ITEMS // GROUP)
    at = query[:, None].to(tl.int64) * n_groups + group[None, :]
    tl.store(best + at, groups, mask=(query[:, None] < n_queries) & (group[None, :] < n_groups))


@triton.jit(do_not_specialize=["stride", "n_queries", "n_items", "room"])  # type: ignore[untyped-decorator]
def collect(
    queries: tl.tensor, items: tl.tensor, scale: tl.tensor, shift: tl.tensor, mask: tl.tensor, stride: tl.tensor,
    limits: tl.tensor, counts: tl.tensor, found: tl.tensor, room: tl.tensor, n_queries: tl.tensor, n_items: tl.tensor,
    dim: tl.tensor, QUERIES: tl.constexpr, ITEMS: tl.constexpr, STEP: tl.constexpr, MASKED: tl.constexpr,
) -> None:  # fmt: skip
    """Pass 2: found [n_queries, room], the allowed items that reach each query's limit, in any order."""
    query, row, _ = tile_of_program(n_queries, QUERIES, ITEMS)
    allowed = allowed_tile(mask, stride, query, row, n_queries, n_items, MASKED)
    if tl.max(tl.max(allowed.to(tl.int32), 1), 0) > 0:
        scores = score_tile(queries, items, scale, shift, query, row, n_queries, n_items, dim, QUERIES, ITEMS, STEP)
        limit = tl.load(limits + query, mask=query < n_queries, other=float("inf"))
        kept = (allowed & (scores >= limit[:, None])).to(tl.int32)
        total = tl.sum(kept, 1)
        start = tl.atomic_add(counts + query, total, mask=total > 0)
        place = start[:, None] + tl.cumsum(kept, 1) - 1
        at = query[:, None].to(tl.int64) * room + place
        tl.store(found + at, tl.broadcast_to(row[None, :], (QUERIES, ITEMS)), mask=(kept != 0) & (place < room))


@triton.jit(do_not_specialize=["room"])  # type: ignore[untyped-decorator]
def rescore(
    queries: tl.tensor, items: tl.tensor, found: tl.tensor, sums: tl.tensor, squares: tl.tensor, room: tl.tensor,
    dim: tl.tensor, L2: tl.constexpr, COSINE: tl.constexpr, ITEMS: tl.constexpr,
) -> None:  # fmt: skip
    """Float64 sums over dimensions in the reference's 8 lanes: dot products or squared distances, and |x|^2."""
    blocks = tl.cdiv(room, ITEMS)
    slot = tl.program_id(0) % blocks * ITEMS + tl.arange(0, ITEMS)
    query = (tl.program_id(0) // blocks).to(tl.int64)
    row = tl.load(found + query * room + slot, mask=slot < room, other=-1)
    lane = tl.arange(0, 8)
    lanes = tl.zeros((ITEMS, 8), tl.float64)
    square_lanes = tl.zeros((ITEMS, 8), tl.float64)
    for start in range(0, dim, 8):
        column = start + lane
        there = (row[:, None] >= 0) & (column[None, :] < dim)
        q = tl.load(queries + query * dim + column, mask=column < dim, other=0.0).to(tl.float64)
        x = tl.load(items + row[:, None].to(tl.int64) * dim + column[None, :], mask=there, other=0.0).to(tl.float64)
        if L2:
            lanes += (q[None, :] - x) * (q[None, :] - x)
        else:
            lanes += q[None, :] * x
        if COSINE:
            square_lanes += x * x
    tl.store(sums + query * room + slot, fold(lanes, ITEMS), mask=slot < room)
    if COSINE:
        tl.store(squares + query * room + slot, fold(square_lanes, ITEMS), mask=slot < room)


@triton.jit  # type: ignore[untyped-decorator]
def fold(
    lanes: tl.tensor, ITEMS: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """Lanes 8 -> 4 -> 2 -> 1, lane i with lane i + half."""
    lanes = tl.sum(tl.reshape(lanes, (ITEMS, 2, 4)), 1)
    lanes = tl.sum(tl.reshape(lanes, (ITEMS, 2, 2)), 1)
    return tl.sum(lanes, 1)


def topk(
    queries: Tensor, items: Tensor, k: int, metric: str, mask: Tensor | None, threads: int
) -> tuple[Tensor, Tensor]:
    """As the reference. `threads` means nothing here."""
    n_queries, n_items = queries.shape[0], items.shape[0]
    if not n_queries or not n_items:
        return reference_topk(queries, items, k, metric, mask, threads)
    if n_queries > MOST_QUERIES:
        own = queries.split(MOST_QUERIES)
        masks = mask.split(MOST_QUERIES) if mask is not None and mask.ndim == 2 else [mask] * len(own)
        parts = [topk(q, items, k, metric, m, threads) for q, m in zip(own, masks, strict=True)]
        return torch.cat([scores for scores, _ in parts]), torch.cat([rows for _, rows in parts])
    queries, items = queries.contiguous(), items.contiguous()
    words = torch.empty(0, dtype=torch.int64, device=queries.device)
    if mask is not None:
        words = mask.contiguous().view(torch.int64)
    scan = Scan(queries, items, metric, words, mask is not None)
    kept = min(k, n_items)
    room = min(n_items, 2 * kept + SPARE)
    limits = queries.new_full((n_queries,), -torch.inf)
    if room < n_items:
        limits = scan.limits(kept)
    found, counts = scan.collect(limits, room)
    scores, rows = best_of(queries, items, metric, found, kept)
    # The one wait for the device.
    undecided = (counts > room) | ~torch.isfinite(scan.bound)
    if bool(undecided.any()):
        redo(queries, items, metric, mask, undecided, scores, rows)
    if kept < k:
        scores = torch.nn.functional.pad(scores, (0, k - kept), value=-torch.inf)
        rows = torch.nn.functional.pad(rows, (0, k - kept), value=-1)
    return scores, rows


class Scan:
    """The two passes of one call: what they read and how far their scores may be from the float64 ones."""

    def __init__(self, queries: Tensor, items: Tensor, metric: str, words: Tensor, masked: bool) -> None:
        length, norm = queries.double().norm(dim=1), items.norm(dim=1)
        # Squares below float32's range are lost.
        longest = (norm.max().double() ** 2 * 1.02 + TINY * items.shape[1]).sqrt()
        self.queries, self.items = queries, items
        self.scale, self.shift = torch.ones_like(norm), torch.zeros_like(norm)
        unsafe = (length > SAFE) | (longest > SAFE) | ~torch.isfinite(length) | ~torch.isfinite(longest)
        if metric == "l2":
            self.shift = -(norm * norm) / 2
        if metric == "cosine":
            self.queries = (queries / length.where(length > 0, 1.0).unsqueeze(1)).float()
            short = norm < SHORT
            self.scale = torch.where(short, 0.0, 1 / norm)
            unsafe = unsafe | (short & (items.norm(torch.inf, dim=1) > 0)).any()
            length, longest = torch.ones_like(length), torch.ones_like(longest)
        self.bound = torch.where(unsafe, torch.inf, scan_bound(metric, items.shape[1], length, longest))
        self.words, self.masked = words, masked
        self.stride = words.shape[1] if words.ndim == 2 else 0
        self.block = 16 if queries.shape[0] <= 16 else 64

    def limits(self, k: int) -> Tensor:
        """float32 [B]: no item of the top k has a lower scan score."""
        n_queries, n_items = self.queries.shape[0], self.items.shape[0]
        group = next(size for size in (64, 32, 16, 8, 4, 2) if n_items >= 4 * k * size or size == 2)
        n_groups = triton.cdiv(n_items, group)
        best = self.queries.new_empty(n_queries, n_groups)
        best_of_groups[self.grid()](
            self.queries, self.items, self.scale, self.shift, self.words, self.stride, best,
            n_queries, n_items, self.items.shape[1], n_groups,
            QUERIES=self.block, ITEMS=TILE_ITEMS, STEP=STEP, GROUP=group, MASKED=self.masked, num_warps=8,
        )  # fmt: skip
        reached = best.topk(k, dim=1, sorted=True).values[:, -1].double()
        exact = reached - 2 * self.bound
        below: Tensor = torch.nextafter(exact.float(), exact.new_tensor(-torch.inf).float())
        return below

    def collect(self, limits: Tensor, room: int) -> tuple[Tensor, Tensor]:
        """Survivors int32 [B, room], -1 where none, and how many there were, int32 [B]."""
        n_queries, n_items = self.queries.shape[0], self.items.shape[0]
        found = torch.full((n_queries, room), -1, dtype=torch.int32, device=limits.device)
        counts = torch.zeros(n_queries, dtype=torch.int32, device=limits.device)
        collect[self.grid()](
            self.queries, self.items, self.scale, self.shift, self.words, self.stride, limits, counts, found, room,
            n_queries, n_items, self.items.shape[1],
            QUERIES=self.block, ITEMS=TILE_ITEMS, STEP=STEP, MASKED=self.masked, num_warps=8,
        )  # fmt: skip
        return found, counts

    def grid(self) -> tuple[int]:
        # One axis, as the others end at 65535 programs.
        return (triton.cdiv(self.items.shape[0], TILE_ITEMS) * triton.cdiv(self.queries.shape[0], self.block),)


def scan_bound(metric: str, dim: int, length: Tensor, longest: Tensor) -> Tensor:
    """float64 [B]: how far a scan score may be from the float64 score; docs/kernels/topk.md has the proof."""
    unit = (3 * dim + 32) * 2.0**-21
    product = length * longest
    underflow = TINY * (dim + dim**0.5 * (length + longest))
    bound: Tensor = unit * product + underflow
    if metric == "l2":
        bound = bound + unit * longest**2 / 2 + 2.0**-46 * (length + longest) ** 2
    return bound


def best_of(queries: Tensor, items: Tensor, metric: str, found: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k best survivors by float64 score, ties to the lower row."""
    n_queries, room = found.shape
    found = torch.where(found < 0, torch.iinfo(torch.int32).max, found).sort(dim=1).values
    found = torch.where(found == torch.iinfo(torch.int32).max, -1, found)
    sums = torch.empty(n_queries, room, dtype=torch.float64, device=found.device)
    squares = torch.ones_like(sums)
    # No fused multiply-add: the reference rounds twice.
    rescore[(triton.cdiv(room, 32) * n_queries,)](
        queries, items, found, sums, squares, room, queries.shape[1],
        L2=metric == "l2", COSINE=metric == "cosine", ITEMS=32, num_warps=4, enable_fp_fusion=False,
    )  # fmt: skip
    scores: Tensor = -sums if metric == "l2" else sums
    if metric == "cosine":
        lengths = squares.sqrt() * sum_in_lanes(queries.double() ** 2).sqrt().unsqueeze(1)
        scores = torch.where(lengths > 0, sums / lengths.where(lengths > 0, 1.0), 0.0)
    scores = scores.masked_fill(found < 0, -torch.inf)
    order = scores.sort(dim=1, descending=True, stable=True).indices[:, :k]
    return scores.gather(1, order), found.gather(1, order).long()


def redo(
    queries: Tensor, items: Tensor, metric: str, mask: Tensor | None, which: Tensor, scores: Tensor, rows: Tensor
) -> None:
    """Writes the reference's answer for the queries `which` (bool [B]). Raises for values that are not finite."""
    masks = mask[which] if mask is not None and mask.ndim == 2 else mask
    check_finite("queries", queries)
    scores[which], rows[which] = reference_topk(queries[which], items, rows.shape[1], metric, masks, 0)
