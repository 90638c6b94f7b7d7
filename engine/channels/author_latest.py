"""The latest items of the authors that a user interacted with."""

from __future__ import annotations

from pydantic import Field

from headrace.channels import channel
from headrace.channels.shared.author_items import AuthorItems, AuthorSettings, engaging, top_authors
from headrace.training.build import Build


@channel
class AuthorLatest(AuthorItems):
    """Recall of the newest items of the authors whose items a user liked, collected, shared or followed.

    A user's interest in an author is one point for each of these four; when not one row of the logs has any of them,
    one point for each click.
    """

    name = "author_latest"

    class Settings(AuthorSettings):
        """The latest items of the user's authors."""

        quota: int = Field(default=300, ge=0, description="items it may bring a request; 0: it is not built")

    @classmethod
    def fit(cls, build: Build, settings: Settings) -> AuthorLatest:
        """Raises ValueError for rows outside the tables."""
        return cls.of(build, top_authors(build, engaging(build.logs), settings.authors), settings.per_author)
