"""ItemCF: items like those that the user took an interest in."""

from __future__ import annotations

from pydantic import Field

from headrace.channels import channel
from headrace.channels.shared.history import user_history
from headrace.channels.shared.item_to_item import ItemToItem, ItemToItemSettings, among, fading, likes_of
from headrace.channels.shared.publishing import recalled
from headrace.similarity.neighbours import Similarity, Weighting, by_seed, centre, nearest_items
from headrace.training.build import Build


@channel
class ItemCF(ItemToItem):
    """Recall by item-to-item collaborative filtering (Linden, Smith, York 2003; Sarwar et al. 2001)."""

    name = "itemcf"

    class Settings(ItemToItemSettings):
        """Item-based collaborative filtering: its neighbours."""

        quota: int = Field(default=500, ge=0, description="items it may bring a request; 0: it is not built")
        min_common: int = Field(
            default=2,
            ge=1,
            description="users that two items must share to be neighbours: on a sparse log 2 or 3 keeps chance pairs "
            "of similarity 1 out",
        )
        similarity: Similarity = Field(
            default="tfidf",
            description="what makes items alike ([channels.md](channels.md)): cosine: of the items' likes by user; "
            "count: common users over the root of the product of both audiences; pearson, tfidf, bm25: the same of "
            "weighted likes; p3alpha, rp3beta: walks from item to user to item",
        )
        shrink: float = Field(
            default=0.0,
            ge=0,
            le=1e18,
            description="added below the line of a cosine, so that pairs of few users count for less",
        )
        alpha: float = Field(default=1.0, gt=0, le=10, description="of p3alpha and rp3beta: the power of a step's odds")
        beta: float = Field(
            default=0.6, ge=0, le=10, description="of rp3beta: how strongly popular items are held back"
        )
        normalised: float = Field(
            default=0.0,
            ge=0,
            le=1,
            description="0: an item scores by the lists of the user's items; above: by its own, its similarities over "
            "their sum to this power, so that items similar to everything come forward less",
        )
        centred: bool = Field(
            default=False,
            description="interest counts as far as it is above its item's mean, and an item begins with its own; with "
            "`normalised` above 0",
        )

    @classmethod
    def fit(cls, build: Build, settings: Settings) -> ItemCF:
        """Index the last items of each user and the most similar items of each item, ties to the lower item.

        Raises ValueError for rows outside the tables.
        """
        history = build.once(user_history, settings.last)
        likes = likes_of(history, len(build.dataset.catalogue))
        weighting = Weighting(settings.similarity, settings.shrink, settings.min_common, settings.alpha, settings.beta)
        seeds, kept = fading(history, settings.fading), build.once(recalled)
        if not settings.normalised:
            return cls(seeds, *nearest_items(likes, settings.neighbours, weighting, kept))
        # Here an item brings its own list, whose items are the user's, however old those are.
        nearest = nearest_items(likes, settings.neighbours, weighting)
        offsets, item, share = among(kept, *by_seed(*nearest, settings.normalised))
        mean = likes.sum(axis=0) / max(len(history), 1)
        return cls(seeds, offsets, item, share, centre(offsets, item, share, mean) if settings.centred else None)
