"""Any ranking network as a program for one kernel: what depends on a request alone runs once a request, what depends on
an item alone once a snapshot, the rest for each candidate."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from headrace.features.columns import Columns, Side
from headrace.kernels.network import Precision
from headrace.kernels.network.program import MAX_FIELDS
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
    sides: Mapping[str, Side] | None = None,
    precision: Precision = "float32",
) -> Lowered:
    """The network, as it predicts, as a program. Later changes of its weights need a new one.

    model: columns -> logits [n, targets], such as a `headrace.models.Model` or `WithPrior`. sides: other sides of
    columns than their own. precision: of the program. Raises CannotLower, naming the step, for what has no
    instructions, and for more than a program can hold.
    """
    found = traced(model, columns, sides or {})
    weights = Weights()
    pair, spaces = emit(PAIR, found.result.pieces, weights)
    item, item_spaces = emit(ITEM, spaces.item.pieces(), weights)
    request, request_spaces = emit(REQUEST, spaces.request.pieces(), weights)
    code_rows, code_columns = rows_of_codes(spaces)
    if len(code_columns) > MAX_FIELDS:
        raise CannotLower(f"expected at most {MAX_FIELDS} code columns of pairs, got {len(code_columns)}")
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
    sides: Mapping[str, Side] | None = None,
    precision: Precision = "float32",
) -> Lowered | Staged:
    """`lower`, or where that cannot be the same stages in torch, in float32, whose `reason` says why."""
    try:
        return lower(model, columns, sides=sides, precision=precision)
    except CannotLower as error:
        return Staged(model, columns, sides or {}, str(error))
