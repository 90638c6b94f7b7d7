"""The words behind the codes of categorical columns, and codes that keep their meaning from one log to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.data.dataset import KIND, UNKNOWN, Dataset, Jagged

CONTEXT, USER, ITEM = "context", "user", "item"
#: (whose column it is, its name) -> the word of each code.
Vocabulary = dict[tuple[str, str], list[str]]
Codes = NDArray[np.int32]


def words_of(dataset: Dataset) -> Vocabulary:
    """All words of a dataset: of contexts, of users' features, of the catalogue's columns."""
    sides = {CONTEXT: dataset.context_names, USER: dataset.users.names, ITEM: dataset.catalogue.names}
    return {(side, name): words for side, names in sides.items() for name, words in names.items()}


def realigned(dataset: Dataset, earlier: Mapping[tuple[str, str], Sequence[str]]) -> Dataset:
    """The dataset with the codes that its words had in an earlier one; words that are new come after all of those.

    earlier: as `words_of` gave it. A column without words, then or now, keeps its codes.
    """
    moved: Vocabulary = {}
    maps: dict[tuple[str, str], Codes] = {}
    for column, words in words_of(dataset).items():
        if column in earlier:
            known = {word: code for code, word in enumerate(earlier[column])}
            fresh = [word for word in words if word not in known]
            known |= {word: len(known) + place for place, word in enumerate(fresh)}
            moved[column] = [*earlier[column], *fresh]
            # the last entry is that of code -1
            maps[column] = np.array([*(known[word] for word in words), UNKNOWN], np.int32)

    def named(side: str, names: dict[str, list[str]]) -> dict[str, list[str]]:
        return {name: moved.get((side, name), words) for name, words in names.items()}

    def coded(side: str, columns: dict[str, Codes]) -> dict[str, Codes]:
        return {name: maps[side, name][c] if (side, name) in maps else c for name, c in columns.items()}

    log, users, items = dataset.log, dataset.users, dataset.catalogue
    plain = {name: getattr(items, name) for name in ("author", "city") if getattr(items, name) is not None}
    lists = {name: getattr(items, name) for name in ("category", "keyword") if getattr(items, name) is not None}
    values = coded(ITEM, {name: jagged.values for name, jagged in lists.items()})
    columns: dict[str, Any] = coded(ITEM, plain)
    columns |= {name: Jagged(jagged.offsets, values[name]) for name, jagged in lists.items()}
    kinds = coded(ITEM, {KIND + name: codes for name, codes in items.kinds.items()})
    columns["kinds"] = {name.removeprefix(KIND): codes for name, codes in kinds.items()}
    return replace(
        dataset,
        log=replace(log, context=coded(CONTEXT, log.context)),
        context_names=named(CONTEXT, dataset.context_names),
        users=replace(users, features=coded(USER, users.features), names=named(USER, users.names)),
        catalogue=replace(items, names=named(ITEM, items.names), **columns),
    )
