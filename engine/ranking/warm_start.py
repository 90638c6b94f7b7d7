"""Warm starts: a new network takes over what an older one learnt, though tables have grown and codes have moved."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from headrace.models.blocks import FieldEmbedding

#: field name -> int64 [new codes - 1]: the old row of each new row, -1 where there was none.
CodeMaps = dict[str, Tensor]


@torch.no_grad()
def copy_embeddings(network: nn.Module, old: nn.Module, maps: CodeMaps | None = None) -> None:
    """Copies into `network` the embeddings of all codes that `old` knows, table by table and field by field.

    maps: for fields whose codes moved, e.g. {"item": old_ids.rows(new_ids.ids)}; a field without a map keeps its codes,
    new ones at the end. Tables of another width are left as they are.
    """
    tables = {name: module for name, module in old.named_modules() if isinstance(module, FieldEmbedding)}
    for name, module in network.named_modules():
        if isinstance(module, FieldEmbedding) and name in tables:
            _copy_fields(module, tables[name], maps or {})


@torch.no_grad()
def copy_layers(network: nn.Module, old: nn.Module) -> None:
    """Copies all other weights and buffers of equal name and shape."""
    held = old.state_dict()
    tables = {f"{name}.table.weight" for name, module in network.named_modules() if isinstance(module, FieldEmbedding)}
    for name, tensor in network.state_dict().items():
        if name not in tables and name in held and held[name].shape == tensor.shape:
            tensor.copy_(held[name])


def _copy_fields(new: FieldEmbedding, old: FieldEmbedding, maps: CodeMaps) -> None:
    if new.table.embedding_dim != old.table.embedding_dim:
        return
    fields = {field.name: (int(start), field.size) for field, start in zip(old.fields, old.starts, strict=True)}
    for field, start in zip(new.fields, new.starts.tolist(), strict=True):
        if field.name not in fields:
            continue
        old_start, old_size = fields[field.name]
        moved = maps.get(field.name, torch.arange(field.size - 1))
        source = torch.cat([torch.zeros(1, dtype=torch.int64), moved.long() + 1])
        known = (source < old_size) & ((source > 0) | (torch.arange(len(source)) == 0))
        target = start + known.nonzero()[:, 0]
        new.table.weight[target] = old.table.weight[old_start + source[known]]
