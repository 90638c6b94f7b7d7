"""The latest items of authors like the user's own, by the fans that they share."""

from __future__ import annotations

import torch
from pydantic import Field
from scipy.sparse import csr_array

from headrace.channels import channel
from headrace.channels.shared.author_items import (
    AuthorItems,
    AuthorSettings,
    UserAuthors,
    engaging,
    newest_by_author,
    top_authors,
)
from headrace.kernels.two_hop import Edges, two_hop
from headrace.similarity.neighbours import Weighting, nearest_items
from headrace.training.build import Build


@channel
class SimilarAuthors(AuthorItems):
    """Recall by author similarity (user to authors to similar authors to items): the newest items of the authors whose
    fans are those of the user's authors.

    A fan of an author is who took an interest in the author as `author_latest` counts it; two authors are as similar as
    the cosine of their fans. A user's interest in an author is the sum, over the user's own authors, of the interest in
    that one times the similarity; own authors count as any other.
    """

    name = "similar_authors"

    class Settings(AuthorSettings):
        """The latest items of authors like the user's."""

        per_author: int = Field(default=1, ge=1, description="items of one author in a request, the newest")
        neighbours: int = Field(default=10, ge=1, description="most similar authors kept of each author")
        similar: int = Field(default=100, ge=1, description="similar authors of a user that count")
        min_common: int = Field(default=2, ge=1, description="fans that two authors must share to be similar")

    @classmethod
    def fit(cls, build: Build, settings: Settings) -> SimilarAuthors:
        """Raises ValueError for rows outside the tables."""
        points = engaging(build.logs)
        every = top_authors(build, points, len(build.dataset.catalogue))
        fans = csr_array(
            (torch.ones_like(every.author).double().numpy(), every.author.numpy(), every.offsets.numpy()),
            shape=(len(build.dataset.users), int(build.dataset.catalogue.author.max()) + 1),  # type: ignore[union-attr]
        )
        # An author whose items are all too old would take a place and bring nothing.
        alive = build.once(newest_by_author)[0].diff().numpy() > 0
        weighting = Weighting(min_common=settings.min_common)
        similar = Edges(*nearest_items(fans, settings.neighbours, weighting, alive))
        own = Edges(*top_authors(build, points, settings.authors))
        return cls.of(
            build, UserAuthors(*two_hop(torch.arange(own.nodes), own, similar, settings.similar)), settings.per_author
        )
