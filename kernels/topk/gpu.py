"""top-k in Triton: one scan over the items, in growing runs that each raise what the next must reach.

A run appends the items whose scores in low precision reach the limits; thinning then raises the limits to what k
survivors are known to reach. Float64 scores of the last survivors decide. Queries that a scan cannot decide go through
float64 as a whole, on the device: the host waits for nothing but the one question whether all values were finite, and
not even for that while a CUDA graph is captured.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import triton
from torch import Tensor

from headrace.kernels.topk.checks import check_finite
from headrace.kernels.topk.exact_gpu import exhaust, rescore
from headrace.kernels.topk.masks_gpu import allowed_rows, spread
from headrace.kernels.topk.packed_gpu import Parts, views
from headrace.kernels.topk.queries_gpu import FULL, NOT_FINITE, UNSAFE, prepare
from headrace.kernels.topk.reference import allowed_items
from headrace.kernels.topk.scan_gpu import ALL, ITEMS, LISTED, OWN, TINY, scan
from headrace.kernels.topk.select_gpu import choose, thin

STEP = 16  # dimensions of float32 vectors in one step of a product; more would spill registers on sm_80
HELD = (32, 64, 128)  # widths of packed queries that stay on chip between tiles
#: Survivors that few queries have room for at least, and many.
FEW_ROOM, MANY_ROOM = 16384, 4096
MOST_ENTRIES = 1 << 24  # of survivors in one pass, so that scratch stays bounded
RESCORED, SELECTED, EXHAUSTED = 32, 1024, 128  # entries in one step of rescore, of selection, and of exhaust


def topk(
    queries: Tensor, items: Tensor, k: int, metric: str, mask: Tensor | None, threads: int
) -> tuple[Tensor, Tensor]:
    """As the reference. `threads` means nothing here."""
    scores, rows, _ = search(queries, items, None, k, metric, "float32", mask)
    return scores, rows


def topk_packed(
    queries: Tensor,
    items: Tensor | None,
    packed: Tensor,
    n_items: int,
    k: int,
    metric: str,
    scan: str,
    mask: Tensor | None,
    threads: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """As the reference; `packed` from `packed_gpu.pack`. The items are finite. Counts int64 [2] stay on the device."""
    if items is None:
        raise ValueError("items: expected the vectors that decide, got None: packed numbers alone are for CPUs")
    parts = views(packed, n_items, queries.shape[1], metric, scan)
    return search(queries, items, parts, k, metric, scan, mask)


def search(
    queries: Tensor, items: Tensor, parts: Parts | None, k: int, metric: str, scan: str, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Scores float64 [B, k], rows int64 [B, k], and counts int64 [2]: pairs rescored, queries decided by float64 alone.

    ValueError for values that are not finite. While a CUDA graph is captured such a query gets row -1 and score NaN,
    and such an item is in no answer.
    """
    n_queries, n_items = queries.shape[0], items.shape[0]
    scores = torch.full((n_queries, k), -torch.inf, dtype=torch.float64, device=queries.device)
    rows = torch.full((n_queries, k), -1, dtype=torch.int64, device=queries.device)
    counts = torch.zeros(2, dtype=torch.int64, device=queries.device)
    if not n_queries or not n_items:
        if not capturing(queries):
            check_finite("queries", queries)
        return scores, rows, counts
    items = items.contiguous()
    words = None if mask is None else mask.contiguous().view(torch.int64)
    most = max(1, MOST_ENTRIES // room_of(n_queries, n_items, k))
    wrong = torch.zeros((), dtype=torch.bool, device=queries.device)
    for first in range(0, n_queries, most):
        part = slice(first, first + most)
        own = words[part] if words is not None and words.ndim == 2 else words
        run = Run(queries[part].contiguous(), items, parts, k, metric, scan, own)
        scores[part], rows[part] = run.answer()
        counts += torch.stack([run.rescored, run.redone])
        wrong = wrong | run.wrong
    if not capturing(queries) and bool(wrong):
        check_finite("queries", queries)
        check_finite("items", items, None if mask is None else allowed_items(mask, n_items).any(0))
    return scores, rows, counts


def capturing(tensor: Tensor) -> bool:
    """Whether a CUDA graph is captured, which a wait for the device would end."""
    return tensor.is_cuda and torch.cuda.is_current_stream_capturing()


def room_of(n_queries: int, n_items: int, k: int) -> int:
    """Survivors that a query has room for: enough that a run of items can be some times as long as those before it.

    Few queries are bound by memory, where fewer and longer runs are better; many by the work that survivors make.
    """
    least = FEW_ROOM if n_queries <= 128 else MANY_ROOM
    return int(min(max(triton.next_power_of_2(8 * k), least), triton.next_power_of_2(n_items)))


def runs_of(n_queries: int, n_items: int, k: int, room: int) -> list[int]:
    """Where the runs of tiles begin and end, [0, ..., tiles].

    The first run fits the room whatever it holds. After n items, about g k of g n reach the k-th best of the n, seldom
    more than g (k + 8 sqrt k + 16) of them; half as much room again is for near ties.
    """
    tiles = triton.cdiv(n_items, ITEMS)
    first = max(1, (room if room >= n_items else room // 2) // ITEMS)
    if first >= tiles:
        return [0, tiles]
    growth = max(1.5, min(room / (1.5 * (k + 8 * math.sqrt(k) + 16)), 64.0 if n_queries <= 128 else 8.0))
    runs = max(1, math.ceil(math.log(tiles / first) / math.log(growth)))
    return [0] + [round(first * (tiles / first) ** (run / runs)) for run in range(runs)] + [tiles]


class Run:
    """One pass of some queries over the items."""

    def __init__(
        self,
        queries: Tensor,
        items: Tensor,
        parts: Parts | None,
        k: int,
        metric: str,
        scan: str,
        words: Tensor | None,
    ) -> None:
        device, n_queries = queries.device, queries.shape[0]
        self.queries, self.items, self.parts, self.words = queries, items, parts, words
        self.k, self.metric, self.scan = k, metric, scan
        self.kind = {"L2": metric == "l2", "COSINE": metric == "cosine"}
        self.stride = words.shape[1] if words is not None and words.ndim == 2 else 0
        self.width = queries.shape[1] if parts is None else parts.rows.shape[1]
        self.room = room_of(n_queries, items.shape[0], k)
        dtype = queries.dtype if parts is None else parts.rows.dtype
        self.scanned = torch.empty(n_queries, self.width, dtype=dtype, device=device)
        self.by, self.limits = (torch.empty(n_queries, dtype=torch.float32, device=device) for _ in range(2))
        self.factors = torch.empty(3, n_queries, dtype=torch.float32, device=device)
        self.counts, self.states = (torch.empty(n_queries, dtype=torch.int32, device=device) for _ in range(2))
        self.found = torch.empty(n_queries, self.room, dtype=torch.int32, device=device)
        self.lower, self.upper = torch.empty(2, n_queries, self.room, dtype=torch.float32, device=device)
        self.suspect = torch.zeros(1, dtype=torch.int32, device=device)
        self.rescored = torch.zeros((), dtype=torch.int64, device=device)

    def answer(self) -> tuple[Tensor, Tensor]:
        """Scores float64 and rows int64 [B, k], best first."""
        n_queries = self.queries.shape[0]
        self.prepare()
        best = torch.full((n_queries, self.k), -torch.inf, dtype=torch.float64, device=self.queries.device)
        chosen = torch.full((n_queries, self.k), -1, dtype=torch.int32, device=self.queries.device)
        self.find()
        self.decide(best, chosen)
        self.redo(best, chosen)
        # By row, then stably by score: equal scores go to the lower row.
        chosen, order = chosen.sort(dim=1)
        best, order = best.gather(1, order).sort(dim=1, descending=True, stable=True)
        lost = (self.states == NOT_FINITE).unsqueeze(1)
        return best.masked_fill(lost, torch.nan), chosen.gather(1, order).masked_fill(lost, -1).long()

    @property
    def wrong(self) -> Tensor:
        """Whether a query was not finite, or an item may be."""
        return (self.states == NOT_FINITE).any() | (self.suspect[0] != 0)

    @property
    def redone(self) -> Tensor:
        return ((self.states == UNSAFE) | (self.states == FULL)).sum()

    def prepare(self) -> None:
        dim = self.queries.shape[1]
        prepare[(self.queries.shape[0],)](
            self.queries, self.scanned, self.by, self.factors, self.limits, self.counts, self.states,
            unit_of(self.scan, dim), TINY * dim**0.5, TINY * dim, self.queries.shape[0], dim, self.width,
            PACKED=self.parts is not None, WHOLE=self.scan == "int8", **self.kind,
            BLOCK=min(1024, triton.next_power_of_2(self.width)), num_warps=4,
        )  # fmt: skip

    def find(self) -> None:
        """The scan: leaves in `found` what may be among the k best."""
        n_queries, n_items = self.queries.shape[0], self.items.shape[0]
        rows, n_rows, choice = self.found, self.counts, ALL
        if self.words is not None:
            rows, n_rows = allowed_rows(self.words, n_items)
            choice = OWN if self.words.ndim == 2 else LISTED
        tiles = triton.cdiv(n_items, ITEMS)
        modern = self.queries.is_cuda and torch.cuda.get_device_capability(self.queries.device)[0] >= 9
        block, options = shape_of(self.scan, n_queries, self.width, modern)
        blocks = triton.cdiv(n_queries, block)
        most = programs(self.queries.device, block) // blocks
        given = self.parts or Parts(self.items, self.limits, self.limits, self.limits, self.limits)
        bounds = runs_of(n_queries, n_items, self.k, self.room)
        for first, last in pairwise(bounds):
            scan[(blocks * max(1, min(most, last - first)),)](
                self.scanned, given.rows, self.by, given.scale, given.shift, given.spread, given.longest, rows, n_rows,
                self.found if self.words is None else self.words, self.stride, self.factors,
                square_of(self.scan, self.metric, self.queries.shape[1]), self.limits, self.counts, self.lower,
                self.upper, self.found, self.suspect, self.room, n_queries, n_items, self.width, tiles, spread(tiles),
                first, last, QUERIES=block, ITEMS=ITEMS, PACKED=self.parts is not None, WHOLE=self.scan == "int8",
                **self.kind, CHOICE=choice, WIDEN=not self.queries.is_cuda, **options,
            )  # fmt: skip
            thin[(n_queries,)](
                self.lower, self.upper, self.found, self.counts, self.limits, self.states, self.room, self.k,
                BLOCK=SELECTED, num_warps=8,
            )  # fmt: skip

    def decide(self, best: Tensor, chosen: Tensor) -> None:
        """Writes the k best survivors by float64 scores, in any order."""
        n_queries = self.queries.shape[0]
        self.rescored = self.counts.sum()
        scores = torch.empty(n_queries, self.room, dtype=torch.float64, device=best.device)
        rescore[(triton.cdiv(self.room, RESCORED) * n_queries,)](
            self.queries, self.items, self.found, self.counts, scores, self.room, self.queries.shape[1], **self.kind,
            ITEMS=RESCORED, num_warps=4, enable_fp_fusion=False,
        )  # fmt: skip
        choose[(n_queries,)](
            scores, self.found, self.counts, self.states, best, chosen, self.room, self.k, AGAIN=False,
            BLOCK=SELECTED, num_warps=8,
        )  # fmt: skip

    def redo(self, best: Tensor, chosen: Tensor) -> None:
        """The same from all items, for the queries that the scan left open."""
        n_queries, device = self.queries.shape[0], best.device
        parts = max(1, min(64, MOST_ENTRIES // 4 // (n_queries * self.k), triton.cdiv(self.items.shape[0], EXHAUSTED)))
        at_once = max(1, min(n_queries, programs(device, 16) // parts))
        room = 2 * self.k + 4 * EXHAUSTED
        scores = torch.empty(parts * at_once, room, dtype=torch.float64, device=device)
        rows = torch.empty(parts * at_once, room, dtype=torch.int32, device=device)
        part_best = torch.empty(n_queries, parts * self.k, dtype=torch.float64, device=device)
        part_chosen = torch.empty(n_queries, parts * self.k, dtype=torch.int32, device=device)
        exhaust[(parts * at_once,)](
            self.queries, self.items, self.found if self.words is None else self.words, self.stride, self.states,
            scores, rows, part_best, part_chosen, room, n_queries, self.items.shape[0], self.queries.shape[1], parts,
            self.k, MASKED=self.words is not None, **self.kind, ITEMS=EXHAUSTED, num_warps=4, enable_fp_fusion=False,
        )  # fmt: skip
        counts = torch.full_like(self.counts, parts * self.k)
        choose[(n_queries,)](
            part_best, part_chosen, counts, self.states, best, chosen, parts * self.k, self.k, AGAIN=True,
            BLOCK=SELECTED, num_warps=8,
        )  # fmt: skip


def unit_of(scan: str, dim: int) -> float:
    """What computing a score adds to its error, relative to both lengths; docs/kernels/topk.md has the proofs."""
    if scan == "float32":
        return (3 * dim + 32) * 2.0**-21
    if scan == "int8":
        return 2.0**-20
    return (2 * dim + 16) * 2.0**-24 / (1 - (2 * dim + 16) * 2.0**-24)


def square_of(scan: str, metric: str, dim: int) -> float:
    """The same relative to the square of the longest item, from |x|^2 / 2."""
    if metric != "l2":
        return 0.0
    return 1.01 * (2.0**-45 + (unit_of(scan, dim) / 2 if scan == "float32" else 2.0**-22))


def shape_of(scan: str, n_queries: int, width: int, modern: bool) -> tuple[int, dict[str, int | bool]]:
    """Queries of a tile, and how the scan is compiled; modern: for sm_90 and later."""
    block = 16 if n_queries <= 16 else 64
    if scan == "float32":
        return block, {"STEP": STEP, "HOLD": False, "num_warps": 4 if block == 16 else 8, "num_stages": 3}
    if n_queries > 64 and modern:
        block = 128
    step = next(step for step in (128, 64, 32) if width % step == 0)
    few = block == 16
    warps = 4 if few and scan == "bfloat16" else 8
    return block, {"STEP": step, "HOLD": width in HELD, "num_warps": warps, "num_stages": 4 if few else 3}


def programs(device: torch.device, block: int) -> int:
    """As many as run at once."""
    if device.type != "cuda":
        return 4
    return torch.cuda.get_device_properties(device).multi_processor_count * (2 if block <= 64 else 1)
