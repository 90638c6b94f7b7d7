"""Users who refresh for weeks, and an engine that lives through forty days."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from headrace.build import build
from headrace.data import generate
from headrace.exposure.filter import DAY_MS
from headrace.serving import Engine
from headrace.settings import Settings


def unseen(engine: Engine, rows: np.ndarray, at: int) -> np.ndarray:
    """bool [users, items]: what the filter would let pass."""
    items = len(engine.items)
    who, item = torch.from_numpy(rows).repeat_interleave(items), torch.arange(items).repeat(len(rows))
    return (~engine.funnel.exposure.seen(who, item, at)).view(len(rows), items).numpy()


def refresh(engine: Engine, rows: np.ndarray, k: int, pages: int, step_ms: int) -> int:
    """Every page is full while unseen items are left, and none comes twice within the window of 30 days.

    Returns how many the last resort took part in.
    """
    users = engine.users.external(rows).tolist()
    shown: list[dict[object, int]] = [{} for _ in rows]
    filled = 0
    for n in range(pages):
        at = engine.as_of + n * step_ms
        left = unseen(engine, rows, at).sum(1)
        for b, page in enumerate(engine.recommend(users, k, at=at, record=True)):
            assert len(page.items) == min(k, left[b]), (n, b)
            assert len(set(page.items)) == len(page.items)
            for item in page.items:
                assert at - shown[b].get(item, at - 31 * DAY_MS) > 30 * DAY_MS, (n, b, item)
                shown[b][item] = at
            filled += any("fill" in names for names in page.channels)
    return filled


@pytest.mark.parametrize(("seed", "pages", "k", "step", "quota"), [(0, 200, 20, DAY_MS // 2, 5), (1, 60, 9, 0, 40)])
def test_refreshes_never_run_dry(snapshot: Path, seed: int, pages: int, k: int, step: int, quota: int) -> None:
    quotas = {name: {"quota": quota} for name in ("itemcf", "two_tower", "author_latest", "popular")}
    engine = Engine.load(snapshot, overlay={"channels": quotas | {"popular_in_category": {"quota": 0}}})
    rows = np.random.default_rng(seed).choice(len(engine.users), 5, replace=False)
    filled = refresh(engine, rows, k, pages, step)
    # Deep enough lists of such a small catalogue need no last resort.
    assert (filled > 100) == (quota == 5)


@pytest.mark.rare
@pytest.mark.parametrize(("seed", "items"), [(3, 700), (4, 3000)])
def test_200_refreshes_of_200_users(
    tmp_path_factory: pytest.TempPathFactory, small_settings: Settings, seed: int, items: int
) -> None:
    engine = build(generate(300, items, 12_000, seed).dataset, small_settings, tmp_path_factory.mktemp("world")).engine
    rows = np.random.default_rng(seed).choice(300, 200, replace=False)
    refresh(engine, rows, 20, 200, DAY_MS // 4)
