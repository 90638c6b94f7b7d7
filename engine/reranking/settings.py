"""How pages are picked, as settings files write it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from headrace.reranking.rules import Rule, check_order
from headrace.reranking.slots import Pin, Slots, check_slots


class RerankSettings(BaseModel):
    """How a page is picked.

    method: dpp, mmr, or none (by score alone, still within the rules). theta: weight of the score against variety, 0
    to 1. window: how many of the last picks an item is compared with (None: all). rules: in order of priority; when
    they leave nothing, the last is dropped first. pins, slots: positions given away before anything is picked; what
    stands there is not held to the rules, what is picked after it is. clusters: of content, for rules of that kind.
    attributes: share of two items' likeness that comes from shared categories, keywords and authors, where the
    catalogue has content vectors for the rest (see `content_vectors`).
    Raises ValueError naming the rule when rules, pins and slots contradict each other.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    method: Literal["dpp", "mmr", "none"] = "dpp"
    theta: float = Field(default=0.6, ge=0.0, le=1.0)
    window: int | None = Field(default=10, ge=1)
    rules: tuple[Rule, ...] = ()
    pins: tuple[Pin, ...] = ()
    slots: tuple[Slots, ...] = ()
    clusters: int = Field(default=1000, ge=1)
    attributes: float = Field(default=0.0, ge=0.0, le=1.0)

    @model_validator(mode="after")
    def _consistent(self) -> RerankSettings:
        check_order(self.rules)
        check_slots(self.pins, self.slots, self.rules)
        return self
