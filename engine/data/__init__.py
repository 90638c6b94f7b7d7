"""Logs, catalogues and id maps: readers, the synthetic generator, and splits by time."""

from headrace.data.clean import Cleaned, clean
from headrace.data.clock import check_plausible, clock, plausible
from headrace.data.dataset import UNKNOWN, Catalogue, Dataset, InteractionLog, Jagged, RowReport, Users
from headrace.data.ids import IdMap
from headrace.data.kuairand import read_kuairand
from headrace.data.movielens import read_movielens
from headrace.data.parquet import read_parquet, write_parquet
from headrace.data.readers import detect, read
from headrace.data.signals import SIGNALS
from headrace.data.split import days, split_at, split_by_time
from headrace.data.synthetic import Synthetic, generate
from headrace.data.world import Truth

__all__ = [
    "SIGNALS",
    "UNKNOWN",
    "Catalogue",
    "Cleaned",
    "Dataset",
    "IdMap",
    "InteractionLog",
    "Jagged",
    "RowReport",
    "Synthetic",
    "Truth",
    "Users",
    "check_plausible",
    "clean",
    "clock",
    "days",
    "detect",
    "generate",
    "plausible",
    "read",
    "read_kuairand",
    "read_movielens",
    "read_parquet",
    "split_at",
    "split_by_time",
    "write_parquet",
]
