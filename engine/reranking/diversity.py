"""Re-ranking: from ranked candidates to a page that is good, varied and within the rules."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from headrace.data.dataset import Catalogue
from headrace.jagged import offsets_of, segment_of
from headrace.kernels.dpp import Picks, dpp_picks
from headrace.kernels.mmr import mmr_picks
from headrace.reranking.rules import Rule, catalogue_kinds, check_rules, compile_rules
from headrace.reranking.vectors import content_vectors
from headrace.types import Candidates

_KIND = "kinds."


class RerankSettings(BaseModel):
    """How a page is picked.

    method: dpp, mmr, or none (by score alone, still within the rules). theta: weight of the score against variety, 0
    to 1. window: how many of the last picks an item is compared with (None: all). rules: in order of priority; when
    they leave nothing, the last is dropped first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    method: Literal["dpp", "mmr", "none"] = "dpp"
    theta: float = Field(default=0.6, ge=0.0, le=1.0)
    window: int | None = Field(default=10, ge=1)
    rules: tuple[Rule, ...] = ()


class Reranker:
    """Picks pages from ranked candidates.

    vectors: float32 [N, d] of unit length, one for each item of the catalogue; content vectors do well here, vectors of
    a two-tower model do not (they are poor for new and rare items). kinds: name -> int32 [N], what the rules look at.
    Raises ValueError when shapes differ or a rule names a column that is not in `kinds`.
    """

    def __init__(self, settings: RerankSettings, vectors: Tensor, kinds: Mapping[str, Tensor]) -> None:
        if vectors.dtype != torch.float32 or vectors.ndim != 2:
            raise ValueError(f"vectors: expected float32 [N, d], got {vectors.dtype} {tuple(vectors.shape)}")
        for name, column in kinds.items():
            if column.dtype != torch.int32 or column.shape != vectors.shape[:1]:
                got = f"{column.dtype} {tuple(column.shape)}"
                raise ValueError(f"kinds[{name!r}]: expected int32 [{vectors.shape[0]}], got {got}")
        check_rules(settings.rules, kinds)
        self.settings = settings
        self.vectors = vectors
        self.kinds = dict(kinds)

    @classmethod
    def from_catalogue(cls, settings: RerankSettings, catalogue: Catalogue) -> Reranker:
        """With the catalogue's content vectors (hashed fields where it has none), authors, categories and marks."""
        return cls(settings, content_vectors(catalogue), catalogue_kinds(catalogue))

    def rerank(self, candidates: Candidates, k: int) -> Candidates:
        """At most `k` candidates of each request in page order, under their old scores.

        The score enters as `standardise`d, so that theta means the same for every way to fuse scores. Ties go to the
        earlier candidate. Adds columns gain, float32: the objective when picked; relaxed and overruled, int64, equal
        for all entries of a request: picks made with a rule dropped, and picks where the rules forbade the best item.
        Raises ValueError when k is below 1, a score is NaN or infinite, or an item is not in the catalogue.
        """
        low, high = candidates.item.aminmax() if len(candidates) else (0, -1)
        if not 0 <= int(low) <= int(high) + 1 <= len(self.vectors):
            raise ValueError(f"candidates.item: expected rows 0 to {len(self.vectors) - 1} of the catalogue")
        if not bool(torch.isfinite(candidates.score).all()):
            raise ValueError("candidates.score: expected finite numbers, got NaN or infinity")
        picks = self._pick(candidates, k)
        shown = picks.picked >= 0
        counts = shown.sum(1)
        index = (picks.picked + candidates.offsets[:-1, None])[shown]
        page = candidates.take(index, offsets_of(counts))
        return page.with_score(
            page.score,
            gain=picks.gain[shown],
            relaxed=picks.relaxed.repeat_interleave(counts),
            overruled=picks.overruled.repeat_interleave(counts),
        )

    def _pick(self, candidates: Candidates, k: int) -> Picks:
        settings = self.settings
        rules = compile_rules(settings.rules, self.kinds, candidates.item)
        rewards = standardise(candidates.offsets, candidates.score)
        if settings.method == "none":
            alike = rewards.new_zeros((len(candidates), 1))
            return mmr_picks(alike, rewards, candidates.offsets, k, 1.0, 1, rules)
        pick = dpp_picks if settings.method == "dpp" else mmr_picks
        vectors = self.vectors.index_select(0, candidates.item)
        return pick(vectors, rewards, candidates.offsets, k, settings.theta, settings.window, rules)

    def state(self) -> dict[str, Tensor]:
        """vectors; kinds.<name> for each column; settings, uint8, as JSON text."""
        text = bytearray(self.settings.model_dump_json().encode())
        kinds = {_KIND + name: column for name, column in self.kinds.items()}
        return {"vectors": self.vectors, "settings": torch.frombuffer(text, dtype=torch.uint8), **kinds}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Reranker:
        settings = RerankSettings(**json.loads(bytes(state["settings"].tolist())))
        kinds = {name.removeprefix(_KIND): column for name, column in state.items() if name.startswith(_KIND)}
        return cls(settings, state["vectors"], kinds)


def standardise(offsets: Tensor, score: Tensor) -> Tensor:
    """float32 [nnz]: each request's scores with mean 0 and standard deviation 1; all 0 where they are equal."""
    request, counts = segment_of(offsets), offsets.diff()
    value = score.double()

    def mean(x: Tensor) -> Tensor:
        # Adds in order, as index_add_ does. `unsafe` leaves out the checks of the lengths, which fail on none at all.
        return torch.segment_reduce(x, "sum", lengths=counts, unsafe=True, initial=0) / counts.clamp_min(1)

    middle = mean(value)
    centred = value - middle.index_select(0, request)
    deviation = mean(centred.square()).sqrt()
    # Equal scores may differ from their own mean by rounding; over infinity they are 0.
    spread = torch.where(deviation > 1e-12 * middle.abs(), deviation, torch.inf)
    return (centred / spread.index_select(0, request)).float()
