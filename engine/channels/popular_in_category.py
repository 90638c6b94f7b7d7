"""Popular items of the categories that a user takes an interest in."""

from __future__ import annotations

from pydantic import Field

from headrace.channels import channel
from headrace.channels.shared.interests import PopularIn, PopularSettings
from headrace.training.build import Build


@channel
class PopularInCategory(PopularIn):
    """Recall of the popular items of the categories a user takes an interest in."""

    name = "popular_in_category"
    column = "category"

    class Settings(PopularSettings):
        """Popular items of the user's categories."""

        quota: int = Field(default=300, ge=0, description="items it may bring a request; 0: it is not built")

    @classmethod
    def fit(cls, build: Build, settings: Settings) -> PopularInCategory:
        """Raises ValueError for rows outside the tables."""
        return cls.of(build, settings)
