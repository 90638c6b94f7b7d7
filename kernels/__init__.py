"""Kernels: one folder per op, with its contract, its reference and each backend."""

from headrace.kernels.bloom import bloom_contains, bloom_insert, bloom_size
from headrace.kernels.dpp import Picks, Rules, dpp, dpp_picks
from headrace.kernels.embedding_bag import EmbeddingTables, embedding_bag
from headrace.kernels.mmr import mmr, mmr_picks
from headrace.kernels.topk import topk

__all__ = [
    "EmbeddingTables",
    "Picks",
    "Rules",
    "bloom_contains",
    "bloom_insert",
    "bloom_size",
    "dpp",
    "dpp_picks",
    "embedding_bag",
    "mmr",
    "mmr_picks",
    "topk",
]
