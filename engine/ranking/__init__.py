"""Pre-ranking, selection, multi-target ranking, calibration and fusion."""

from headrace.ranking.blend import Blend, BlendSettings
from headrace.ranking.fusion import FusionSettings, fuse
from headrace.ranking.heads import Heads
from headrace.ranking.objectives import check_interest, check_objectives
from headrace.ranking.ranker import Ranker
from headrace.ranking.select import Select, Variety
from headrace.ranking.settings import NetworkSettings, PreRankerSettings, RankerSettings
from headrace.ranking.training import train_ranker

__all__ = [
    "Blend",
    "BlendSettings",
    "FusionSettings",
    "Heads",
    "NetworkSettings",
    "PreRankerSettings",
    "Ranker",
    "RankerSettings",
    "Select",
    "Variety",
    "check_interest",
    "check_objectives",
    "fuse",
    "train_ranker",
]
