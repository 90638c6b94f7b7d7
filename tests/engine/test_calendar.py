"""Forty days of an engine's life: requests, exposures, new items, and a rebuild every so often."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from headrace.build import build
from headrace.data import Dataset, IdMap, InteractionLog, generate
from headrace.exposure.filter import DAY_MS
from headrace.settings import Settings

USERS, K, DAYS, EVERY = 24, 8, 40, 13


def world(data: Dataset, rows: list[tuple[int, int, int, int]], items: int) -> Dataset:
    """The first `items` of a catalogue, and the part of its log that is about these, with (user, item, time, click)
    rows after it."""
    whole, log = data.catalogue, data.log.take(data.log.item < items)
    user, item, time, click = np.array(rows, np.int64).reshape(-1, 4).T
    signals = {"impression": np.ones(len(rows), np.int8), "click": click.astype(np.int8)}
    later = InteractionLog(user.astype(np.int32), item.astype(np.int32), time, signals)
    columns = ("user", "item", "time")
    joined = InteractionLog(
        *(np.concatenate([getattr(log, name), getattr(later, name)]) for name in columns),
        {name: np.concatenate([log.signals[name], later.signals[name]]) for name in signals},
    )
    catalogue = replace(
        whole,
        ids=IdMap(whole.ids.ids[:items]),
        **{name: getattr(whole, name)[:items] for name in ("author", "publish_time", "vector", "marked")},
        **dict.fromkeys(("category", "keyword", "city", "duration_ms")),
        names={},
    )
    return replace(data, catalogue=catalogue, log=joined, context_names={})


def test_forty_days(tmp_path: Path, small_settings: Settings) -> None:
    rng = np.random.default_rng(5)
    data = generate(USERS, 260, 2_500, seed=5).dataset
    first, rows = int(data.log.time[-1]) // DAY_MS * DAY_MS + DAY_MS, list[tuple[int, int, int, int]]()
    users = data.users.ids.ids.tolist()
    items = 140
    dataset = world(data, rows, items)
    shown = [dict(zip(*(column[of] for column in (dataset.log.item, dataset.log.time)), strict=True))
             for of in (dataset.log.user == u for u in range(USERS))]  # fmt: skip
    settings = small_settings.model_copy(update={"unshown": 1.0})
    engine = build(dataset, settings, tmp_path / "0").engine
    full, short, again, new = 0, 0, 0, set[int]()
    for day in range(DAYS):
        if day and day % EVERY == 0:
            items = 140 + 3 * day
            engine = build(world(data, rows, items), settings, tmp_path / str(day)).engine
        at = first + day * DAY_MS + int(rng.integers(0, DAY_MS))
        who = torch.arange(USERS).repeat_interleave(items)
        left = ~engine.funnel.exposure.seen(who, torch.arange(items).repeat(USERS), at)
        pages = engine.recommend(users, K, at=at)
        for user, page in enumerate(pages):
            assert len(page.items) == min(K, int(left.view(USERS, items)[user].sum())), (day, user)
            full, short = full + (len(page.items) == K), short + (len(page.items) < K)
            seen = page.items[: rng.integers(K // 2, K + 1)]
            engine.confirm(page, seen)
            for item in engine.items.rows(seen).tolist():  # type: ignore[arg-type]
                assert at - shown[user].get(item, at - 40 * DAY_MS) > 30 * DAY_MS, (day, user, item)
                again += item in shown[user]
                shown[user][item] = at
                new |= {item} if item >= 140 else set()
                rows.append((user, item, at, int(rng.random() < 0.3)))
    # A user has seen all that there is by some day, and is shown what was long ago; new items arrive.
    assert full > 20 * USERS
    assert short > USERS
    assert again > USERS
    assert len(new) > 40
