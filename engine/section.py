"""The one base of all settings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A group of settings, fixed once made; an unknown name is an error. Every field has a description, from which
    docs/settings.md is made."""

    model_config = ConfigDict(extra="forbid", frozen=True)
