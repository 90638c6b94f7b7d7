"""Settings of the features."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from headrace.data.signals import SIGNALS
from headrace.features.windows import DAY_MS, WINDOWS_MS
from headrace.section import Section, one_of

#: The list of the items a user clicked, or took any interest in where clicks are not logged.
ENGAGED = "engaged"

#: A table of so many for each user is kept in memory.
MOST_BEHAVIOURS = 10_000

ListName = Annotated[str, AfterValidator(one_of((ENGAGED, *SIGNALS)))]


class FeatureSettings(Section):
    """How features are made."""

    windows_ms: tuple[int, ...] = Field(
        default=WINDOWS_MS,
        description="sliding windows of the statistics, ms; windows longer than the log are dropped and all-time "
        "counts are always there",
    )
    refresh_ms: int = Field(
        default=DAY_MS,
        ge=0,
        description="how often statistics and behaviours are brought up to date, ms; training sees each row with what "
        "the last refresh before it knew, as a snapshot cut at that moment would serve it; 0: up to the event; longer "
        "than a sixteenth of the log is shortened to that",
    )
    smoothing: float = Field(default=10.0, gt=0, description="strength of the prior of the rates, in impressions")
    lists: tuple[ListName, ...] = Field(
        default=(ENGAGED,),
        description="behaviour lists that ranking sees, each of a signal, or engaged: the clicks, or any interest "
        "where clicks are not logged; content is compared with the first",
    )
    behaviours: int = Field(
        default=20, ge=1, le=MOST_BEHAVIOURS, description="a user's last items in each list (LastN)"
    )
    content_dim: int = Field(
        default=16, ge=1, description="principal components that are kept of longer content vectors"
    )
    context_codes: int = Field(
        default=100_000,
        ge=1,
        description="the most codes of a context that the log gives as integers; a log with a larger one is refused",
    )
    cross_context: tuple[str, ...] = Field(
        default=("tab",), description="contexts crossed with user and item in the statistics"
    )

    @field_validator("lists")
    @classmethod
    def _distinct(cls, lists: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(lists)) < len(lists):
            raise ValueError(f"lists: expected distinct names, got {', '.join(lists)}")
        return lists
