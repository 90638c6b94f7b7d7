"""The settings of each method; what is left out is derived from the catalogue."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any


class _Checked:
    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if value is None:
                continue
            if field.name == "width":
                if not (isinstance(value, (int, float)) and 0 < value < math.inf):
                    raise ValueError(f"width: expected a positive number, got {value!r}")
            elif not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"{field.name}: expected an int, got {type(value).__name__}")
            elif value < 1:
                raise ValueError(f"{field.name}: expected at least 1, got {value}")


@dataclass(frozen=True)
class Ivf(_Checked):
    """Inverted lists (Sivic, Zisserman 2003; spherical regions for the inner product).

    n_lists: regions of the catalogue; None: 4 sqrt(N), at least 39 items each. n_probes: regions searched; None: the
    root of that. oversample: candidates for each item asked for.
    """

    n_lists: int | None = None
    n_probes: int | None = None
    oversample: int = 2

    def of(self, n_items: int, dim: int) -> Ivf:
        """The settings with nothing left out."""
        lists = min(self.n_lists or max(1, min(round(4 * math.sqrt(n_items)), n_items // 39)), n_items)
        return replace(self, n_lists=lists, n_probes=min(self.n_probes or round(math.sqrt(lists)), lists))


@dataclass(frozen=True)
class IvfPq(Ivf):
    """Inverted lists of product-quantised vectors (Jégou, Douze, Schmid 2011).

    codes: bytes that stand for a vector's offset from its region's centre; None: one for every 4 dimensions.
    """

    oversample: int = 10
    codes: int | None = None

    def of(self, n_items: int, dim: int) -> IvfPq:
        known = super().of(n_items, dim)
        assert isinstance(known, IvfPq)
        return replace(known, codes=min(self.codes or math.ceil(dim / 4), dim))


@dataclass(frozen=True)
class Hnsw(_Checked):
    """A navigable graph (Malkov, Yashunin 2018).

    links: neighbours of an item on each layer, twice as many on the lowest (M). ef_construction, ef_search: how many
    of the best so far a walk keeps, when an item is added and when one is searched for (1/share times as many under a
    mask that allows a share of the items, at most 16 times); all that a search keeps are candidates, at least k.
    """

    links: int = 16
    ef_construction: int = 100
    ef_search: int = 200

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.links < 2:
            raise ValueError(f"links: expected at least 2, got {self.links}")

    def of(self, n_items: int, dim: int) -> Hnsw:
        return self


@dataclass(frozen=True)
class Lsh(_Checked):
    """Hash tables whose keys near vectors share (Indyk, Motwani 1998), see `headrace.search.ann.hashes`.

    n_tables: an item that shares a bucket with the query in any table is a candidate (OR). n_bits: hashes that make a
    table's key, and must all agree (AND); None: log2(N / 64), at least 4; 4 for "l2". width: of a bucket along one
    direction, only for "l2"; None: 4 times the distance of near neighbours.
    """

    n_tables: int = 16
    n_bits: int | None = None
    width: float | None = None

    def of(self, n_items: int, dim: int) -> Lsh:
        return replace(self, n_bits=self.n_bits or max(4, round(math.log2(max(n_items, 1) / 64))))


Method = Ivf | Hnsw | Lsh
METHODS: dict[str, type[Ivf] | type[Hnsw] | type[Lsh]] = {"ivf": Ivf, "ivfpq": IvfPq, "hnsw": Hnsw, "lsh": Lsh}
#: What may change without another build.
AT_SEARCH = ("n_probes", "oversample", "ef_search")


def method_settings(method: str, chosen: dict[str, Any]) -> Method:
    """Raises ValueError for an unknown method or value, TypeError for a setting that the method does not take."""
    if method not in METHODS:
        raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    known = [field.name for field in fields(METHODS[method])]
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise TypeError(f"{unknown[0]}: method {method!r} takes {', '.join(known)}")
    return METHODS[method](**chosen)


def at_search(before: Method, changes: dict[str, Any]) -> Method:
    """The settings with what a search may change. Raises TypeError where that needs another build."""
    allowed = [field.name for field in fields(before) if field.name in AT_SEARCH]
    for name in changes:
        if name not in allowed:
            raise TypeError(f"{name}: expected one of {', '.join(allowed) or 'nothing'}; the rest needs another index")
    return replace(before, **changes)
