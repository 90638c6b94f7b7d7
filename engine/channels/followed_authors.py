"""The latest items of the authors that a user follows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from headrace.channels import channel
from headrace.channels.shared.author_items import AuthorItems, AuthorSettings, top_authors
from headrace.data import Dataset, InteractionLog
from headrace.training.build import Build


@channel
class FollowedAuthors(AuthorItems):
    """Recall of the newest items of the authors that a user followed at one of their items, however long ago.

    A user's interest in an author is the number of these follows.
    """

    name = "followed_authors"

    class Settings(AuthorSettings):
        """The latest items of the authors that the user follows."""

        authors: int = Field(
            default=200, ge=1, description="authors of a user that count, those followed most often, then last"
        )

    @classmethod
    def needs(cls, dataset: Dataset) -> str | None:
        if lack := super().needs(dataset):
            return lack
        logs = [dataset.log, *([dataset.history] if dataset.history else [])]
        return None if any(log.gave("follow") for log in logs) else "log.follow: expected a 1 in some row, got none"

    @classmethod
    def fit(cls, build: Build, settings: Settings) -> FollowedAuthors:
        """Raises ValueError for rows outside the tables."""
        return cls.of(build, top_authors(build, _follows, settings.authors), settings.per_author)


def _follows(log: InteractionLog) -> NDArray[np.integer]:
    followed = log.signals["follow"] == 1 if "follow" in log.signals else np.zeros(len(log), np.bool_)
    return followed.astype(np.int64)
