"""Popular items of the keywords that a user takes an interest in."""

from __future__ import annotations

from headrace.channels import channel
from headrace.channels.shared.interests import PopularIn, PopularSettings
from headrace.training.build import Build


@channel
class PopularInKeyword(PopularIn):
    """Recall of the popular items of the keywords a user takes an interest in."""

    name = "popular_in_keyword"
    column = "keyword"

    class Settings(PopularSettings):
        """Popular items of the user's keywords."""

    @classmethod
    def fit(cls, build: Build, settings: Settings) -> PopularInKeyword:
        """Raises ValueError for rows outside the tables."""
        return cls.of(build, settings)
