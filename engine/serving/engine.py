"""The engine: user ids in, pages of items out, from a loaded snapshot. Thread-safe; external ids end here."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from headrace.data.ids import IdMap
from headrace.funnel import Funnel, Trace
from headrace.kernels.forks import Lock
from headrace.overlay import Overlay
from headrace.reranking.rules import name_of
from headrace.serving.checks import check_call, context_codes
from headrace.serving.pages import broken_of, pages_of
from headrace.settings import Settings
from headrace.storage import load
from headrace.types import Page, Requests


class Engine:
    """Answers requests from one snapshot.

    as_of: milliseconds since the epoch of the moment that the snapshot describes; statistics are frozen there.
    counters: requests answered, unknown users and known users without history among them, pages shorter than asked;
    and for each rule of the re-ranking, `broken: <rule>`, the items shown that break it because it was dropped there or
    because the item is pinned.
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
        self._lock = Lock()

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
        context: Mapping[str, Sequence[int]] | None = None,
        reasons: bool = False,
        record: bool = False,
    ) -> list[Page]:
        """A page of at most k items for each user, best first.

        user_ids: external ids; an unknown one gets a page made of what is known without it (popular items, ranked).
        k: items a page; the setting page.shown where not given. A page is shorter when the funnel finds fewer.
        at: request time in milliseconds since the epoch; the snapshot's own time where not given.
        context: name -> a code for each user, of what is known at the request (names as in the log's context columns).
        reasons: add each stage's scores, and what the exposure filter and the rules removed.
        record: remember the page as shown, so that the next page has other items.
        Raises TypeError or ValueError, naming the argument, for whatever cannot be meant: k < 1, ids that are not all
        integers or all strings as the snapshot's are, context of the wrong length; nothing is recorded then.
        """
        ids = check_call(user_ids, k, at, context, reasons, record, strings=self.users.ids.dtype.kind == "U")
        shown = self.settings.page.shown if k is None else operator.index(k)
        rows = self.users.rows(ids)
        requests = self.requests(rows, at, context)
        if not ids:
            return []
        trace = self.funnel.run(requests, shown)
        if record:
            page = trace.page
            self.funnel.exposure.record(requests.user[page.request], page.item, requests.time[page.request])
        self._count(requests, trace, shown)
        return pages_of(ids, requests, trace, self.items, self.funnel.channels, self._rules, reasons)

    def parse_ids(self, words: Sequence[str]) -> list[int] | list[str]:
        """User ids from text: integers where the snapshot's are. Raises ValueError for a word that is no integer."""
        if self.users.ids.dtype.kind != "i":
            return list(words)
        try:
            return [int(word) for word in words]
        except ValueError as error:
            raise ValueError(f"users: this snapshot's user ids are integers; {error}") from error

    def requests(
        self, rows: NDArray[np.int64], at: int | None = None, context: Mapping[str, Sequence[int]] | None = None
    ) -> Requests:
        """Requests of user rows (-1 unknown), checked."""
        time = torch.full((len(rows),), self.as_of if at is None else operator.index(at), dtype=torch.int64)
        codes_of = {name: context_codes(name, codes, len(rows)) for name, codes in (context or {}).items()}
        return Requests(torch.from_numpy(rows), time, codes_of)

    def _count(self, requests: Requests, trace: Trace, shown: int) -> None:
        unknown = int((requests.user < 0).sum())
        personalised = [c.name for c in self.funnel.channels if c.personalised]
        found = sum(trace.recalled[name].counts for name in personalised)
        bare = int((torch.as_tensor(found) == 0).sum()) - unknown
        short = int((trace.page.counts < shown).sum())
        broken = broken_of(trace.page, len(self._rules)).sum(0).tolist()
        with self._lock:
            for name, count in zip(self.counters, (len(requests), unknown, max(bare, 0), short, *broken), strict=True):
                self.counters[name] += count
