"""An engine as a snapshot, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.data import Catalogue, Dataset, IdMap
from headrace.exposure import ExposureFilter
from headrace.features import FeatureStore
from headrace.funnel import Funnel
from headrace.ranking import PreRanker, Ranker
from headrace.ranking.two_part import TwoPart
from headrace.reranking import Reranker
from headrace.retrieval import AuthorLatest, Channel, ItemCF, Popular, PopularInCategory
from headrace.retrieval.matrix_completion import MatrixCompletion
from headrace.retrieval.two_tower import TwoTower
from headrace.serving.engine import Engine
from headrace.settings import Settings
from headrace.snapshot import Snapshot, SnapshotError, read_snapshot, write_snapshot
from headrace.state import State

#: Every channel class, by name, in the order of the channel bits.
CHANNELS: dict[str, type[Channel]] = {
    channel.name: channel for channel in (ItemCF, TwoTower, MatrixCompletion, AuthorLatest, PopularInCategory, Popular)
}


def assemble(
    channels: list[Channel],
    exposure: ExposureFilter,
    preranker: PreRanker,
    ranker: Ranker,
    reranker: Reranker,
    settings: Settings,
) -> Funnel:
    """The funnel of these parts, its sizes from the settings."""
    quotas = [int(getattr(settings.recall, channel.name)) for channel in channels]
    recall, page, items = settings.recall, settings.page, len(ranker.store.items)
    chosen = settings.preranker
    preranker.variety = TwoPart(reranker.vectors, chosen.by_score, chosen.theta) if chosen.by_score < 1 else None
    return Funnel(items, channels, quotas, recall.total, exposure, preranker, page.ranked, ranker, reranker)


def save_engine(engine: Engine, dataset: Dataset, folder: Path) -> Path:
    """Writes the engine as the current version of the snapshot in `folder`; returns the version's folder."""
    funnel = engine.funnel
    states = {
        "features": State(*funnel.ranker.store.state()),
        "preranker": State(*funnel.preranker.state()),
        "ranker": State(*funnel.ranker.state()),
        "exposure": funnel.exposure.state(),
        "reranker": funnel.reranker.state(),
        **{f"channel-{channel.name}": State(channel.state()) for channel in funnel.channels},
    }
    info: dict[str, Any] = {
        "dataset": dataset.name,
        "as_of": engine.as_of,
        "settings": engine.settings.model_dump(mode="json"),
        "channels": [channel.name for channel in funnel.channels],
    }
    tables = {"items": _items_table(dataset.catalogue), "users": pa.table({"id": _ids(engine.users)})}
    return write_snapshot(folder, Snapshot(states, tables, info))


def load_engine(folder: Path, verify: bool = True) -> Engine:
    """Reads the current version of the snapshot in `folder`. Raises SnapshotError naming the file and the reason."""
    snapshot = read_snapshot(folder, verify)
    info, states = snapshot.info, snapshot.states
    if snapshot.lost:
        raise SnapshotError(
            f"{folder}: made by a release whose {', '.join(snapshot.lost)} this one cannot read; "
            f"build it again from {info['dataset']}: headrace build"
        )
    try:
        settings = Settings.model_validate(info["settings"])
        store = FeatureStore.from_state(states["features"].tensors, states["features"].facts)
        channels = [CHANNELS[name].from_state(states[f"channel-{name}"].tensors) for name in info["channels"]]
        preranker, ranker = states["preranker"], states["ranker"]
        funnel = assemble(
            channels,
            ExposureFilter.from_state(states["exposure"]),
            PreRanker.from_state(preranker.tensors, preranker.facts, store),
            Ranker.from_state(ranker.tensors, ranker.facts, store),
            Reranker.from_state(states["reranker"], settings.reranking),
            settings,
        )
    except (KeyError, ValueError, TypeError) as error:
        raise SnapshotError(f"{folder}: its parts do not fit this release: {error!r}") from error
    users, items = (IdMap(snapshot.tables[name].column("id").to_numpy()) for name in ("users", "items"))
    return Engine(funnel, users, items, int(info["as_of"]), settings)


def _ids(ids: IdMap) -> pa.Array:
    return pa.array(ids.ids)


def _items_table(catalogue: Catalogue) -> pa.Table:
    """Ids with what people want to read beside them; the models keep their own copies."""
    columns: dict[str, Any] = {"id": _ids(catalogue.ids)}
    category = catalogue.first_category()
    for name, codes in (("author", catalogue.author), ("category", category)):
        texts = catalogue.names.get(name)
        if codes is not None and texts:
            columns[name] = pa.DictionaryArray.from_arrays(
                pa.array(codes, pa.int32(), mask=np.asarray(codes < 0)), pa.array(texts)
            )
    if catalogue.publish_time is not None:
        columns["publish_time"] = pa.array(catalogue.publish_time)
    return pa.table(columns)
