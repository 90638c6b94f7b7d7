"""The whole funnel as a good engineer would write it today: FAISS, SciPy, torch eager, NumPy, dicts and sets.

It serves the snapshot of an engine - the same tables, the same trained torch modules, the same sizes - without any of
Headrace's kernels. docs/funnel-benchmark.md says what it does at each stage and where its ties differ.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headrace.benchmarks.funnel_snapshot import EXPOSURES
from headrace.benchmarks.peers import networks_torch
from headrace.benchmarks.peers.obvious_features import FeatureTables
from headrace.benchmarks.peers.obvious_page import greedy, standardise
from headrace.benchmarks.peers.obvious_recall import (
    PEERS,
    Index,
    Merged,
    asked,
    exposed,
    faiss_flat,
    filled,
    merge,
    unseen,
)
from headrace.models import WithPrior
from headrace.ranking.heads import Heads
from headrace.ranking.settings import NetworkSettings
from headrace.reranking import Reranker
from headrace.settings import Settings
from headrace.snapshot import read_snapshot
from headrace.state import State
from headrace.types import Requests


@dataclass
class Served:
    """What one batch went through. items: stage -> each request's items. scores: of each page. bits: the channels that
    found each item of each page. seconds: stage -> wall time."""

    items: dict[str, list[list[int]]] = field(default_factory=dict)
    scores: list[list[float]] = field(default_factory=list)
    bits: list[list[int]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start


class ObviousStack:
    """A funnel from the snapshot in `folder`, which `funnel_snapshot.write` made. search: makes the vector index.

    Raises ValueError for a snapshot whose fusion, re-ranking or statistics are not those of the default settings.
    """

    def __init__(self, folder: Path, search: Index = faiss_flat) -> None:
        snapshot = read_snapshot(folder, verify=False)
        states = snapshot.states
        self.settings = Settings.model_validate(snapshot.info["settings"])
        self.features = FeatureTables(states["features"])
        users = self.features.users
        missing = [name for name in snapshot.info["channels"] if name not in PEERS]
        if missing:
            raise ValueError(f"folder: expected channels with a peer ({', '.join(PEERS)}), got {', '.join(missing)}")
        self.channels = {name: PEERS[name](states[f"channel-{name}"], search) for name in snapshot.info["channels"]}
        shown = np.load(folder / EXPOSURES)
        self.exposed = exposed(shown["user"], shown["item"], users)
        self.order = states["stock"]["order"].tolist()
        self._load_networks(states)
        reranker = Reranker.from_state(states["reranker"], self.settings.reranking)
        self.page, self.vectors = reranker.settings, reranker.vectors.numpy()
        self.kinds = {name: kind.numpy() for name, kind in reranker.kinds.items()}
        if self.page.method != "dpp" or self.settings.fusion.formula != "click_times_sum":
            raise ValueError(f"folder: expected re-ranking by dpp and click_times_sum fusion, got {self.page.method} "
                             f"and {self.settings.fusion.formula}")  # fmt: skip

    def _load_networks(self, states: dict[str, State]) -> None:
        self.cheap_heads, self.heads = (
            Heads.from_state(states[name].under("heads")) for name in ("preranker", "ranker")
        )
        with torch.inference_mode():
            self.cheap = networks_torch.Towers(self._network(states["preranker"]), self.features.items)
            self.network = networks_torch.Mixture(self._network(states["ranker"]), self.features.items)

    def _network(self, state: State) -> WithPrior:
        targets = len(state["heads/targets"])
        network = NetworkSettings.model_validate(state["settings"]).build(self.features.store.columns, targets)
        network.load_state_dict(state.under("network").tensors)
        return network.eval()

    @torch.inference_mode()
    def run(self, requests: Requests, shown: int) -> Served:
        """Takes a batch of requests, all of one time, to pages of at most `shown` items."""
        served, settings = Served(), self.settings
        users, at = requests.user.tolist(), int(requests.time[0])
        for name, channel in self.channels.items():
            with served.stage(name):
                served.items[name] = channel(users, at, asked(settings.channels[name].quota))
        with served.stage("exposure filter"):
            for name, channel in self.channels.items():
                quota = settings.channels[name].quota
                served.items[name] = unseen(channel, users, at, quota, served.items[name], self.exposed)
        with served.stage("merge"):
            each = zip(*(served.items[name] for name in self.channels), strict=True)
            merged = [merge(found, settings.merge.total) for found in each]
            served.items["merge"] = [one.items for one in merged]
        with served.stage("fill"):
            served.items["fill"] = [
                filled(one.items, min(shown, settings.merge.total), self.order, self.exposed[user])
                for user, one in zip(users, merged, strict=True)
            ]
        with served.stage("pre-ranking"):
            served.items["pre-ranking"] = self._prerank(requests, served.items["fill"])
        with served.stage("ranking"):
            scores = self._rank(requests, served.items["pre-ranking"])
            served.items["ranking"] = served.items["pre-ranking"]
        with served.stage("re-ranking"):
            self._rerank(served, merged, scores, shown)
        return served

    def _prerank(self, requests: Requests, lists: list[list[int]]) -> list[list[int]]:
        keep = self.settings.page.ranked
        offsets, owner, item = ragged(lists)
        made = self.features.requests(requests)
        logits = self.cheap(made, self.features.pairs(requests, made, offsets, owner, item), owner, item)
        score = self._fused(self.cheap_heads, logits, item)
        counts = offsets.diff()
        longest = int(counts.max())
        padded = torch.full((len(lists), longest), -torch.inf)
        padded.view(-1)[owner * longest + torch.arange(len(item)) - offsets.index_select(0, owner)] = score
        place = torch.topk(padded, min(keep, longest)).indices
        found = item[(place + offsets[:-1, None]).clamp_max(len(item) - 1)].tolist()
        return [row[:count] for row, count in zip(found, counts.tolist(), strict=True)]

    def _rank(self, requests: Requests, lists: list[list[int]]) -> list[NDArray[np.float32]]:
        offsets, owner, item = ragged(lists)
        made = self.features.requests(requests)
        logits = self.network(made, self.features.pairs(requests, made, offsets, owner, item), owner, item)
        return np.split(self._fused(self.heads, logits, item).numpy(), offsets[1:-1].tolist())

    def _fused(self, heads: Heads, logits: Tensor, item: Tensor) -> Tensor:
        """float32 [n]: p_click (1 + sum w p), times a power of the odds of an impression."""
        rates = torch.tensor([heads.negative_rate.get(name, 1.0) for name in heads.targets])
        probability = torch.sigmoid(logits + rates.log())
        p = {f"p_{name}": probability[:, column] for column, name in enumerate(heads.targets)}
        if "p_completion" in p:
            p["p_finish"] = p["p_completion"] / heads.curve.rate[self.features.items["duration"][item].long()]
        weights = heads.fusion.weights
        total = sum(weight * p[name].double() for name, weight in weights.items() if name in p and name != "p_click")
        score = p["p_click"].double() * (1 + total)
        if "p_impression" in p and heads.fusion.exposure_power:
            shown = p["p_impression"].double()
            score = score * (shown / (1 - shown).clamp_min(1e-7)) ** heads.fusion.exposure_power
        return score.float()

    def _rerank(
        self, served: Served, merged: Sequence[Merged], scores: Sequence[NDArray[np.float32]], shown: int
    ) -> None:
        page = self.page
        limits = [(rule.kind, *rule.limit()) for rule in page.rules]
        pages = served.items["re-ranking"] = []
        for items, score, one in zip(served.items["ranking"], scores, merged, strict=True):
            if not items:
                picked: list[int] = []
            else:
                kinds = {name: self.kinds[name][items].tolist() for name in {kind for kind, *_ in limits}}
                rules = [(kinds[kind], span, most, bool(prefix)) for kind, span, most, prefix in limits]
                picked = greedy(self.vectors[items], standardise(score), rules, shown, page.theta, page.window)
            pages.append([items[p] for p in picked])
            served.scores.append([float(score[p]) for p in picked])
            served.bits.append([one.bits[item] for item in pages[-1]])


def ragged(lists: list[list[int]]) -> tuple[Tensor, Tensor, Tensor]:
    """Offsets int64 [B+1], owner int64 [n] and item int64 [n] of lists."""
    counts = torch.tensor([len(one) for one in lists])
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    owner = torch.repeat_interleave(torch.arange(len(lists)), counts)
    return offsets, owner, torch.tensor([item for one in lists for item in one], dtype=torch.int64)
