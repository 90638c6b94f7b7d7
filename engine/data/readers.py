"""Any known log on disk, by the files its folder holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from headrace.data import kuairand, movielens, parquet
from headrace.data.dataset import Dataset
from headrace.data.feedback import POSITIVE
from headrace.data.files import MOST_ROWS
from headrace.data.folder import settle

Format = Literal["kuairand", "movielens", "headrace"]

_NEEDS = {
    "headrace": f"{parquet.LOG} (and, if there are any, {parquet.CATALOGUE}, {parquet.USERS}, {parquet.HISTORY})",
    "kuairand": f"log_standard_*pure.csv or .parquet, {kuairand.ITEMS}, {kuairand.USERS}",
    "movielens": f"ratings.dat or ratings.parquet, {movielens.MOVIES}, {movielens.USERS}",
}
_READERS: dict[Format, Callable[..., Dataset]] = {
    "headrace": parquet.read_parquet,
    "kuairand": kuairand.read_kuairand,
    "movielens": movielens.read_movielens,
}


def detect(folder: str | Path) -> Format:
    """The format of the log in `folder`: "kuairand", "movielens" or "headrace".

    Raises FileNotFoundError when there is no such folder, ValueError (what each format needs, what was found) when it
    is none of them.
    """
    path = Path(folder)
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such folder")
    settle(path)
    found = {file.name for file in path.iterdir()}
    if parquet.LOG in found:
        return "headrace"
    if kuairand.log_files(path) and {kuairand.ITEMS, kuairand.USERS} <= found:
        return "kuairand"
    if not found.isdisjoint(movielens.RATINGS) and {movielens.MOVIES, movielens.USERS} <= found:
        return "movielens"
    needs = "; ".join(f"{name}: {files}" for name, files in _NEEDS.items())
    raise ValueError(f"{path}: no known log. Expected one of {needs}. Found: {', '.join(sorted(found)) or 'nothing'}")


def read(
    folder: str | Path,
    on_bad: Literal["drop", "refuse"] = "drop",
    most_rows: int = MOST_ROWS,
    positive: float = POSITIVE,
) -> Dataset:
    """The dataset in `folder`, whichever of the known formats it is in; most_rows: of each Parquet file; positive: the
    rating from which on one is a click, where the log has ratings.

    Raises as `detect` and that reader do.
    """
    form = detect(folder)
    rated = {} if form == "kuairand" else {"positive": positive}
    return _READERS[form](folder, on_bad, most_rows, **rated)
