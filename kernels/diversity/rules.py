"""Rules that forbid items while a list is picked: how many of one kind may stand near each other or near the top."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from headrace.kernels.checks import check_tensor
from headrace.kernels.edge import CODES, IDS, takes

#: One bit of a 32-bit word for each rule.
MAX_RULES = 31


@takes(kinds=CODES, limits=IDS)
@dataclass(frozen=True)
class Rules:
    """R rules over the same lists, in order of priority: the last is dropped first when they leave nothing to pick.

    kinds: int32 [R, nnz], the kind of each item as rule r sees it; a negative kind is not touched by the rule.
    limits: int64 [R, 3], on the CPU, rows (span, most, prefix). Rule r forbids an item of kind c when the last span - 1
        picks hold `most` of kind c or more, so that every span positions in a row hold at most `most` of it. With
        prefix = 1 the rule ends after the first `span` positions.

    At most k of a kind in a row is (k + 1, k, 0); at most m in every w positions is (w, m, 0); at most m in the first
    t positions is (t, m, 1).
    """

    kinds: Tensor
    limits: Tensor

    def check(self, items: int, device: torch.device) -> None:
        """Raises TypeError or ValueError unless these are rules over `items` items on `device`."""
        check_tensor("rules.kinds", self.kinds, dtype=torch.int32, ndim=2, device=device)
        check_tensor("rules.limits", self.limits, dtype=torch.int64, ndim=2, device=torch.device("cpu"))
        count = self.limits.shape[0]
        if self.kinds.shape != (count, items):
            raise ValueError(f"rules.kinds: expected shape {(count, items)}, got {tuple(self.kinds.shape)}")
        if self.limits.shape[1] != 3:
            raise ValueError(f"rules.limits: expected 3 columns, got {self.limits.shape[1]}")
        if count > MAX_RULES:
            raise ValueError(f"rules: expected at most {MAX_RULES}, got {count}")
        for r, (span, most, prefix) in enumerate(self.limits.tolist()):
            if span < 1 or most < 0 or prefix not in (0, 1):
                got = f"{span}, {most}, {prefix} in row {r}"
                raise ValueError(f"rules.limits: expected span >= 1, most >= 0 and prefix 0 or 1, got {got}")
