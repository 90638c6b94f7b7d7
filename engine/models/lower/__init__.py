"""Any ranking network as a program for one kernel: what depends on a request alone runs once a request, what depends on
an item alone once a snapshot, the rest for each candidate."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from headrace.features.columns import Columns, Side
from headrace.kernels.network import Precision
from headrace.models.blocks import CONTENT
from headrace.models.lower.emit import emit
from headrace.models.lower.graph import ITEM, PAIR, REQUEST, CannotLower
from headrace.models.lower.lowered import Lowered, Ready, rows_of_codes, sources_of
from headrace.models.lower.place import Weights
from headrace.models.lower.staged import Staged
from headrace.models.lower.trace import traced

__all__ = ["CannotLower", "Lowered", "Ready", "Staged", "lower", "prepare"]


def lower(
    model: nn.Module,
    columns: Columns,
    *,
    live: bool = False,
    sides: Mapping[str, Side] | None = None,
    precision: Precision = "float32",
) -> Lowered:
    """The network, as it predicts, as a program. Later changes of its weights need a new one.

    model: columns -> logits [n, targets], such as a `headrace.models.Model` or `WithPrior`. live: the statistics of
    items are given with each candidate, as of its moment, instead of with the items. sides: other sides of columns than
    their own. precision: of the program. Raises CannotLower, naming the step, for what has no instructions.
    """
    found = traced(model, columns, _sides(columns, live, sides))
    weights = Weights()
    pair, spaces = emit(PAIR, found.result.pieces, weights)
    item, item_spaces = emit(ITEM, spaces.item.pieces(), weights)
    request, request_spaces = emit(REQUEST, spaces.request.pieces(), weights)
    code_rows, code_columns = rows_of_codes(spaces)
    return Lowered(
        request,
        item,
        pair,
        weights.all(),
        code_rows,
        sources_of(request_spaces.inputs.pieces()),
        sources_of(item_spaces.inputs.pieces()),
        sources_of(spaces.inputs.pieces()),
        code_columns,
        tuple(found.sequences),
        precision,
    )


def prepare(
    model: nn.Module,
    columns: Columns,
    *,
    live: bool = False,
    sides: Mapping[str, Side] | None = None,
    precision: Precision = "float32",
) -> Lowered | Staged:
    """`lower`, or where that cannot be the same stages in torch, in float32, whose `reason` says why."""
    try:
        return lower(model, columns, live=live, sides=sides, precision=precision)
    except CannotLower as error:
        return Staged(model, columns, _sides(columns, live, sides), str(error))


def _sides(columns: Columns, live: bool, sides: Mapping[str, Side] | None) -> dict[str, Side]:
    given = dict(sides or {})
    moving = [column.name for column in columns.of("dense", "item") if live and column.name != CONTENT]
    return {**dict.fromkeys(moving, "pair"), **given}
