"""Newest items of the categories that a user takes an interest in."""

from __future__ import annotations

from headrace.channels import channel
from headrace.channels.shared.interests import InterestSettings, NewestIn
from headrace.training.build import Build


@channel
class NewestInCategory(NewestIn):
    """Recall of the newest items of the categories a user takes an interest in."""

    name = "newest_in_category"
    column = "category"

    class Settings(InterestSettings):
        """Newest items of the user's categories."""

    @classmethod
    def fit(cls, build: Build, settings: Settings) -> NewestInCategory:
        """Raises ValueError for rows outside the tables."""
        return cls.of(build, settings)
