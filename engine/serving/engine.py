"""The engine: user ids in, pages of items out, from a loaded snapshot. Thread-safe; external ids end here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headrace.channels import Channel, Remembering
from headrace.data.ids import IdMap
from headrace.funnel import Funnel, Trace
from headrace.kernels.forks import Lock
from headrace.overlay import Overlay
from headrace.recall import alone
from headrace.reranking.rules import name_of
from headrace.serving.arguments import blocked_of, page_size, request_time, shown_items
from headrace.serving.checks import check_call
from headrace.serving.contexts import channel_codes, context_codes
from headrace.serving.pages import broken_of, pages_of, plain_pages
from headrace.settings import Settings
from headrace.storage import load
from headrace.types import Candidates, Page, Requests


class Engine:
    """Answers requests from one snapshot.

    as_of: milliseconds since the epoch of the moment that the snapshot describes; statistics are frozen there.
    counters: requests answered, unknown users and known users without history among them, pages shorter than asked;
    and for each rule of the re-ranking, `broken: <rule>`, the items shown that break it because it was dropped there or
    because the item is pinned; unknown context words.
    """

    def __init__(self, funnel: Funnel, users: IdMap, items: IdMap, as_of: int, settings: Settings) -> None:
        self.funnel = funnel
        self.users = users
        self.items = items
        self.as_of = as_of
        self.settings = settings
        self.counters = {"requests": 0, "unknown users": 0, "users without history": 0, "short pages": 0}
        rules = funnel.reranker.settings.rules
        self._rules = [name_of(rules, r) for r in range(len(rules))]
        self.counters.update({f"broken: {rule}": 0 for rule in self._rules})
        self._counted = tuple(self.counters)
        self.counters["unknown context words"] = 0
        self._lock = Lock()
        self._told = [one for one in funnel.channels if isinstance(one, Remembering)]

    @classmethod
    def load(cls, folder: str | Path, *, overlay: Overlay | None = None, verify: bool = True) -> Engine:
        """Loads the current version of a snapshot folder; verify=False skips the checksums of large files.

        overlay: settings to be used instead of the snapshot's, a mapping or a TOML file: quotas of its channels (0
        leaves one out), the merge, the page, the fusion, the selection and the re-ranking.
        Raises SnapshotError, naming the file and the reason; ValueError, naming the setting, for an overlay of what is
        fixed when a snapshot is built.
        """
        return cls(*load(Path(folder), verify, overlay))

    def recommend(
        self,
        user_ids: Sequence[int] | Sequence[str] | NDArray[np.int64],
        k: int | None = None,
        *,
        at: int | None = None,
        context: Mapping[str, Sequence[Any]] | None = None,
        blocked: Sequence[Mapping[str, Sequence[int] | Sequence[str]]] | None = None,
        reasons: bool = False,
        record: bool = False,
    ) -> list[Page]:
        """A page of at most k items for each user, best first.

        user_ids: external ids; an unknown one gets a page made of what is known without it (popular items, ranked).
        k: items a page; the setting page.shown where not given. A page is shorter only when fewer are left that it may
            show, or beyond the setting merge.total.
        at: request time in milliseconds since the epoch, within 10 years of the snapshot's own, which it is where not
            given.
        context: name -> a word or a code for each user, of what is known at the request (names and words as in the
            log's context columns). A word that the log did not have is unknown, and counted. Channels may read more:
            "city", a city of the catalogue; "geohash", a GeoHash or (latitude, longitude).
        blocked: for each user what the page must not have: "item", "author", "category" or "keyword" -> external ids,
            or texts of the catalogue (its codes where it has none); what nothing is called blocks nothing.
        reasons: add each stage's scores, and what was removed and why.
        record: remember the page as shown, all of it, as `confirm` does.
        Raises TypeError or ValueError, naming the argument, for whatever cannot be meant: a k or an `at` that cannot
        be, ids that are not all integers or all strings as the snapshot's are, context or blocked of the wrong length,
        an unknown name or codes out of range; nothing is recorded then.
        """
        ids = check_call(user_ids, context, reasons, record, strings=self.users.ids.dtype.kind == "U")
        shown = self._size(k)
        requests = self._asked(ids, at, context, blocked)
        if not ids:
            return []
        trace = self.funnel.run(requests, shown)
        for one in self._told:
            one.served(requests, trace.recalled[one.name], trace.ranked)
        if record:
            self._record(requests.user[trace.page.request], trace.page.item, int(requests.time[0]))
        self._count(requests, trace, shown)
        return pages_of(ids, requests, trace, self.items, self.funnel.channels, self._rules, reasons)

    def recall(
        self,
        user_ids: Sequence[int] | Sequence[str] | NDArray[np.int64],
        channel: str,
        k: int | None = None,
        *,
        at: int | None = None,
        context: Mapping[str, Sequence[Any]] | None = None,
        blocked: Sequence[Mapping[str, Sequence[int] | Sequence[str]]] | None = None,
    ) -> list[Page]:
        """The first k items that one recall channel has for each user and that may be shown, with its own scores.

        Nothing of the funnel after recall runs. channel: its name. Else as `recommend`, and raises as it does, and
        ValueError for a channel that the snapshot lacks. A user of whom the channel knows nothing gets an empty page.
        """
        ids = check_call(user_ids, context, False, False, strings=self.users.ids.dtype.kind == "U")
        one, size = self._channel(channel), self._size(k)
        requests = self._asked(ids, at, context, blocked)
        if not ids:
            return []
        return plain_pages(ids, requests, alone(requests, one, size, self.funnel.bars), self.items, channel)

    def lists(
        self, rows: NDArray[np.int64], k: int | None = None, *, channel: str | None = None, at: int | None = None
    ) -> Candidates:
        """As `recommend`, or `recall` where a channel is named, in dense rows and without counting."""
        requests, size = self.requests(rows, at), self._size(k)
        if channel is None:
            return self.funnel.run(requests, size).page
        found = alone(requests, self._channel(channel), size, self.funnel.bars)
        return replace(found, channels=torch.ones_like(found.item))

    def confirm(self, page: Page, shown: Sequence[int] | Sequence[str] | None = None) -> None:
        """Remembers that the user saw the page, so that the next ones have other items; twice is as good as once.

        shown: what was seen of it, as item ids, or as positions from 0 where no item's id could be meant; all of it
        where not given. An unknown user's page is not remembered. Raises ValueError for what is not on the page.
        """
        items = page.items if shown is None else shown_items(page.items, shown)
        (user,), rows = self.users.rows([page.user]), self.items.rows(items)  # type: ignore[arg-type]
        item = torch.from_numpy(rows[rows >= 0])
        self._record(torch.full_like(item, int(user)), item, page.at)

    def parse_ids(self, words: Sequence[str]) -> list[int] | list[str]:
        """User ids from text, see `IdMap.parse`: integers where the snapshot's are, else ValueError."""
        return self.users.parse(words)

    def requests(
        self,
        rows: NDArray[np.int64],
        at: int | None = None,
        context: Mapping[str, Sequence[Any]] | None = None,
    ) -> Requests:
        """Requests of user rows (-1 unknown), checked."""
        time = torch.full((len(rows),), self.as_of if at is None else request_time(at, self.as_of), dtype=torch.int64)
        given = context or {}
        told = channel_codes(self.funnel.channels, given, len(rows))
        others = [one.context for one in self.funnel.channels if one.context is not None]
        codes, strange = context_codes(self.funnel.store, given, len(rows), others)
        if strange:
            with self._lock:
                self.counters["unknown context words"] += strange
        return Requests(torch.from_numpy(rows), time, codes, told=told)

    def _size(self, k: int | None) -> int:
        return self.settings.page.shown if k is None else page_size(k)

    def _channel(self, name: str) -> Channel:
        known = {one.name: one for one in self.funnel.channels}
        if not isinstance(name, str):
            raise TypeError(f"channel: expected a name, got {name!r:.60}")
        if name not in known:
            raise ValueError(f"channel: expected one of {', '.join(known)}, which the snapshot has, got {name!r:.60}")
        return known[name]

    def _asked(
        self,
        ids: Sequence[int] | Sequence[str],
        at: int | None,
        context: Mapping[str, Sequence[Any]] | None,
        blocked: Sequence[Mapping[str, Sequence[int] | Sequence[str]]] | None,
    ) -> Requests:
        rows = self.users.rows(ids)
        barred = {} if blocked is None else blocked_of(blocked, len(rows), self.items, self.funnel.bars.stock)
        return replace(self.requests(rows, at, context), blocked=barred)

    def _record(self, user: Tensor, item: Tensor, at: int) -> None:
        # The engine has checked this time.
        self.funnel.exposure.advance(at)
        self.funnel.exposure.record(user, item, at, repeats=False)
        for one in self._told:
            one.shown(user, item)

    def _count(self, requests: Requests, trace: Trace, shown: int) -> None:
        unknown = int((requests.user < 0).sum())
        personalised = [c.name for c in self.funnel.channels if c.personalised]
        found = sum(trace.allowed[name].counts for name in personalised)
        bare = int((torch.as_tensor(found) == 0).sum()) - unknown
        short = int((trace.page.counts < shown).sum())
        broken = broken_of(trace.page, len(self._rules)).sum(0).tolist()
        with self._lock:
            for name, count in zip(self._counted, (len(requests), unknown, max(bare, 0), short, *broken), strict=True):
                self.counters[name] += count
