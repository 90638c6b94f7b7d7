"""The page of settings names every setting, and the defaults are the ones it states."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from headrace.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def leaves(prefix: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, BaseModel):
        names = list(type(value).model_fields)
    elif dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
    else:
        yield prefix, value
        return
    for name in names:
        yield from leaves(f"{prefix}.{name}" if prefix else name, getattr(value, name))


def test_every_setting_is_on_the_page() -> None:
    rows = dict(line.split("|")[1:3] for line in PAGE.read_text().splitlines() if line.startswith("| `"))
    stated = {name.strip(" `"): default.strip() for name, default in rows.items()}
    settings = {name: value for name, value in leaves("", Settings()) if not name.endswith(".seed")}
    assert set(stated) == set(settings)
    for name, value in settings.items():
        if isinstance(value, (int, float, str)):
            assert stated[name] == str(value), name
