"""Re-ranking: page rules, slots and diversity."""

from headrace.reranking.diversity import Reranker, first
from headrace.reranking.rules import MaxInPrefix, MaxOnPage, MaxRun, OneInWindow, Rule, Scatter
from headrace.reranking.settings import RerankSettings
from headrace.reranking.slots import Pin, Slots

__all__ = [
    "MaxInPrefix",
    "MaxOnPage",
    "MaxRun",
    "OneInWindow",
    "Pin",
    "RerankSettings",
    "Reranker",
    "Rule",
    "Scatter",
    "Slots",
    "first",
]
