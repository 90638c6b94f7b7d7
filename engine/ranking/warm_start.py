"""Warm starts: a new network takes over what an older one learnt, though tables have grown and codes have moved."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from headrace.ranking.layers import FieldEmbedding

#: field name -> int64 [new codes - 1]: the old row of each new row, -1 where there was none.
CodeMaps = dict[str, Tensor]


def warm_start(
    network: nn.Module, old: nn.Module, targets: tuple[str, ...], old_targets: tuple[str, ...], maps: CodeMaps | None
) -> None:
    """Copies into `network` the embeddings of all known codes, and the dense weights where the shapes still agree.

    maps: for fields whose codes moved, e.g. {"item": old_ids.rows(new_ids.ids)}; a field without a map keeps its codes,
    new ones at the end. Dense weights are copied only when the targets are the same.
    """
    modules = dict(old.named_modules())
    with torch.no_grad():
        for name, module in network.named_modules():
            before = modules.get(name)
            if isinstance(module, FieldEmbedding) and isinstance(before, FieldEmbedding):
                _copy_fields(module, before, maps or {})
        if targets != old_targets:
            return
        weights = dict(old.named_parameters())
        for name, weight in network.named_parameters():
            before_weight = weights.get(name)
            if not name.endswith("table.weight") and before_weight is not None and before_weight.shape == weight.shape:
                weight.copy_(before_weight)


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
