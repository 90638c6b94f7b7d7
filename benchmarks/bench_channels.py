"""Recall of all channels that count (none that is trained) together, for a batch and request by request."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from headrace.benchmarks.harness.case import Bench, Call, Case, Provider, Wrong
from headrace.benchmarks.harness.clock import QUICK, Timing, interleave
from headrace.benchmarks.harness.keep import keep
from headrace.build import fit_channels
from headrace.channels import CHANNELS, Channel, Remembering
from headrace.channels.geohash import geohash_codes
from headrace.data import generate
from headrace.recall import asked
from headrace.settings import Settings
from headrace.training.build import Build
from headrace.types import Candidates, Requests

USERS, EVENTS, SEED = 20_000, 1_000_000, 5
#: What each is asked for: the defaults, and for those that are off by default a hundred or two.
SETTINGS: dict[str, dict[str, Any]] = {
    "author_latest": {"quota": 300},
    "cache": {"quota": 50},
    "followed_authors": {"quota": 100},
    "geohash": {"quota": 100, "precision": 3},
    "itemcf": {"quota": 500},
    "newest_in_category": {"quota": 200},
    "newest_in_keyword": {"quota": 200},
    "popular": {"quota": 300},
    "popular_in_category": {"quota": 300},
    "popular_in_keyword": {"quota": 200},
    "same_city": {"quota": 100},
    "similar_authors": {"quota": 100},
    "swing": {"quota": 200},
}

Lists = list[Candidates]


@dataclass(frozen=True)
class Asked:
    """The channels, how many each is asked for, and a batch of requests at the log's end that say where they are."""

    channels: list[Channel]
    counts: list[int]
    requests: Requests


@keep()
def world(items: int, users: int, events: int) -> tuple[list[Channel], torch.Tensor, int]:
    """The channels, int64 [U], where each user is, and the log's end."""
    made = generate(users, items, events, SEED)
    off = {name: {"quota": 0} for name in CHANNELS}
    settings = Settings.model_validate({"channels": off | SETTINGS})
    channels = fit_channels(Build(made.dataset, SEED), settings.channels)
    now = int(made.dataset.log.time[-1])
    everyone = Requests(torch.arange(users), torch.full((users,), now))
    draw = torch.Generator().manual_seed(SEED)
    ranked = Candidates(
        torch.arange(users + 1) * 50,
        ((torch.randint(items, (users, 1), generator=draw) + 7 * torch.arange(50)) % items).flatten(),
        torch.rand(users * 50, generator=draw),
        torch.zeros(users * 50, dtype=torch.int64),
    )
    for channel in channels:
        if isinstance(channel, Remembering):
            channel.served(everyone, Candidates.empty(users), ranked)
    place = torch.from_numpy(geohash_codes(*made.truth.user_place.T))
    return channels, place, now


def make_inputs(items: int, batch: int, users: int, events: int) -> Asked:
    channels, place, now = world(items, users, events)
    user = torch.from_numpy(np.random.default_rng(SEED).choice(users, batch, replace=False))
    requests = Requests(user, torch.full((batch,), now), told={"geohash": place[user]})
    return Asked(channels, [asked(SETTINGS[channel.name]["quota"]) for channel in channels], requests)


def recall(given: Asked, requests: Requests) -> Lists:
    return [channel.recall(requests, count) for channel, count in zip(given.channels, given.counts, strict=True)]


def prepare_batch(given: Asked, case: Case) -> Call:
    return partial(recall, given, given.requests)


def prepare_singles(given: Asked, case: Case) -> Call:
    singles = [given.requests.take(torch.tensor([b])) for b in range(len(given.requests))]

    def call() -> Lists:
        parts = [recall(given, one) for one in singles]
        return [_joined([part[c] for part in parts]) for c in range(len(given.channels))]

    return call


def _joined(parts: Lists) -> Candidates:
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), torch.cat([part.counts for part in parts]).cumsum(0)])
    item, score = torch.cat([part.item for part in parts]), torch.cat([part.score for part in parts])
    return Candidates(offsets, item, score, torch.zeros_like(item))


def check(given: Asked, answer: Lists) -> str:
    """Lists in order, each item once, at most as many as asked for, and the same for a lone request."""
    for channel, count, found in zip(given.channels, given.counts, answer, strict=True):
        for a, b in pairwise(found.offsets.tolist()):
            item, score = found.item[a:b], found.score[a:b]
            order = np.lexsort((item.numpy(), -score.numpy()))
            if b - a > count or len(item.unique()) < b - a or (order != np.arange(b - a)).any():
                raise Wrong(f"{channel.name}: a list out of order, too long, or with an item twice")
        alone = channel.recall(given.requests.take(torch.tensor([0])), count)
        if not torch.equal(alone.item, found.item[: int(found.offsets[1])]):
            raise Wrong(f"{channel.name}: the first request has other items than alone")
    return "exact"


def measure(given: Asked, case: Case, call: Call, timing: Timing) -> dict[str, float]:
    """Milliseconds of each channel, the median of its calls."""
    pairs = zip(given.channels, given.counts, strict=True)
    calls = {channel.name: partial(channel.recall, given.requests, count) for channel, count in pairs}
    times = interleave(calls, QUICK)
    return {f"ms {name}": float(f"{np.median(one.rounds):.3g}") for name, one in times.items()}


def _case(items: int, batch: int, users: int = USERS, events: int = EVENTS) -> Case:
    size = f"{items // 1_000_000}M" if items >= 1_000_000 else f"{items // 1000}k"
    return Case(
        op="channels",
        name=f"B{batch} N{size}",
        params={"batch": batch, "items": items},
        inputs=partial(make_inputs, items, batch, users, events),
        check=check,
        suites=("quick", "full") if items == 100_000 else ("full",),
    )


BENCH = Bench(
    "channels",
    "Recall of all counted channels",
    cases=tuple(_case(items, batch) for items in (100_000, 1_000_000) for batch in (1, 64)),
    providers=(
        Provider("headrace", "headrace", prepare_batch, measure=measure),
        Provider("request by request", "reference", prepare_singles),
    ),
)
