"""Kernels: one folder per op, with its contract, its reference and each backend."""

from headrace.kernels.beam_search import PathIndex, PathModel, beam_search
from headrace.kernels.bloom import bloom_contains, bloom_contains_lists, bloom_fpr, bloom_insert, bloom_size
from headrace.kernels.closeness import closeness
from headrace.kernels.co_occurrence import co_occurrence, swing
from headrace.kernels.diversity import Picks, Rules, dpp, dpp_picks, mmr, mmr_picks, similarity
from headrace.kernels.embedding_bag import EmbeddingTables, embedding_bag
from headrace.kernels.index import TopKIndex
from headrace.kernels.lookup_pairs import PairTable, lookup_pairs
from headrace.kernels.network import Program, Stage, network
from headrace.kernels.pool_items import pool_items
from headrace.kernels.segment_topk import segment_topk
from headrace.kernels.sharded import TopKProcesses, TopKRanks, TopKShards, save_shards
from headrace.kernels.topk import topk
from headrace.kernels.two_hop import Edges, two_hop

__all__ = [
    "Edges",
    "EmbeddingTables",
    "PairTable",
    "PathIndex",
    "PathModel",
    "Picks",
    "Program",
    "Rules",
    "Stage",
    "TopKIndex",
    "TopKProcesses",
    "TopKRanks",
    "TopKShards",
    "beam_search",
    "bloom_contains",
    "bloom_contains_lists",
    "bloom_fpr",
    "bloom_insert",
    "bloom_size",
    "closeness",
    "co_occurrence",
    "dpp",
    "dpp_picks",
    "embedding_bag",
    "lookup_pairs",
    "mmr",
    "mmr_picks",
    "network",
    "pool_items",
    "save_shards",
    "segment_topk",
    "similarity",
    "swing",
    "topk",
    "two_hop",
]
