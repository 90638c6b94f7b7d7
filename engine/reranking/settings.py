"""How pages are picked, as settings files write it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from headrace.reranking.boosts import Boost
from headrace.reranking.methods import METHODS
from headrace.reranking.rules import Rule, check_order
from headrace.reranking.slots import Pin, Slots, check_slots
from headrace.section import Section, one_of


class RerankSettings(Section):
    """How a page is picked. Raises ValueError naming the rule when rules, pins and slots contradict each other."""

    method: Annotated[str, AfterValidator(one_of(METHODS))] = Field(
        default="dpp",
        description="what picks the page, by the name of its file in reranking/methods/; none: by score alone, still "
        "within the rules",
    )
    theta: float = Field(default=0.6, ge=0.0, le=1.0, description="weight of the score against variety")
    window: int | None = Field(
        default=10, ge=1, description="how many of the last picks an item is compared with; none: all"
    )
    rules: tuple[Rule, ...] = Field(
        default=(),
        description="page rules in order of priority; when they leave nothing, the last is dropped first "
        "([reranking.md](reranking.md))",
    )
    pins: tuple[Pin, ...] = Field(
        default=(),
        description="items put at positions of every page before anything is picked; they are not held to the rules, "
        "what is picked after them is",
    )
    slots: tuple[Slots, ...] = Field(
        default=(), description="positions given away to the best items of a kind before anything is picked"
    )
    boosts: tuple[Boost, ...] = Field(
        default=(), description="factors on the ranking score of items of a kind, for the picking of the page alone"
    )
    clusters: int = Field(default=1000, ge=1, description="clusters of content, for rules of that kind")
    attributes: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description="share of two items' likeness that comes from shared categories, keywords and authors, where the "
        "catalogue has content vectors for the rest",
    )

    @model_validator(mode="after")
    def _consistent(self) -> RerankSettings:
        check_order(self.rules)
        check_slots(self.pins, self.slots, self.rules)
        return self
