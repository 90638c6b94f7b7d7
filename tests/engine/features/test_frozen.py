import dataclasses
import threading

import numpy as np
import pytest
import torch

from headrace.data import Catalogue, Dataset, IdMap, InteractionLog, Jagged, Users
from headrace.features import FeatureSettings, FeatureStore
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
    time = store.meta.end + torch.randint(0, 99, (batch,), generator=generator) * HOUR
    tab = torch.randint(-1, 6, (batch,), generator=generator)
    counts = torch.randint(0, longest, (batch,), generator=generator)
    item = torch.randint(0, ITEMS, (int(counts.sum()),), generator=generator)
    return Requests(user, time, {"tab": tab}), offsets_of(counts), item


def joined(store: FeatureStore, requests: Requests, offsets: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
    frozen = store.frozen()
    out = torch.full((len(item), store.spec.cross_width), torch.nan)
    out[:, frozen.static_columns] = frozen.item_statistics[item]
    out[:, frozen.dynamic_columns] = frozen.dynamic(requests, offsets, item)
    return out


@pytest.mark.parametrize("history", [True, False])
@pytest.mark.parametrize("content", [True, False])
@pytest.mark.parametrize("tab", [True, False])
@pytest.mark.parametrize("sparse", [1, 1000])
def test_both_halves_are_the_cross_statistics(history: bool, content: bool, tab: bool, sparse: int) -> None:
    fitted = FeatureStore.fit(made_up(history, content, tab, sparse), FeatureSettings(behaviours=5))
    for store in (fitted, FeatureStore.from_state(*fitted.state())):
        for batch in (0, 1, 9):
            requests, offsets, item = asked(store, batch)
            expected = store.cross_statistics(requests, segment_of(offsets), item)
            counted = store.spec.cross_width - 2 * content
            got = joined(store, requests, offsets, item)
            assert torch.equal(got[:, :counted], expected[:, :counted])
            # Means and maxima of cosines in float32, on both sides: (recent + dim + 3) roundings of sums of 1 at most.
            wide = store.items.content.shape[1] if content else 0
            torch.testing.assert_close(got, expected, rtol=0, atol=2 * (5 + wide + 3) * 2.0**-24)


def test_without_the_context_its_statistics_are_those_of_an_unknown_one() -> None:
    store = FeatureStore.fit(made_up())
    requests, offsets, item = asked(store)
    bare = Requests(requests.user, requests.time)
    unknown = Requests(requests.user, requests.time, {"tab": torch.full_like(requests.user, -1)})
    assert torch.equal(joined(store, bare, offsets, item), joined(store, unknown, offsets, item))


def test_covers_requests_from_the_end_of_the_log_on() -> None:
    store = FeatureStore.fit(made_up())
    times = torch.tensor([store.meta.end, store.meta.end + 1])
    user = torch.zeros(2, dtype=torch.int64)
    assert store.frozen().covers(Requests(user, times))
    assert not store.frozen().covers(Requests(user, times - 1))
    assert store.frozen().covers(Requests(user[:0], times[:0]))


def test_is_made_once_by_many_threads() -> None:
    store = FeatureStore.fit(made_up())
    made: list[object] = []
    threads = [threading.Thread(target=lambda: made.append(store.frozen())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(frozen) for frozen in made}) == 1
    assert len(made) == 8
