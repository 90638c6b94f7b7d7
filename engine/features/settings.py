"""Settings of the features."""

from __future__ import annotations

from pydantic import Field

from headrace.features.windows import DAY_MS, WINDOWS_MS
from headrace.section import Section


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
    behaviours: int = Field(default=20, ge=1, description="a user's last clicked items that ranking sees (LastN)")
    content_dim: int = Field(
        default=16, ge=1, description="principal components that are kept of longer content vectors"
    )
    cross_context: tuple[str, ...] = Field(
        default=("tab",), description="contexts crossed with user and item in the statistics"
    )
