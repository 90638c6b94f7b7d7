"""Snapshots of format 1 still load. The writer here is what that format was: flat tensors, and facts apart."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from headrace.channels.author_latest import AuthorLatest
from headrace.channels.itemcf import ItemCF
from headrace.channels.popular import Popular
from headrace.channels.popular_in_category import PopularInCategory
from headrace.channels.two_tower import TwoTower
from headrace.exposure import ExposureFilter
from headrace.reranking import MaxRun, Reranker, RerankSettings
from headrace.serving import Engine
from headrace.snapshot import Snapshot, SnapshotError, read_snapshot, write_snapshot

Tensors = dict[str, Tensor]


def write_v1(folder: Path, parts: dict[str, Tensors], tables: dict[str, pa.Table], info: dict[str, Any]) -> None:
    version = folder / "20250101T000000-00000000"
    version.mkdir(parents=True)
    for name, tensors in parts.items():
        save_file(
            {key: tensor.clone().contiguous() for key, tensor in tensors.items()}, version / f"{name}.safetensors"
        )
    for name, table in tables.items():
        with pa.OSFile(str(version / f"{name}.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
    written = {path.name: path.read_bytes() for path in sorted(version.iterdir())}
    known = {name: {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()} for name, text in written.items()}
    text = json.dumps({"format": "headrace-snapshot", "version": 1, "info": info, "parts": known}, indent=1)
    (version / "manifest.json").write_text(text)
    (folder / "CURRENT").write_text(f"{version.name} {hashlib.sha256(text.encode()).hexdigest()}\n")


def exposure_v1(seen: ExposureFilter) -> Tensors:
    newest = [] if seen._newest is None else [seen._newest]
    return {
        "fpr": torch.tensor(seen.fpr, dtype=torch.float64),
        "window_ms": torch.tensor(seen.window_ms),
        "generations": torch.tensor(seen.generations),
        "capacities": torch.tensor([bank.capacity for bank in seen._banks]),
        "newest": torch.tensor(newest, dtype=torch.int64),
        "count": seen._count,
        "recent.items": seen._recent.items,
        "recent.count": seen._recent.count,
        **{f"bank{c}.row": bank.row for c, bank in enumerate(seen._banks)},
        **{f"bank{c}.bits": bank.bits for c, bank in enumerate(seen._banks)},
    }


def reranker_v1(reranker: Reranker) -> Tensors:
    text = bytearray(reranker.settings.model_dump_json().encode())
    return {
        "vectors": reranker.vectors,
        "pins": reranker.pins,
        "settings": torch.frombuffer(text, dtype=torch.uint8),
        **{f"kinds.{name}": column for name, column in reranker.kinds.items()},
    }


def channel_v1(channel: object) -> Tensors:
    names: tuple[str, ...] = ()
    more: Tensors = {}
    match channel:
        case ItemCF():
            names = ("offsets", "item", "similarity")
            history = channel.history
            more = {f"history.{name}": getattr(history, name) for name in ("offsets", "item", "interest", "time")}
        case TwoTower():
            names = ("recent", "known", "rows", "vectors", "user_keys", "item_keys")
            more = {
                **{f"model.{name}": tensor for name, tensor in channel.model.state_dict().items()},
                **{f"user.{name}": getattr(channel.users, name) for name in ("offsets", "codes", "weights")},
                **{f"user_field.{name}": torch.tensor(size) for name, size in channel.users.sizes.items()},
                **{f"item_field.{name}": torch.tensor(size) for name, size in channel.item_fields.items()},
            }
        case AuthorLatest():
            names = ("user_offsets", "author", "interest", "item_offsets", "item", "published", "per_author")
        case PopularInCategory():
            names = ("user_offsets", "category", "interest", "item_offsets", "item", "share")
        case Popular():
            names = ("item", "score")
    return more | {name: getattr(channel, name) for name in names}


#: Parts that are made anew.
LOST = ("features", "preranker", "ranker")


@pytest.fixture
def old(engine: Engine, snapshot: Path, tmp_path: Path) -> Path:
    """The small engine as format 1 had it."""
    today = read_snapshot(snapshot)
    funnel = engine.funnel
    parts: dict[str, Tensors] = {name: {"some": torch.ones(3)} for name in LOST}
    parts |= {"exposure": exposure_v1(funnel.exposure), "reranker": reranker_v1(funnel.reranker)}
    parts |= {f"channel-{channel.name}": channel_v1(channel) for channel in funnel.channels}
    meta = {name: {"settings": {}} for name in LOST}
    settings = json.loads((Path(__file__).parent / "settings_v1.json").read_text())
    write_v1(tmp_path / "old", parts, today.tables, {**today.info, "settings": settings, "meta": meta})
    return tmp_path / "old"


def test_the_other_parts_of_format_1_answer_as_before(
    engine: Engine, snapshot: Path, old: Path, tmp_path: Path
) -> None:
    kept, today = read_snapshot(old), read_snapshot(snapshot)
    assert set(kept.lost) == set(LOST)
    states = {**kept.states, **{name: today.states[name] for name in LOST}}
    write_snapshot(tmp_path / "joined", Snapshot(states, kept.tables, kept.info))
    again = Engine.load(tmp_path / "joined")
    users = engine.users.ids[:40].tolist()
    assert again.recommend(users, 10) == engine.recommend(users, 10)
    assert again.settings == engine.settings
    assert np.array_equal(again.items.ids, engine.items.ids)
    for one in (again, engine):
        one.recommend(users, 10, record=True)
    assert again.recommend(users, 10, at=engine.as_of + 1) == engine.recommend(users, 10, at=engine.as_of + 1)


def test_numbers_of_format_1_are_facts(tmp_path: Path) -> None:
    never = ExposureFilter(0.013, window_days=1 / 7)
    settings = RerankSettings(rules=(MaxRun(kind="author", k=2),))
    reranker = Reranker(settings, torch.eye(3), {"author": torch.arange(3, dtype=torch.int32)})
    write_v1(tmp_path, {"exposure": exposure_v1(never), "reranker": reranker_v1(reranker)}, {}, {"as_of": 3})
    back = read_snapshot(tmp_path)
    assert back.info == {"as_of": 3}
    for part, now in (("exposure", never.state()), ("reranker", reranker.state())):
        assert back.states[part].facts == now.facts
        assert back.states[part].tensors.keys() == now.tensors.keys()
        for name, tensor in now.tensors.items():
            assert torch.equal(back.states[part].tensors[name], tensor), name
    assert ExposureFilter.from_state(back.states["exposure"]).window_ms == never.window_ms


def test_parts_that_cannot_be_read_are_named(old: Path) -> None:
    kept = read_snapshot(old)
    assert "items" in kept.tables
    words = ", ".join(kept.lost)
    with pytest.raises(SnapshotError, match=rf"old: made by a release whose {words} this one cannot read; build it"):
        Engine.load(old)
