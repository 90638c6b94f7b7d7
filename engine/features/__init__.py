"""Features: point-in-time statistics, behaviour sequences, and the store that training and serving share."""

from headrace.features.fields import FeatureSpec, Field
from headrace.features.frozen import Frozen
from headrace.features.inputs import CrossInputs, Inputs, ItemInputs, RequestInputs
from headrace.features.settings import FeatureSettings
from headrace.features.store import FeatureStore
from headrace.features.training_set import TrainingSet
from headrace.features.windows import WindowCounter

__all__ = [
    "CrossInputs",
    "FeatureSettings",
    "FeatureSpec",
    "FeatureStore",
    "Field",
    "Frozen",
    "Inputs",
    "ItemInputs",
    "RequestInputs",
    "TrainingSet",
    "WindowCounter",
]
