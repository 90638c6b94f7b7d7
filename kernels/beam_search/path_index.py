"""From paths to the items on them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from headrace.kernels.checks import check_at_least, check_tensor
from headrace.kernels.edge import CODES, IDS, takes

DIRECT_CODES = 2**24
MAX_CODE = 2**62


@takes(offsets=IDS, items=CODES, codes=IDS)
@dataclass(frozen=True)
class PathIndex:
    """The items on every path, as a CSR over path codes (code of a path: its nodes as digits of base `nodes`).

    offsets: int64 [K^D + 1] by code where K^D is at most 2^24, else [codes + 1] by place in `codes`.
    items: int32, dense rows of the catalogue, ascending on each path. codes: None, or the sorted codes that have items.
    catalogue: how many items there are, on a path or not.
    """

    nodes: int
    depth: int
    catalogue: int
    offsets: Tensor
    items: Tensor
    codes: Tensor | None

    @classmethod
    @takes(item_paths=CODES)
    def build(cls, item_paths: Tensor, nodes: int) -> PathIndex:
        """Indexes item_paths, int32 [N, J, D]: the J paths of each item, nodes from 0; a path of -1 is no path.

        Raises TypeError or ValueError for a wrong dtype or shape, or a node outside 0 to nodes-1.
        """
        check_tensor("item_paths", item_paths, dtype=torch.int32, ndim=3)
        check_at_least("nodes", nodes, 1)
        catalogue, per_item, depth = item_paths.shape
        check_at_least("item_paths: depth", depth, 1)
        if nodes**depth > MAX_CODE or catalogue >= 2**31:
            raise ValueError(
                f"item_paths: expected nodes^depth of at most 2^62 and fewer than 2^31 items, got {nodes=}"
            )
        code = path_codes("item_paths", item_paths, nodes).flatten()
        item = torch.arange(catalogue, device=item_paths.device).repeat_interleave(per_item)
        code, item = code[code >= 0], item[code >= 0]
        # Items stand in ascending order already, so a stable sort keeps them so on each path.
        code, order = code.sort(stable=True)
        item = item[order]
        fresh = torch.ones_like(code, dtype=torch.bool)
        fresh[1:] = (code[1:] != code[:-1]) | (item[1:] != item[:-1])
        code, items = code[fresh], item[fresh].to(torch.int32)
        if nodes**depth <= DIRECT_CODES:
            codes, counts = None, torch.bincount(code, minlength=nodes**depth)
        else:
            codes, counts = code.unique_consecutive(return_counts=True)
        return cls(nodes, depth, catalogue, _offsets(counts), items, codes)

    @takes(paths=CODES)
    def lookup(self, paths: Tensor) -> tuple[Tensor, Tensor]:
        """The items on any of a request's paths, each once, in ascending order.

        paths: int32 [B, beam, D], as `beam_search` returns them; paths of -1 are left out.
        Returns offsets int64 [B+1] and items int64: request b's items are items[offsets[b]:offsets[b+1]].
        Raises TypeError or ValueError for a wrong dtype, shape or device, or a node outside 0 to nodes-1.
        """
        check_tensor("paths", paths, dtype=torch.int32, ndim=3, device=self.items.device)
        if paths.shape[2] != self.depth:
            raise ValueError(f"paths: expected depth {self.depth} as in the index, got {paths.shape[2]}")
        batch, beam = paths.shape[:2]
        first, counts = self._ranges(path_codes("paths", paths, self.nodes).flatten())
        ends = counts.cumsum(0)
        # Entry e of the gathered items lies on path p at first[p] + its place in p's list.
        path = torch.repeat_interleave(torch.arange(batch * beam, device=paths.device), counts)
        place = torch.arange(path.shape[0], device=paths.device) - (ends - counts)[path]
        found = self.items[first[path] + place].long()
        keys = (path // max(beam, 1) * max(self.catalogue, 1) + found).unique()
        request = keys // max(self.catalogue, 1)
        return _offsets(torch.bincount(request, minlength=batch)), keys % max(self.catalogue, 1)

    def to(self, device: torch.device | str) -> PathIndex:
        codes = None if self.codes is None else self.codes.to(device)
        return PathIndex(self.nodes, self.depth, self.catalogue, self.offsets.to(device), self.items.to(device), codes)

    def _ranges(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """Where each code's items start and how many there are."""
        known = code >= 0
        at = code.clamp(min=0)
        if self.codes is not None:
            at = torch.searchsorted(self.codes, at).clamp(max=max(self.codes.shape[0] - 1, 0))
            known = known & (self.codes[at] == code) if self.codes.shape[0] else torch.zeros_like(known)
        if self.offsets.shape[0] == 1:
            return torch.zeros_like(at), torch.zeros_like(at)
        first = self.offsets[at]
        return first, (self.offsets[at + 1] - first) * known


def path_codes(name: str, paths: Tensor, nodes: int) -> Tensor:
    """int64 [...]: the code of every path of [..., D], -1 for a path of -1. Raises ValueError for other bad nodes."""
    missing = (paths == -1).all(-1)
    outside = ((paths < 0) | (paths >= nodes)).any(-1) & ~missing
    if bool(outside.any()):
        where = tuple(outside.nonzero()[0].tolist())
        raise ValueError(f"{name}: expected nodes from 0 to {nodes - 1}, got {paths[where].tolist()} at {where}")
    depth = paths.shape[-1]
    powers = nodes ** torch.arange(depth - 1, -1, -1, device=paths.device)
    return (paths.long() * powers).sum(-1).masked_fill(missing, -1)


def _offsets(counts: Tensor) -> Tensor:
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])
