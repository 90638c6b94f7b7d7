"""FBGEMM's table-batched embedding bags for inference on a CPU: all tables in one call, code made for the shape."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.benchmarks.peers.tuning import Call

#: FBGEMM has no bfloat16 rows on a CPU; its 16-bit rows are float16.
ROWS = {"float32": "FP32", "bfloat16": "FP16", "int8": "INT8"}


def pooled(tables: list[Tensor], indices: Tensor, offsets: Tensor, dtype: str) -> Call:
    """A call for float32 [B, sum of dims]; ids and offsets as int32, which is its fast way."""
    from fbgemm_gpu.split_embedding_configs import SparseType
    from fbgemm_gpu.split_table_batched_embeddings_ops_common import EmbeddingLocation
    from fbgemm_gpu.split_table_batched_embeddings_ops_inference import IntNBitTableBatchedEmbeddingBagsCodegen

    kind = SparseType[ROWS[dtype]]
    specs = [(str(t), *table.shape, kind, EmbeddingLocation.HOST) for t, table in enumerate(tables)]
    bags = IntNBitTableBatchedEmbeddingBagsCodegen(specs, device="cpu", output_dtype=SparseType.FP32)
    bags.initialize_weights()
    for (rows, scales), table in zip(bags.split_embedding_weights(), tables, strict=True):
        _fill(rows, scales, table, dtype)
    ids, ends = indices.int(), offsets.int()

    def call() -> Tensor:
        with torch.inference_mode():
            out: Tensor = bags(ids, ends)
            return out

    return call


def _fill(rows: Tensor, scales: Tensor | None, table: Tensor, dtype: str) -> None:
    """Writes a table into FBGEMM's bytes; int8 rows have a float16 scale and offset of their own."""
    if scales is None:
        rows.copy_((table if dtype == "float32" else table.half()).view(torch.uint8))
        return
    fused = torch.ops.fbgemm.FloatToFused8BitRowwiseQuantized(table)
    rows.copy_(fused[:, : table.shape[1]])
    scales.copy_(fused[:, table.shape[1] :].contiguous().view(torch.float32).half().view(torch.uint8))
