"""A funnel as a snapshot, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from pydantic import Field

from headrace.channels import CHANNELS, Channel
from headrace.data import Catalogue, Dataset, IdMap
from headrace.exposure import Bars, ExposureFilter, Stock
from headrace.features import FeatureStore
from headrace.funnel import Funnel
from headrace.overlay import Overlay, overlaid
from headrace.ranking import Ranker, Select, Variety
from headrace.reranking import Reranker
from headrace.reranking.slots import pinned_rows
from headrace.settings import Settings
from headrace.snapshot import Snapshot, SnapshotError, read_snapshot, write_snapshot
from headrace.state import State
from headrace.types import Candidates, Requests

#: The parts of a funnel that may be absent -> the setting of their stage.
RANKERS = {"preranker": "preranking", "ranker": "ranking"}


class Loaded(NamedTuple):
    """What a snapshot holds: the funnel, the ids, the moment it describes (ms since the epoch), and its settings."""

    funnel: Funnel
    users: IdMap
    items: IdMap
    as_of: int
    settings: Settings


def assemble(
    channels: list[Channel],
    bars: Bars,
    store: FeatureStore,
    rankers: Mapping[str, Ranker],
    reranker: Reranker,
    settings: Settings,
) -> Funnel:
    """The funnel of these parts, used as the settings say; channels whose quota is 0 are left out.

    rankers: "preranker" and "ranker". Raises ValueError when no channel is left, and for a stage without its ranker.
    """
    chosen = settings.preranker
    used = [
        (part, quota)
        for one in channels
        for name, part in one.parts().items()
        if (quota := settings.channels[one.name].quotas.get(name))
    ]
    if not used:
        raise ValueError("channels: expected a quota above 0 for at least one, got none")
    variety = Variety(reranker.vectors, chosen.by_score, chosen.theta) if chosen.by_score < 1 else None
    names = [one.name for one, _ in used]
    for part, stage in RANKERS.items():
        if not getattr(settings.stages, stage):
            continue
        if part not in rankers:
            raise ValueError(f"stages.{stage}: expected a snapshot that was built with it, got one without")
        heads = rankers[part].heads
        heads.fusion = settings.fusion
        heads.blend = heads.blend.of(names) if heads.blend is not None and settings.blend.use else None
    return Funnel(
        store.items,
        [one for one, _ in used],
        [quota for _, quota in used],
        settings.merge.total,
        bars,
        store,
        rankers["preranker"] if settings.stages.preranking else None,
        Select(settings.page.ranked, variety),
        rankers["ranker"] if settings.stages.ranking else None,
        reranker,
        settings.stages.whole,
        settings.stages.reranking,
    )


def save(funnel: Funnel, dataset: Dataset, as_of: int, settings: Settings, folder: Path) -> Path:
    """Writes the funnel as the current version of the snapshot in `folder`; returns the version's folder."""
    sources = {channel.source.name: channel.source for channel in funnel.channels}
    states = {
        "features": funnel.store.state(),
        **{name: part.state() for name in RANKERS if (part := getattr(funnel, name)) is not None},
        "exposure": funnel.exposure.state(),
        "stock": funnel.bars.stock.state(),
        "reranker": funnel.reranker.state(),
        **{f"channel-{name}": channel.state() for name, channel in sources.items()},
    }
    info: dict[str, Any] = {
        "dataset": dataset.name,
        "as_of": as_of,
        "settings": settings.model_dump(mode="json"),
        "channels": list(sources),
    }
    tables = {"items": _items_table(dataset.catalogue), "users": pa.table({"id": _ids(dataset.users.ids)})}
    return write_snapshot(folder, Snapshot(states, tables, info))


# What is loaded in inference mode could be used, and changed, nowhere else.
@torch.inference_mode(False)
def load(folder: Path, verify: bool = True, overlay: Overlay | None = None) -> Loaded:
    """Reads the current version of the snapshot in `folder`; overlay: see `overlaid`.

    Raises SnapshotError naming the file and the reason, ValueError for an overlay that cannot be.
    """
    snapshot = read_snapshot(folder, verify)
    if snapshot.lost:
        why = "; ".join(f"{name}: {reason}" for name, reason in snapshot.lost.items())
        raise SnapshotError(
            f"{folder}: made by a release whose {', '.join(snapshot.lost)} this one cannot read ({why}); "
            f"build it again from {snapshot.info.get('dataset')}: headrace build"
        )
    info = State({}, snapshot.info)
    with _part(folder, "manifest"):
        names = info.fact("channels", list[str])
        as_of = info.fact("as_of", Annotated[int, Field(gt=-(1 << 62), lt=1 << 62)])
    if missing := [name for name in names if name not in CHANNELS]:
        raise SnapshotError(
            f"{folder}: expected channels of {', '.join(CHANNELS)}, which are installed here; got {', '.join(missing)}"
        )
    users, items = (_ids_of(folder, snapshot, name) for name in ("users", "items"))
    rows = {"users": len(users), "items": len(items)}
    states = {name: replace(state, rows=rows) for name, state in snapshot.states.items()}
    with _part(folder, "settings"):
        settings = Settings.model_validate(_of_known_channels(info.fact("settings", dict[str, Any])))
    with _part(folder, "features"):
        store = FeatureStore.from_state(states["features"])
    channels = []
    for name in dict.fromkeys(names):
        with _part(folder, f"channel-{name}"):
            channels.append(CHANNELS[name].from_state(states[f"channel-{name}"]))
    with _part(folder, "exposure"):
        exposure = ExposureFilter.from_state(states["exposure"])
    with _part(folder, "stock"):
        # Format 1 has none.
        bars = Bars(exposure, Stock.from_state(states["stock"]) if "stock" in states else Stock.bare(len(items)))
    rankers = {}
    for name in (one for one in RANKERS if one in states):
        with _part(folder, name):
            rankers[name] = Ranker.from_state(states[name], store)
    with _part(folder, "reranker"):
        reranker = Reranker.from_state(states["reranker"], settings.reranking)
    if overlay is not None:
        settings = overlaid(settings, overlay, names)
        pins = pinned_rows(settings.reranking.pins, items)
        reranker = Reranker(settings.reranking, reranker.vectors, reranker.kinds, pins, reranker.texts)
    # An overlay's mistakes are not the snapshot's.
    with _part(folder, "settings") if overlay is None else nullcontext():
        funnel = assemble(channels, bars, store, rankers, reranker, settings)
    with _part(folder, "first answers"):
        check_answers(funnel, range(min(len(users), 1)), as_of, settings.page.shown)
    return Loaded(funnel, users, items, as_of, settings)


def check_answers(funnel: Funnel, known: Sequence[int], as_of: int, shown: int) -> Candidates:
    """The pages of an unknown user and the rows `known`. Raises where the funnel fails one of them."""
    user = torch.tensor([-1, *known])
    page = funnel.run(Requests(user, torch.full_like(user, as_of), {}), shown).page
    if not bool(page.score.isfinite().all()):
        raise ValueError(f"score: expected finite numbers in the first answers, got {page.score.tolist()}")
    return page


@contextmanager
def _part(folder: Path, name: str) -> Iterator[None]:
    """Whatever a part that somebody forged makes fail is a SnapshotError."""
    try:
        yield
    except SnapshotError:
        raise
    except Exception as error:
        told = str(error) if isinstance(error, ValueError) else repr(error)
        raise SnapshotError(f"{folder}: its {name} does not fit this release: {told:.1000}") from error


def _ids_of(folder: Path, snapshot: Snapshot, name: str) -> IdMap:
    with _part(folder, f"{name}.arrow"):
        if name not in snapshot.tables:
            raise ValueError(f"expected a table of {name}, got {', '.join(snapshot.tables) or 'none'}")
        column = snapshot.tables[name].column("id")
        if column.null_count:
            raise ValueError(f"id: expected no nulls, got {column.null_count}")
        given = column.to_numpy()
        ids = IdMap(given)
        if not np.array_equal(ids.ids, given):
            raise ValueError("id: expected ids in order, got others")
        return ids


def _of_known_channels(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings without those of channels that were not built and are not installed here."""
    return {**settings, "channels": {name: one for name, one in settings["channels"].items() if name in CHANNELS}}


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
    if catalogue.title is not None:
        columns["title"] = pa.array(catalogue.title, pa.string())
    if catalogue.publish_time is not None:
        columns["publish_time"] = pa.array(catalogue.publish_time)
    return pa.table(columns)
