"""The fallback of a network that no program can express: the same stages, step by step in torch."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from headrace.features.columns import Columns, Side
from headrace.models.lower.graph import CONSTANT, ITEM, PAIR, REQUEST, CannotLower
from headrace.models.lower.trace import STAGES, graph_of

_CHUNK = 1 << 14
#: What says how many rows there are must be asked where they are used.
_OF_ROWS = ("size", "getattr", "len", "dim")


class Staged:
    """A network in float64, each step where it belongs: once a request, once an item of a snapshot, or for each
    candidate; the logits are rounded once, so that a request's hardly feel what else is in its batch.

    reason: why it is no program. A network that does not trace, or that does not keep its rows in the first dimension,
    runs as a whole for each candidate.
    """

    def __init__(self, model: nn.Module, columns: Columns, sides: Mapping[str, Side], reason: str) -> None:
        self.reason = reason
        self.model = copy.deepcopy(model).double().eval()
        self._sides = {column.name: sides.get(column.name, column.side) for column in columns}
        self._steps: fx.GraphModule | None = None
        self._stages: dict[fx.Node, int] = {}
        self._trace(columns)

    def _trace(self, columns: Columns) -> None:
        try:
            self._steps = fx.GraphModule(self.model, graph_of(self.model))
        except CannotLower:
            return
        for node in self._steps.graph.nodes:
            self._stages[node] = self._stage_of(node)
        if not self._keeps_rows(columns):
            self._steps = None

    def _stage_of(self, node: fx.Node) -> int:
        if node.op in ("placeholder", "get_attr"):
            return CONSTANT
        if node.op == "output" or getattr(node.target, "__name__", node.target) in _OF_ROWS:
            return PAIR
        if node.args and isinstance(node.args[0], fx.Node) and node.args[0].op == "placeholder":
            return STAGES[self._sides[str(node.args[1])]] if len(node.args) == 2 else PAIR
        stage = CONSTANT
        for read in node.all_input_nodes:
            stage |= self._stages[read]
        return stage

    def _keeps_rows(self, columns: Columns) -> bool:
        """Whether what candidates read of requests and items has those in its first dimension."""
        for stage in (REQUEST, ITEM):
            for rows in (2, 3):
                values = self._run(stage, _blank(columns, rows), {})
                if any(not isinstance(v, Tensor) or v.dim() < 1 or len(v) != rows for v in self._seen(values).values()):
                    return False
        return True

    def _seen(self, values: Mapping[fx.Node, Any]) -> dict[fx.Node, Any]:
        """The values that steps of a candidate read."""
        return {n: v for n, v in values.items() if any(self._stages[user] == PAIR for user in n.users)}

    def _run(self, stage: int, columns: Mapping[str, Tensor], known: Mapping[fx.Node, Any]) -> dict[fx.Node, Any]:
        """The values of the steps of one stage, and of those that depend on nothing."""
        assert self._steps is not None
        # One for each run: it holds the values of the steps.
        steps = fx.Interpreter(self._steps)
        steps.env = env = dict(known)
        made: dict[fx.Node, Any] = {}
        for node in self._steps.graph.nodes:
            if node.op == "placeholder":
                env[node] = columns
            elif node not in env and self._stages[node] in (CONSTANT, stage):
                env[node] = steps.run_node(node)
                if self._stages[node] == stage:
                    made[node] = env[node]
        return made

    def with_items(self, columns: Mapping[str, Tensor], items: int) -> StagedReady:
        """The network over a snapshot's items, from their columns."""
        columns = _doubles(columns)
        if self._steps is None:
            return StagedReady(self, columns)
        parts: list[dict[fx.Node, Tensor]] = []
        with torch.no_grad():
            for first in range(0, items, _CHUNK):
                chunk = {name: values[first : first + _CHUNK] for name, values in columns.items()}
                parts.append(self._seen(self._run(ITEM, chunk, {})))
        return StagedReady(
            self, {node: torch.cat([part[node] for part in parts]) for node in parts[0]} if parts else {}
        )

    def logits(
        self,
        items: Mapping[Any, Tensor],
        request: Mapping[str, Tensor],
        pair: Mapping[str, Tensor],
        owner: Tensor,
        item: Tensor,
    ) -> Tensor:
        """float32 [n, T]: of candidates `item`, each of the request `owner` (int64 [n])."""
        request, pair = _doubles(request), _doubles(pair)
        with torch.no_grad():
            if self._steps is None:
                sides = {"request": (request, owner), "item": (items, item)}
                each = {
                    name: pair[name] if side == "pair" else sides[side][0][name].index_select(0, sides[side][1])
                    for name, side in self._sides.items()
                }
                return self.model(each).float()  # type: ignore[no-any-return]
            known = {n: v.index_select(0, owner) for n, v in self._seen(self._run(REQUEST, request, {})).items()}
            known.update({node: values.index_select(0, item) for node, values in items.items()})
            values = self._run(PAIR, pair, known)
            (output,) = (node for node in values if node.op == "output")
            return values[output].float()  # type: ignore[no-any-return]


@dataclass(frozen=True)
class StagedReady:
    """A staged network with what depends on a snapshot's items alone."""

    staged: Staged
    items: Mapping[Any, Tensor]

    def __call__(
        self, request: Mapping[str, Tensor], pair: Mapping[str, Tensor], offsets: Tensor, item: Tensor
    ) -> Tensor:
        """float32 [n, T] logits; arguments as for `headrace.models.lower.Ready`."""
        owner = torch.repeat_interleave(offsets.diff())
        return self.staged.logits(self.items, request, pair, owner, item)


def _doubles(columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: values.double() if values.is_floating_point() else values for name, values in columns.items()}


def _blank(columns: Columns, rows: int) -> dict[str, Tensor]:
    made = {}
    for column in columns:
        shape = (rows,) if column.kind == "code" else (rows, column.size)
        made[column.name] = torch.zeros(shape, dtype=torch.float64 if column.kind == "dense" else torch.int64)
    return made
