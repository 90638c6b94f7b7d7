"""What a log without signals says all the same: ratings, and rows that are interest by being there."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.data.codes import plain
from headrace.data.signals import CLICK, IMPRESSION, SIGNALS

RATING = "rating"
#: Ratings from here on are positive, of 1 to 5.
POSITIVE = 4.0
_TIMES = ("play_time_ms", "duration_ms")


def with_feedback(table: pa.Table, positive: float = POSITIVE) -> tuple[pa.Table, str | None]:
    """The table with signals that `clean` takes, and what was made of it, as a sentence without its full stop.

    A column `rating` (numbers, null where a row has none) becomes click, 1 from `positive` on, and impression 1. A
    table without any feedback, as of purchases or check-ins, gets click 1 in every row.
    Raises ValueError for ratings that are no numbers, or beside a column click.
    """
    if RATING in table.column_names:
        if CLICK in table.column_names:
            raise ValueError(f"{RATING}: expected no column {CLICK} beside it, which it would become, got both")
        given = plain(table[RATING])
        if not (pa.types.is_integer(given.type) or pa.types.is_floating(given.type)):
            raise ValueError(f"{RATING}: expected numbers, got {given.type}")
        odd = pc.fill_null(pc.invert(pc.is_finite(given.cast(pa.float64()))), False).to_numpy(zero_copy_only=False)
        if odd.any():
            row = int(odd.argmax())
            raise ValueError(f"{RATING}: expected finite numbers, got {given[row].as_py()} in row {row}")
        table = table.drop_columns([RATING]).append_column(CLICK, pc.greater_equal(given, positive).cast(pa.int8()))
        if IMPRESSION not in table.column_names:
            table = table.append_column(IMPRESSION, pa.array(np.ones(len(table), np.int8)))
        return table, f"a {RATING} of {positive:g} or more is taken as a {CLICK}"
    if any(name in table.column_names for name in (*SIGNALS, *_TIMES)):
        return table, None
    ones = pa.array(np.ones(len(table), np.int8))
    return table.append_column(CLICK, ones), f"no column of feedback: every row is taken as a {CLICK}"
