"""Newest items of the keywords that a user takes an interest in."""

from __future__ import annotations

from headrace.channels import channel
from headrace.channels.shared.interests import InterestSettings, NewestIn
from headrace.training.build import Build


@channel
class NewestInKeyword(NewestIn):
    """Recall of the newest items of the keywords a user takes an interest in."""

    name = "newest_in_keyword"
    column = "keyword"

    class Settings(InterestSettings):
        """Newest items of the user's keywords."""

    @classmethod
    def fit(cls, build: Build, settings: Settings) -> NewestInKeyword:
        """Raises ValueError for rows outside the tables."""
        return cls.of(build, settings)
