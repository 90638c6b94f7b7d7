"""Logs, catalogues and id maps: readers, the synthetic generator, and splits by time."""

from headrace.data.dataset import SIGNALS, UNKNOWN, Catalogue, Dataset, InteractionLog, Jagged, RowReport, Users
from headrace.data.ids import IdMap

__all__ = [
    "SIGNALS",
    "UNKNOWN",
    "Catalogue",
    "Dataset",
    "IdMap",
    "InteractionLog",
    "Jagged",
    "RowReport",
    "Users",
]
