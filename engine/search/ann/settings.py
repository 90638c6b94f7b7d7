"""The settings of each method; what is left out is derived from the catalogue."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import Field, ValidationError

from headrace.section import Section, first_problem

#: A number with a fraction and a truth value are no counts.
_Count = Annotated[int, Field(ge=1, strict=True)]


class Ivf(Section):
    """Inverted lists (Sivic, Zisserman 2003; spherical regions for the inner product)."""

    n_lists: _Count | None = Field(
        default=None, description="regions of the catalogue; none: 4 sqrt(N), at least 39 items each"
    )
    n_probes: _Count | None = Field(default=None, description="regions searched; none: the root of `n_lists`")
    oversample: _Count = Field(default=2, description="candidates for each item asked for")

    def of(self, n_items: int, dim: int) -> Ivf:
        """The settings with nothing left out."""
        lists = min(self.n_lists or max(1, min(round(4 * math.sqrt(n_items)), n_items // 39)), n_items)
        probes = min(self.n_probes or round(math.sqrt(lists)), lists)
        return self.model_copy(update={"n_lists": lists, "n_probes": probes})


class IvfPq(Ivf):
    """Inverted lists of product-quantised vectors (Jégou, Douze, Schmid 2011)."""

    oversample: _Count = Field(default=10, description="candidates for each item asked for")
    codes: _Count | None = Field(
        default=None,
        description="bytes that stand for a vector's offset from its region's centre; none: one for every 4 dimensions",
    )

    def of(self, n_items: int, dim: int) -> IvfPq:
        known = super().of(n_items, dim)
        return known.model_copy(update={"codes": min(self.codes or math.ceil(dim / 4), dim)})  # type: ignore[return-value]


class Hnsw(Section):
    """A navigable graph (Malkov, Yashunin 2018). All that a search keeps are candidates, at least k."""

    links: Annotated[int, Field(ge=2, strict=True)] = Field(
        default=16, description="neighbours of an item on each layer, twice as many on the lowest (M)"
    )
    ef_construction: _Count = Field(
        default=100, description="how many of the best so far a walk keeps when an item is added"
    )
    ef_search: _Count = Field(
        default=200,
        description="how many of the best so far a walk keeps when one searches; 1/share times as many under a mask "
        "that allows a share of the items, at most 16 times",
    )

    def of(self, n_items: int, dim: int) -> Hnsw:
        return self


class Lsh(Section):
    """Hash tables whose keys near vectors share (Indyk, Motwani 1998), see `headrace.search.ann.hashes`."""

    n_tables: _Count = Field(
        default=16, description="an item that shares a bucket with the query in any table is a candidate (OR)"
    )
    n_bits: _Count | None = Field(
        default=None,
        description="hashes that make a table's key, and must all agree (AND); none: log2(N / 64), at least 4; "
        "4 for l2",
    )
    width: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="of a bucket along one direction, only for l2; none: 4 times the distance of near neighbours",
    )

    def of(self, n_items: int, dim: int) -> Lsh:
        return self.model_copy(update={"n_bits": self.n_bits or max(4, round(math.log2(max(n_items, 1) / 64)))})


Method = Ivf | Hnsw | Lsh
METHODS: dict[str, type[Ivf] | type[Hnsw] | type[Lsh]] = {"ivf": Ivf, "ivfpq": IvfPq, "hnsw": Hnsw, "lsh": Lsh}
#: What may change without another build.
AT_SEARCH = ("n_probes", "oversample", "ef_search")


def method_settings(method: str, chosen: dict[str, Any]) -> Method:
    """Raises ValueError for an unknown method or value, TypeError for a setting that the method does not take."""
    if method not in METHODS:
        raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    known = list(METHODS[method].model_fields)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise TypeError(f"{unknown[0]}: method {method!r} takes {', '.join(known)}")
    return _checked(METHODS[method], chosen)


def at_search(before: Method, changes: dict[str, Any]) -> Method:
    """The settings with what a search may change. Raises TypeError where that needs another build."""
    allowed = [name for name in type(before).model_fields if name in AT_SEARCH]
    for name in changes:
        if name not in allowed:
            raise TypeError(f"{name}: expected one of {', '.join(allowed) or 'nothing'}; the rest needs another index")
    return _checked(type(before), {**dict(before), **changes})


def _checked(settings: type[Method], chosen: dict[str, Any]) -> Method:
    try:
        return settings(**chosen)
    except ValidationError as error:
        raise ValueError(first_problem(error)) from error
