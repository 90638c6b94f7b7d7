"""Kernels: one folder per op, with its contract, its reference and each backend."""

from headrace.kernels.beam_search import PathIndex, PathModel, PathNetwork, beam_search
from headrace.kernels.bloom import bloom_contains, bloom_contains_lists, bloom_fpr, bloom_insert, bloom_size
from headrace.kernels.closeness import closeness
from headrace.kernels.dpp import Picks, Rules, dpp, dpp_picks, similarity
from headrace.kernels.embedding_bag import EmbeddingTables, embedding_bag
from headrace.kernels.lookup_pairs import PairTable, lookup_pairs
from headrace.kernels.mixture_of_experts import MixtureModel, MixtureSizes, mixture_of_experts
from headrace.kernels.mmr import mmr, mmr_picks
from headrace.kernels.network import Program, Stage, network
from headrace.kernels.pool_items import pool_items
from headrace.kernels.segment_topk import segment_topk
from headrace.kernels.three_towers import TowersModel, TowersSizes, three_towers
from headrace.kernels.topk import TopKIndex, TopKProcesses, TopKRanks, TopKShards, save_shards, topk
from headrace.kernels.two_hop import Edges, two_hop

__all__ = [
    "Edges",
    "EmbeddingTables",
    "MixtureModel",
    "MixtureSizes",
    "PairTable",
    "PathIndex",
    "PathModel",
    "PathNetwork",
    "Picks",
    "Program",
    "Rules",
    "Stage",
    "TopKIndex",
    "TopKProcesses",
    "TopKRanks",
    "TopKShards",
    "TowersModel",
    "TowersSizes",
    "beam_search",
    "bloom_contains",
    "bloom_contains_lists",
    "bloom_fpr",
    "bloom_insert",
    "bloom_size",
    "closeness",
    "dpp",
    "dpp_picks",
    "embedding_bag",
    "lookup_pairs",
    "mixture_of_experts",
    "mmr",
    "mmr_picks",
    "network",
    "pool_items",
    "save_shards",
    "segment_topk",
    "similarity",
    "three_towers",
    "topk",
    "two_hop",
]
