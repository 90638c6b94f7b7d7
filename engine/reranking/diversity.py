"""Re-ranking: from ranked candidates to a page that is good, varied and within the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from headrace.data.dataset import KIND, Catalogue
from headrace.jagged import offsets_of, standardise, top_per_segment
from headrace.kernels.diversity import Picks, Rules
from headrace.reranking.boosts import boosted, factors_of
from headrace.reranking.clusters import content_clusters
from headrace.reranking.methods import METHODS
from headrace.reranking.rules import broken, catalogue_kinds, check_kinds, compile_rules
from headrace.reranking.settings import RerankSettings
from headrace.reranking.slots import Placed, check_pins, check_slot_kinds, pinned_rows, place
from headrace.reranking.vectors import content_vectors
from headrace.state import State
from headrace.types import Candidates


class Reranker:
    """Picks pages from ranked candidates.

    vectors: float32 [N, d] of unit length, one for each item of the catalogue; content vectors do well here, vectors of
    a two-tower model do not (docs/reranking.md). kinds: name -> int32 [N], what rules, slots and boosts look at. pins:
    int64 [P], the rows of the pinned items, in the order of `settings.pins`. texts: name of a kind -> text of each
    code.
    Raises ValueError when shapes differ, a rule, a slot or a boost names what is not there, or pinned items break a
    rule among themselves.
    """

    def __init__(
        self,
        settings: RerankSettings,
        vectors: Tensor,
        kinds: Mapping[str, Tensor],
        pins: Tensor | None = None,
        texts: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        if vectors.dtype != torch.float32 or vectors.ndim != 2:
            raise ValueError(f"vectors: expected float32 [N, d], got {vectors.dtype} {tuple(vectors.shape)}")
        for name, column in kinds.items():
            if column.dtype != torch.int32 or column.shape != vectors.shape[:1]:
                got = f"{column.dtype} {tuple(column.shape)}"
                raise ValueError(f"kinds[{name!r}]: expected int32 [{vectors.shape[0]}], got {got}")
        pins = torch.zeros(0, dtype=torch.int64) if pins is None else pins
        if len(pins) != len(settings.pins):
            raise ValueError(f"pins: expected {len(settings.pins)} rows, as many as in the settings, got {len(pins)}")
        check_kinds(settings.rules, kinds)
        check_slot_kinds(settings.slots, kinds)
        check_pins(settings.pins, pins, settings.rules, kinds)
        self.settings = settings
        self.vectors = vectors
        self.kinds = dict(kinds)
        self.pins = pins
        self.texts = {name: list(given) for name, given in (texts or {}).items()}
        self._factors = factors_of(settings.boosts, self.kinds, self.texts)
        kinds_with_slots = [self.kinds[slot.kind] >= 0 for slot in settings.slots]
        #: bool [N]: items that stand at the slots of their kind and nowhere else; None without slots.
        self.slotted = torch.stack(kinds_with_slots).any(0) if kinds_with_slots else None

    @classmethod
    def from_catalogue(cls, settings: RerankSettings, catalogue: Catalogue) -> Reranker:
        """With the catalogue's content vectors (hashed fields where it has none), authors, categories and marks.

        Content clusters are computed when a rule asks for them. Raises ValueError for a pinned item that is not there.
        """
        vectors = content_vectors(catalogue, attributes=settings.attributes)
        kinds = catalogue_kinds(catalogue)
        if any(rule.kind == "cluster" for rule in settings.rules):
            kinds["cluster"] = content_clusters(vectors, settings.clusters)
        named = {"category": "category", **{name: KIND + name for name in catalogue.kinds}}
        texts = {name: catalogue.names[column] for name, column in named.items() if column in catalogue.names}
        return cls(settings, vectors, kinds, pinned_rows(settings.pins, catalogue.ids), texts)

    def rerank(self, candidates: Candidates, k: int) -> Candidates:
        """At most `k` candidates of each request in page order, under their old scores.

        The score enters boosted and `standardise`d, so that theta means the same for every way to fuse scores. Ties go
        to the earlier candidate. Adds columns: gain, float32, the objective when picked; pinned, int64, 1 where the
        position was given away (see `place`); broken, int64, bit r set where the item breaks rule r; and relaxed and
        overruled, int64, equal for all entries of a request: picks made with a rule dropped, and picks where the rules
        forbade the best item.
        Raises ValueError when k is below 1, a score is NaN or infinite, or an item is not in the catalogue.
        """
        if k < 1:
            raise ValueError(f"k: expected at least 1, got {k}")
        low, high = candidates.item.aminmax() if len(candidates) else (0, -1)
        if not 0 <= int(low) <= int(high) + 1 <= len(self.vectors):
            raise ValueError(f"candidates.item: expected rows 0 to {len(self.vectors) - 1} of the catalogue")
        if not bool(torch.isfinite(candidates.score).all()):
            raise ValueError("candidates.score: expected finite numbers, got NaN or infinity")
        # No page is longer than what there is, however much is asked for.
        given = [*(pin.position for pin in self.settings.pins), *(p for s in self.settings.slots for p in s.positions)]
        longest = int(candidates.counts.max()) if candidates.batch else 0
        k = min(k, max(1, longest + len(self.settings.pins), *given))
        placed = self.place(candidates, k)
        candidates = placed.candidates
        rules = compile_rules(self.settings.rules, self.kinds, candidates.item)
        pinned = placed.pinned if self.settings.pins or self.settings.slots else None
        picks = self.pick(candidates, placed.reward, k, rules, pinned)
        shown = picks.picked >= 0
        counts = shown.sum(1)
        index = (picks.picked + candidates.offsets[:-1, None])[shown]
        page = candidates.take(index, offsets_of(counts))
        return page.with_score(
            page.score,
            gain=picks.gain[shown],
            pinned=(placed.pinned >= 0).long()[shown],
            broken=self._broken(page, shown, (picks.relaxed > 0) | (placed.pinned >= 0).any(1)),
            relaxed=picks.relaxed.repeat_interleave(counts),
            overruled=picks.overruled.repeat_interleave(counts),
        )

    def place(self, candidates: Candidates, k: int) -> Placed:
        """What may be shown on pages of `k`, with standardised rewards and the positions that are given away."""
        settings, score = self.settings, candidates.score
        if self._factors is not None:
            score = boosted(score, self._factors.index_select(0, candidates.item))
        reward = standardise(candidates.offsets, score)
        if not settings.pins and not settings.slots:
            return Placed(candidates, torch.full((candidates.batch, k), -1), reward)
        return place(candidates, reward, k, settings.pins, self.pins, settings.slots, self.kinds)

    def pick(self, candidates: Candidates, reward: Tensor, k: int, rules: Rules | None, pinned: Tensor | None) -> Picks:
        """What the method of the settings picks of all candidates; reward: float32 [nnz]; else as kernels.dpp."""
        settings = self.settings
        rows = self.vectors.index_select(0, candidates.item)
        found = METHODS[settings.method]
        return found(rows, reward, candidates.offsets, k, settings.theta, settings.window, rules, pinned)

    def _broken(self, page: Candidates, shown: Tensor, which: Tensor) -> Tensor:
        """int64 [nnz]: bit r where an entry breaks rule r; only requests in `which` (bool [B]) can have any."""
        bits = torch.zeros(shown.shape, dtype=torch.int64)
        if self.settings.rules and bool(which.any()):
            rows = torch.full(shown.shape, -1)
            rows[shown] = page.item
            found = broken(self.settings.rules, self.kinds, rows[which])
            places = torch.arange(len(found))[:, None, None]
            bits[which] = (found.long() << places).sum(0)
        return bits[shown]

    def state(self) -> State:
        """All but the settings: vectors; pins; kinds, a column each; texts."""
        return State.of(vectors=self.vectors, pins=self.pins, kinds=State(self.kinds), texts=self.texts)

    @classmethod
    def from_state(cls, state: State, settings: RerankSettings) -> Reranker:
        """Raises ValueError where the settings ask for what the state has not, as when it is made."""
        vectors = state.tensor("vectors", torch.float32, "items", None)
        kinds = state.under("kinds")
        columns = {name: kinds.tensor(name, torch.int32, len(vectors), least=-1) for name in kinds.tensors}
        pins = state.tensor("pins", torch.int64, None, least=0, below=len(vectors))
        # Snapshots of before there were boosts have none.
        texts = state.fact("texts", dict[str, list[str]]) if "texts" in state else {}
        return cls(settings, vectors, columns, pins, texts)


def first(candidates: Candidates, k: int) -> Candidates:
    """The `k` candidates of each request with the highest scores, ties to the lower item, as a page that no rule, slot
    or variety has touched; with the columns of `Reranker.rerank`, gain being the score."""
    page = candidates.take(*top_per_segment(candidates.offsets, candidates.score, candidates.item, k))
    untouched = ("pinned", "broken", "relaxed", "overruled")
    return page.with_score(page.score, gain=page.score, **{name: torch.zeros_like(page.item) for name in untouched})
