"""Settings of the features."""

from __future__ import annotations

from pydantic import BaseModel, Field

from headrace.features.windows import DAY_MS, WINDOWS_MS


class FeatureSettings(BaseModel):
    """How features are made.

    windows_ms: sliding windows of the statistics; windows longer than the log are dropped and all-time counts are
        always there. refresh_ms: how often statistics and behaviours are brought up to date; training sees each row
        with what the last refresh before it knew, as a snapshot cut at that moment would serve it. 0: up to the event.
        A refresh longer than a sixteenth of the log is shortened to that. smoothing: strength of the prior of the
        rates, in impressions. behaviours: length of LastN. cross_context: contexts crossed with user and item.
    content_dim: principal components that are kept of longer content vectors.
    """

    windows_ms: tuple[int, ...] = WINDOWS_MS
    refresh_ms: int = Field(default=DAY_MS, ge=0)
    smoothing: float = Field(default=10.0, gt=0)
    behaviours: int = Field(default=20, ge=1)
    content_dim: int = Field(default=16, ge=1)
    cross_context: tuple[str, ...] = ("tab",)
