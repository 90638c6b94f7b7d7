"""Top-k over a catalogue in parts: in this process, in several, or on the ranks of `torch.distributed`."""

from headrace.kernels.sharded.files import save_shards, shard_paths
from headrace.kernels.sharded.processes import TopKProcesses
from headrace.kernels.sharded.ranks import TopKRanks
from headrace.kernels.sharded.shards import TopKShards

__all__ = ["TopKProcesses", "TopKRanks", "TopKShards", "save_shards", "shard_paths"]
