"""The least that a call of three_towers must do."""

from __future__ import annotations

from headrace.kernels.three_towers.model import TowersSizes
from headrace.kernels.work import Work


def work(sizes: TowersSizes, batch: int, candidates: int, request: int, dynamic: int, fields: int = 1) -> Work:
    """batch: B. candidates: of all requests. request, dynamic: widths R and D."""
    s = sizes
    cross = dynamic * (s.dim + s.targets) + (1 + fields) * s.width // 2
    upper = 2 * s.dim * s.upper_units + s.upper_units * s.targets
    tower = request * (s.tower_units + s.targets) + s.tower_units * s.dim + 2 * s.dim * s.upper_units
    row = 4 * s.width + 8 + 4 * fields + 4 * dynamic + 4 * s.targets
    flops = 2 * (candidates * (cross + upper) + batch * tower)
    return Work(float(flops), float(candidates * row + batch * 4 * request), random=True)
