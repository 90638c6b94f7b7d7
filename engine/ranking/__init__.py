"""Pre-ranking, multi-target ranking, calibration and fusion."""

from headrace.ranking.fusion import FusionSettings, fuse
from headrace.ranking.heads import Heads
from headrace.ranking.preranking import PreRanker
from headrace.ranking.ranker import Ranker
from headrace.ranking.settings import PreRankerSettings, RankerSettings
from headrace.ranking.training import train_preranker, train_ranker

__all__ = [
    "FusionSettings",
    "Heads",
    "PreRanker",
    "PreRankerSettings",
    "Ranker",
    "RankerSettings",
    "fuse",
    "train_preranker",
    "train_ranker",
]
