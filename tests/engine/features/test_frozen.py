import dataclasses
import threading

import numpy as np
import pytest
import torch

from headrace.data import Catalogue, Dataset, IdMap, InteractionLog, Jagged, Users
from headrace.features import FeatureSettings, FeatureStore
from headrace.features.families.statistics import Statistics
from headrace.jagged import offsets_of, segment_of
from headrace.types import Requests

HOUR = 3_600_000
USERS, ITEMS = 13, 31


def made_up(history: bool = True, content: bool = True, tab: bool = True, sparse: int = 1) -> Dataset:
    """`sparse` spreads the authors' codes, so that a table of them is searched rather than indexed."""
    rng = np.random.default_rng(3)
    catalogue = Catalogue(
        IdMap(np.arange(ITEMS)),
        author=(rng.integers(-1, 5, ITEMS) * sparse).clip(-1).astype(np.int32),
        category=Jagged(np.arange(ITEMS + 1), rng.integers(0, 4, ITEMS).astype(np.int32)),
        vector=rng.normal(size=(ITEMS, 4)).astype(np.float32) if content else None,
    )

    def log(n: int, start: int) -> InteractionLog:
        user, item = rng.integers(0, USERS - 1, n).astype(np.int32), rng.integers(0, ITEMS - 2, n).astype(np.int32)
        time = np.sort(rng.integers(0, 400 * HOUR, n)) + start
        click = (rng.random(n) < 0.4).astype(np.int8)
        context = {"tab": rng.integers(-1, 4, n).astype(np.int32)} if tab else {}
        return InteractionLog(
            user, item, time, {"click": click, "like": click & (rng.random(n) < 0.3)}, context=context
        )

    dataset = Dataset("made up", Users(IdMap(np.arange(USERS)), {}), catalogue, log(300, 1_650_000_000_000))
    return dataclasses.replace(dataset, history=log(200, 1_600_000_000_000)) if history else dataset


def asked(store: FeatureStore, batch: int = 9, longest: int = 40) -> tuple[Requests, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(batch)
    user = torch.randint(-1, USERS, (batch,), generator=generator)
    time = store.end + torch.randint(0, 99, (batch,), generator=generator) * HOUR
    tab = torch.randint(-1, 6, (batch,), generator=generator)
    counts = torch.randint(0, longest, (batch,), generator=generator)
    item = torch.randint(0, ITEMS, (int(counts.sum()),), generator=generator)
    return Requests(user, time, {"tab": tab}), offsets_of(counts), item


def served(
    store: FeatureStore, requests: Requests, offsets: torch.Tensor, item: torch.Tensor, live: bool = False
) -> dict[str, torch.Tensor]:
    """Every column in the way that serving makes it, a row for each candidate."""
    owner, made = segment_of(offsets), store.request_columns(requests)
    pairs = store.pair_columns(requests, made, offsets, item, live=live)
    return {**{name: column[owner] for name, column in made.items()}, **store.item_columns(item), **pairs}


@pytest.mark.parametrize("history", [True, False])
@pytest.mark.parametrize("content", [True, False])
@pytest.mark.parametrize("tab", [True, False])
@pytest.mark.parametrize("sparse", [1, 1000])
def test_all_ways_to_make_the_columns_agree(history: bool, content: bool, tab: bool, sparse: int) -> None:
    fitted = FeatureStore.fit(made_up(history, content, tab, sparse), FeatureSettings(behaviours=5))
    for store in (fitted, FeatureStore.from_state(fitted.state())):
        for batch in (0, 1, 9):
            requests, offsets, item = asked(store, batch)
            expected = store.row_columns(requests.take(segment_of(offsets)), item)
            for live in (False, True):
                got = served(store, requests, offsets, item, live)
                assert got.keys() == expected.keys() == {column.name for column in store.columns}
                for name, column in expected.items():
                    assert torch.equal(got[name], column), name


@pytest.mark.parametrize("refresh", [0, 6 * HOUR])
def test_a_request_has_the_same_columns_in_any_batch(refresh: int) -> None:
    """Among requests within the log and after it; of the ended ones also by look-up and by counting."""
    store = FeatureStore.fit(made_up(), FeatureSettings(behaviours=5, refresh_ms=refresh))
    requests, offsets, item = asked(store)
    time = torch.where(torch.arange(len(requests)) % 2 == 0, requests.time, store.start + 55 * HOUR)
    mixed = Requests(requests.user, time, requests.context)
    whole = served(store, mixed, offsets, item, live=True)
    for b in range(len(mixed)):
        one, of = mixed.take(torch.tensor([b])), slice(int(offsets[b]), int(offsets[b + 1]))
        ended = bool(store.ended(one))
        for live in {True, not ended}:
            alone = served(store, one, offsets[b : b + 2] - offsets[b], item[of], live)
            pairs = {column.name for column in (store.live_columns if live else store.columns).of("dense")}
            for name in pairs:
                assert torch.equal(whole[name][of], alone[name]), name


def test_without_the_context_its_statistics_are_those_of_an_unknown_one() -> None:
    store = FeatureStore.fit(made_up())
    requests, offsets, item = asked(store)
    bare = Requests(requests.user, requests.time)
    unknown = Requests(requests.user, requests.time, {"tab": torch.full_like(requests.user, -1)})
    expected = served(store, unknown, offsets, item)
    for name, column in served(store, bare, offsets, item).items():
        assert torch.equal(column, expected[name]), name


def test_requests_have_ended_from_the_end_of_the_log_on() -> None:
    store = FeatureStore.fit(made_up())
    times = torch.tensor([store.end, store.end + 1, store.end - 1])
    assert store.ended(Requests(torch.zeros_like(times), times)).tolist() == [True, True, False]
    assert store.ended(Requests(times[:0], times[:0])).tolist() == []


def test_is_made_once_by_many_threads() -> None:
    statistics = FeatureStore.fit(made_up()).families["statistics"]
    assert isinstance(statistics, Statistics)
    made: list[object] = []
    threads = [threading.Thread(target=lambda: made.append(statistics.frozen())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(frozen) for frozen in made}) == 1
    assert len(made) == 8
