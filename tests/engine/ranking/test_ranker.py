"""Serving of a network: it is the network, for requests of every kind, whatever else is in the batch."""

import copy
import threading
from dataclasses import replace

import pytest
import torch
from torch import nn

from headrace.data import generate
from headrace.features import FeatureStore
from headrace.jagged import segment_of
from headrace.models import MODELS, Model, WithPrior, model
from headrace.models.lower import lowered as serving
from headrace.ranking import FusionSettings, NetworkSettings, Ranker
from headrace.ranking.completion import CompletionCurve
from headrace.ranking.heads import Heads
from headrace.section import Section
from headrace.types import Requests

TARGETS = ("click", "like", "completion")
COUNTS = [0, 7, 33, 120]
KINDS = {
    "mmoe": {"model": "mmoe"},
    "mmoe without attention": {"model": "mmoe", "network": {"attention": False}},
    "mmoe of another shape": {
        "model": "mmoe",
        "network": {"experts": 2, "expert_units": (17, 9), "head_units": 5, "embedding_dim": 3},
    },
    "three towers": {"model": "three_towers"},
}
BOTH = ("mmoe", "three towers")


@pytest.fixture(scope="module")
def store(small_log):
    return FeatureStore.fit(small_log)


@pytest.fixture(scope="module")
def bare_store():
    """Of a catalogue without content, and a log without contexts."""
    dataset = generate(users=60, items=150, events=2_000, seed=2).dataset
    plain = replace(dataset, catalogue=replace(dataset.catalogue, vector=None), log=replace(dataset.log, context={}))
    return FeatureStore.fit(plain)


def lively(network):
    """Weights large enough that every part matters, as after training."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            scale = 0.5 if "table" in name else weight.shape[-1] ** -0.5
            weight.copy_(torch.randn(weight.shape, generator=generator) * scale)
        network.set_prior(torch.tensor([-1.0, 0.5, -2.0]))
    return network.eval()


def make(store, kind):
    settings = NetworkSettings.model_validate(KINDS[kind])
    heads = Heads(TARGETS, {}, CompletionCurve.flat(), FusionSettings())
    return Ranker(store, lively(settings.build(store.columns, len(TARGETS))), settings, heads)


def ask(store, counts=COUNTS, seed=0, live=False):
    """Requests after the log, or within it, with a user nobody knows among them."""
    generator = torch.Generator().manual_seed(seed)
    user = torch.randint(0, store.columns["user"].size - 1, (len(counts),), generator=generator)
    user[-1:] = -1
    context = {c.name.removeprefix("context_"): torch.zeros_like(user) for c in store.columns if "context_" in c.name}
    time = (store.start + store.end) // 2 if live else store.end + 5 * 3_600_000
    offsets = torch.tensor([0, *counts]).cumsum(0)
    item = torch.randint(0, store.items, (int(offsets[-1]),), generator=generator)
    return Requests(user, torch.full_like(user, time), context), offsets, item


def mapped(model, asked, to):
    """Every column of each candidate, numbers in float64 through `to`."""
    requests, offsets, item = asked
    columns = model.store.row_columns(requests.take(segment_of(offsets)), item)
    return {name: to(c.double()) if c.is_floating_point() else c for name, c in columns.items()}


def logit_error(model, asked):
    """Of float32 sums, to first order: a rounding for each term on the way, of the sum of absolute terms at most."""
    sizes = copy.deepcopy(model.network).double()
    for weight in (*sizes.parameters(), *sizes.buffers()):
        weight.abs_()
    terms = sum(weight.shape[-1] for weight in model.network.parameters() if weight.ndim > 1)
    return (terms + 2) * 2.0**-24 * sizes(mapped(model, asked, torch.abs)).max()


def check(model, asked):
    """What serves is the network itself, candidate by candidate, to the roundings of float32."""
    with torch.inference_mode():
        exact = copy.deepcopy(model.network).double()(mapped(model, asked, torch.clone)).sigmoid()
        error = logit_error(model, asked) / 4 + 2.0**-22  # a sigmoid is nowhere steeper than 1 / 4
        got = served(model, asked)
    assert (got - exact).abs().max() <= error


def served(model, asked):
    predicted = model.predict(*asked)
    return torch.stack([predicted[name] for name in ("p_click", "p_like", "p_completion")], 1)


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_serving_is_the_network(store, kind, live):
    check(make(store, kind), ask(store, live=live))


@pytest.mark.parametrize("kind", BOTH)
def test_without_content_and_contexts(bare_store, kind):
    model = make(bare_store, kind)
    for live in (False, True):
        check(model, ask(bare_store, live=live))


@pytest.mark.parametrize("kind", BOTH)
def test_no_requests_and_no_candidates(store, kind):
    model = make(store, kind)
    for counts in ([], [0], [0, 0]):
        for live in (False, True):
            assert all(len(column) == 0 for column in model.predict(*ask(store, counts, live=live)).values())


@pytest.mark.parametrize("kind", BOTH)
def test_requests_within_the_log_leave_the_others_as_they_are(store, kind):
    """Bit for bit: a mixed batch, each kind alone, and each request alone."""
    model = make(store, kind)
    requests, offsets, item = ask(store, [5, 0, 33, 120, 1, 64])
    early, _, _ = ask(store, [5, 0, 33, 120, 1, 64], live=True)
    time = torch.where(torch.arange(6) % 2 == 0, requests.time, early.time)
    mixed = Requests(requests.user, time, requests.context)
    whole = model.predict(mixed, offsets, item)
    for b in range(len(mixed)):
        of = slice(int(offsets[b]), int(offsets[b + 1]))
        alone = model.predict(mixed.take(torch.tensor([b])), offsets[b : b + 2] - offsets[b], item[of])
        kin = model.predict(requests if b % 2 == 0 else early, offsets, item)
        for name, column in alone.items():
            assert torch.equal(column, whole[name][of]), name
            assert torch.equal(column, kin[name][of]), name


@pytest.mark.parametrize("kind", BOTH)
def test_changed_weights_are_seen(store, kind):
    ranker, asked = make(store, kind), ask(store)
    before = ranker.predict(*asked)["p_click"]
    optimizer = torch.optim.SGD(ranker.network.parameters(), lr=1.0)
    with torch.no_grad():
        for weight in ranker.network.parameters():
            weight.grad = torch.full_like(weight, 0.01)
    optimizer.step()
    changed = served(ranker, asked)
    assert not torch.equal(changed[:, 0], before)
    check(ranker, asked)
    ranker.network.set_prior(torch.zeros(3))
    assert not torch.equal(served(ranker, asked), changed)
    ranker.network.load_state_dict(make(store, kind).network.state_dict())
    assert torch.equal(ranker.predict(*asked)["p_click"], before)
    for weight in ranker.network.parameters():
        weight.data += 0.01
    ranker.clear_cache()
    assert not torch.equal(ranker.predict(*asked)["p_click"], before)


class Spy:
    """Counts the rows that each part of a network runs over."""

    def __init__(self, store, monkeypatch):
        self.items = self.requests = self.pairs = 0
        item_columns, network = store.item_columns, serving.network

        def items(item):
            self.items += len(item)
            return item_columns(item)

        def called(program, *, request, pair, **inputs):
            self.requests += len(request)
            self.pairs += len(pair)
            return network(program, request=request, pair=pair, **inputs)

        monkeypatch.setattr(store, "item_columns", items)
        monkeypatch.setattr(serving, "network", called)


def test_each_part_runs_as_often_as_it_must(store, monkeypatch):
    """Once for each item of the catalogue, for each request, and for each candidate."""
    spy = Spy(store, monkeypatch)
    model, asked = make(store, "three towers"), ask(store)
    cold, warm = (model.predict(*asked) for _ in range(2))
    assert (spy.items, spy.requests, spy.pairs) == (store.items, 2 * len(COUNTS), 2 * sum(COUNTS))
    for name, column in cold.items():
        assert torch.equal(column, warm[name])


def test_the_first_use_may_come_from_many_threads(store, monkeypatch):
    expected = make(store, "three towers").predict(*ask(store))["p_click"]
    spy = Spy(store, monkeypatch)
    model, asked, wrong = make(store, "three towers"), ask(store), []

    def use():
        if not torch.equal(model.predict(*asked)["p_click"], expected):
            wrong.append(True)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert spy.items == store.items


def test_a_network_that_is_no_program_runs_in_torch_and_says_why(store):
    @model
    class Sorted(Model):
        """Reads its statistics in order, for which there is no instruction."""

        name = "sorted"

        class Settings(Section):
            """None."""

        def __init__(self, columns, targets, settings):
            super().__init__(columns, targets, settings)
            self.out = nn.Linear(columns["item_statistics"].size + columns["request_statistics"].size, targets)

        def forward(self, columns):
            joined = torch.cat([columns["item_statistics"], columns["request_statistics"]], 1)
            return self.out(joined.sort(1).values)

    try:
        settings = NetworkSettings(model="sorted")
    finally:
        MODELS.remove("sorted")
    network = WithPrior(Sorted(store.columns, len(TARGETS), settings.network), len(TARGETS)).eval()
    other = Ranker(store, network, settings, Heads(TARGETS, {}, CompletionCurve.flat(), FusionSettings()))
    assert make(store, "mmoe").reason is None
    assert "sort" in (other.reason or "")
    for live in (False, True):
        check(other, ask(store, live=live))
