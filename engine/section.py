"""The one base of all settings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator


class Section(BaseModel):
    """A group of settings, fixed once made; an unknown name is an error. Every field has a description, from which
    docs/settings.md is made."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_other_name(cls, value: Any) -> Any:
        for name in value if isinstance(value, Mapping) else ():
            if name not in cls.model_fields:
                raise ValueError(f"expected one of {', '.join(cls.model_fields) or 'none'}, got {name!r}")
        return value


def first_problem(error: ValidationError) -> str:
    """The first mistake in one line: the setting, what was expected and what came."""
    first = error.errors()[0]
    # A name of a mapping that is wrong itself comes with a mark of the library's.
    name = ".".join(str(part) for part in first["loc"] if part != "[key]")
    # A check of ours says itself what came; its input would be the whole group.
    got = "" if first["type"] == "value_error" else f", got {first['input']!r}"
    return f"{name}: {first['msg'].removeprefix('Value error, ')}{got}".removeprefix(": ")


def one_of(known: Collection[str]) -> Callable[[str], str]:
    """A validator of names; an error lists those that are known."""

    def check(name: str) -> str:
        if name not in known:
            raise ValueError(f"expected one of {', '.join(known)}, got {name!r}")
        return name

    return check
