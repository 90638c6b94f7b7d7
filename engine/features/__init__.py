"""Features: point-in-time statistics, behaviour lists and codes, and the store that training and serving share."""

from headrace.features.columns import Column, Columns
from headrace.features.family import FAMILIES, Family, family
from headrace.features.settings import FeatureSettings
from headrace.features.store import FeatureStore, requests_of
from headrace.features.training_set import TrainingSet
from headrace.features.windows import WindowCounter

__all__ = [
    "FAMILIES",
    "Column",
    "Columns",
    "Family",
    "FeatureSettings",
    "FeatureStore",
    "TrainingSet",
    "WindowCounter",
    "family",
    "requests_of",
]
