"""Features as one serves them today: tables that are made once a day, gathered by torch for the whole batch."""

from __future__ import annotations

import torch
from torch import Tensor

from headrace.features import CrossInputs, FeatureStore, Inputs, ItemInputs, RequestInputs
from headrace.features.bank import StatisticsMeta
from headrace.features.fields import age_bucket, hour_of, shifted, weekday_of
from headrace.features.statistics import Rates, RateStatistics
from headrace.features.store import StoreMeta
from headrace.features.windows import DAY_MS, WindowCounter
from headrace.types import Requests

State = dict[str, Tensor]
PAIRS = ("category", "author")


class FeatureTables:
    """Every feature at the end of the log. Entry u + 1 of users' tables is user u's, entry 0 the unknown one's."""

    def __init__(self, state: State, meta: dict[str, object]) -> None:
        """Raises ValueError for a log with an older history or crossed contexts: the stack leaves those out."""
        store = FeatureStore.from_state(state, meta)
        self.meta: StoreMeta = store.meta
        bank = self.meta.statistics
        if bank.past_signals or bank.contexts:
            raise ValueError("state: expected statistics of one log without crossed contexts, as the synthetic one has")
        everyone = torch.arange(-1, len(state["users/codes"]) - 1)
        at_end = Requests(everyone, torch.full_like(everyone, self.meta.end))
        self.user_codes = store.users.codes(everyone)
        self.behaviours = store.behaviour(at_end)
        self.user_statistics = store.request_statistics(at_end)
        self.items = store.items
        self.item_codes = state["items/codes"]
        self.durations = store.items.duration_bucket(torch.arange(len(store.items)))
        self._mean, self._scale = state["scaling/cross.mean"], state["scaling/cross.scale"]
        self._fit(_statistics(state, bank))

    def _fit(self, statistics: dict[str, RateStatistics]) -> None:
        """Item and author statistics in one table by item; those of (user, category) and (user, author) by pair."""
        end, columns = self.meta.end, 0
        parts = []
        for name, rows in (("item", torch.arange(len(self.items))), ("author", self.items.author)):
            if name in statistics:
                part = statistics[name].features(rows, torch.full_like(rows, end))
                parts.append(self._standardised(part, columns))
                columns += part.shape[1]
        self.item_statistics = torch.cat(parts, 1)
        self.pairs: dict[str, tuple[Tensor, Tensor]] = {}
        for name in PAIRS:
            if f"user_{name}" in statistics:
                counter = statistics[f"user_{name}"].counter
                # The first entry stands for every pair that was never seen.
                seen = torch.cat([torch.tensor([-1]), torch.unique_consecutive(counter.keys // counter.span)])
                part = statistics[f"user_{name}"].features(seen, torch.full_like(seen, end))
                self.pairs[name] = seen, self._standardised(part, columns)
                columns += part.shape[1]
        self._close_at = columns

    def _standardised(self, part: Tensor, start: int) -> Tensor:
        stop = start + part.shape[1]
        return ((part - self._mean[start:stop]) * self._scale[start:stop]).clamp(-10, 10)

    def inputs(self, requests: Requests, offsets: Tensor, owner: Tensor, item: Tensor) -> Inputs:
        """All features of the candidates `item`; request `owner` of each, whose entries lie between the offsets.

        Raises ValueError for a request before the end of the log, of which the tables know nothing.
        """
        if len(requests) and int(requests.time.min()) < self.meta.end:
            raise ValueError(f"requests.time: expected {self.meta.end} or later, got {int(requests.time.min())}")
        user = requests.user + 1
        request = RequestInputs(
            self._request_codes(requests),
            self.behaviours.index_select(0, user),
            self.user_statistics.index_select(0, user),
        )
        content = self.items.content
        static = ItemInputs(
            self.item_codes.index_select(0, item), None if content is None else content.index_select(0, item)
        )
        return Inputs(request, static, self._cross(requests, request.behaviour, offsets, owner, item), offsets)

    def _request_codes(self, requests: Requests) -> Tensor:
        local = requests.time + self.meta.utc_offset_ms
        unknown = torch.full_like(requests.time, -1)
        columns = [shifted(requests.context.get(name, unknown), size) for name, size in self.meta.contexts]
        columns += [hour_of(local), weekday_of(local)]
        return torch.cat([self.user_codes.index_select(0, requests.user + 1), torch.stack(columns, 1)], 1)

    def _cross(
        self, requests: Requests, behaviour: Tensor, offsets: Tensor, owner: Tensor, item: Tensor
    ) -> CrossInputs:
        user, time = requests.user.index_select(0, owner), requests.time.index_select(0, owner)
        parts = [self.item_statistics.index_select(0, item)]
        for name, (seen, table) in self.pairs.items():
            other = getattr(self.items, name).index_select(0, item)
            size = self.meta.statistics.sizes[name]
            key = torch.where((user >= 0) & (other >= 0), user * size + other, -1)
            place = torch.searchsorted(seen, key).clamp_max(len(seen) - 1)
            parts.append(table.index_select(0, torch.where(seen.index_select(0, place) == key, place, 0)))
        if self.items.content is not None:
            close = closeness(self.items.content, behaviour, offsets, owner, item)
            parts.append(self._standardised(close, self._close_at))
        codes = age_bucket(self.items.publish_time.index_select(0, item), time)[:, None]
        return CrossInputs(codes, torch.cat(parts, 1))


def closeness(content: Tensor, behaviour: Tensor, offsets: Tensor, owner: Tensor, item: Tensor) -> Tensor:
    """float32 [n, 2]: mean and greatest similarity to the user's last items, by one padded batched product."""
    longest = int(offsets.diff().max()) if len(item) else 1
    place = owner * longest + torch.arange(len(item)) - offsets.index_select(0, owner)
    padded = torch.zeros(len(behaviour) * longest, content.shape[1])
    padded.index_copy_(0, place, content.index_select(0, item))
    recent = content.index_select(0, behaviour.clamp_min(1).flatten() - 1).view(*behaviour.shape, -1)
    present = (behaviour > 0)[:, None]
    similar = torch.bmm(padded.view(len(behaviour), longest, -1), recent.transpose(1, 2))
    mean = (similar * present).sum(2) / present.sum(2).clamp_min(1)
    highest = similar.masked_fill(~present, -1).amax(2) * present.any(2)
    return torch.stack([mean, highest], 2).flatten(0, 1).index_select(0, place)


def _statistics(state: State, bank: StatisticsMeta) -> dict[str, RateStatistics]:
    """Counters of a snapshot by what they count, with the windows that each group of features has."""
    rates = Rates(bank.signals, state["bank/priors"], bank.smoothing, per_click=True)
    week = (None, *(w for w in bank.windows if w == 7 * DAY_MS))
    windows = {"item": (None, *bank.windows), "author": week}
    found = {}
    for name in ("item", "author", *(f"user_{other}" for other in PAIRS)):
        prefix = f"bank/{name}."
        part = {key.removeprefix(prefix): tensor for key, tensor in state.items() if key.startswith(prefix)}
        if part:
            found[name] = RateStatistics(WindowCounter.from_state(part), windows.get(name, (None,)), rates)
    return found
