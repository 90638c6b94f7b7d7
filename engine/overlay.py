"""What a snapshot's settings may become when it is loaded: all that needs no training and no index anew."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from headrace.section import Section, first_problem
from headrace.settings import Settings, read_toml

Overlay = Mapping[str, Any] | str | Path

#: Settings, or sections of them, that only say how trained parts are used.
_FREE = ("merge", "page", "fusion", "blend.use", "stages", "reranking", "preranker.by_score", "preranker.theta")
#: But these say what was computed from the catalogue.
_FIXED = ("reranking.attributes", "reranking.clusters")


def overlaid(settings: Settings, overlay: Overlay, channels: Collection[str]) -> Settings:
    """`settings` with what `overlay` says instead: a mapping, or a TOML file.

    channels: those that the snapshot has; their quotas may change, to 0 too, which leaves them out. Raises ValueError
    for any other setting, naming it, and for values that it cannot have.
    """
    where = f"{overlay}: " if isinstance(overlay, (str, Path)) else "overlay: "
    changes = read_toml(overlay) if isinstance(overlay, (str, Path)) else overlay
    quotas = [f"channels.{name}.{place}quota" for name in channels for place in _parts(settings.channels[name].quotas)]
    told = settings.model_dump(mode="json")
    for name, value in _leaves(changes, settings):
        if not (_under(name, (*_FREE, *quotas)) and not _under(name, _FIXED)):
            raise ValueError(
                f"{where}{name}: is fixed when a snapshot is built; free are {', '.join([*_FREE, *quotas])}"
            )
        *path, last = name.split(".")
        place = told
        for part in path:
            place = place[part]
        place[last] = value
    try:
        return Settings.model_validate(told)
    except ValidationError as error:
        raise ValueError(where + first_problem(error)) from error


def _leaves(changes: Mapping[str, Any], settings: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(name, value) of each setting that `changes` names; a mapping is gone into where `settings` has a section."""
    for name, value in changes.items():
        held = settings.get(name) if isinstance(settings, Mapping) else getattr(settings, name, None)
        sections = isinstance(held, Mapping) and any(isinstance(one, Section) for one in held.values())
        if isinstance(value, Mapping) and (isinstance(held, Section) or sections):
            yield from _leaves(value, held, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _parts(quotas: Mapping[str, int]) -> list[str]:
    return [f"pools.{name}." if name else "" for name in quotas]


def _under(name: str, places: Collection[str]) -> bool:
    return any(name == place or name.startswith(f"{place}.") for place in places)
