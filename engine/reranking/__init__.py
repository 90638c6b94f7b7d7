"""Re-ranking: page rules and diversity."""

from headrace.reranking.diversity import Reranker, RerankSettings
from headrace.reranking.rules import MaxInPrefix, MaxRun, OneInWindow, Rule

__all__ = ["MaxInPrefix", "MaxRun", "OneInWindow", "RerankSettings", "Reranker", "Rule"]
