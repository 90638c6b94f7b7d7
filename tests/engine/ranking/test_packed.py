import copy
import threading
from dataclasses import replace

import pytest
import torch

from headrace.data import generate
from headrace.features import FeatureStore, Inputs
from headrace.features.inputs import CrossInputs, ItemInputs, RequestInputs
from headrace.ranking import FusionSettings, PreRanker, PreRankerSettings, Ranker, RankerSettings
from headrace.ranking.completion import CompletionCurve
from headrace.ranking.heads import Heads
from headrace.ranking.multitarget import RankingNetwork
from headrace.ranking.towers import ThreeTowers
from headrace.types import Requests

TARGETS = ("click", "like", "completion")
COUNTS = [0, 7, 33, 120]


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
    return network.eval()


def heads():
    return Heads(TARGETS, {}, CompletionCurve.flat(), FusionSettings())


def ranker(store, **settings):
    chosen = RankerSettings(**settings)
    return Ranker(store, lively(RankingNetwork(store.spec, len(TARGETS), chosen)), chosen, heads())


def preranker(store):
    chosen = PreRankerSettings()
    return PreRanker(store, lively(ThreeTowers(store.spec, len(TARGETS), chosen)), chosen, heads())


def ask(store, counts=COUNTS, seed=0):
    """Requests after the log, with a user nobody knows among them."""
    generator = torch.Generator().manual_seed(seed)
    users, items = len(store.users._codes) - 1, len(store.items)
    user = torch.randint(0, users, (len(counts),), generator=generator)
    user[-1:] = -1
    context = {name: torch.zeros(len(counts), dtype=torch.int64) for name, _ in store.meta.contexts}
    requests = Requests(user, torch.full((len(counts),), store.meta.end + 5 * 3_600_000), context)
    offsets = torch.tensor([0, *counts]).cumsum(0)
    return requests, offsets, torch.randint(0, items, (int(offsets[-1]),), generator=generator)


def mapped(inputs, to):
    request, item, cross = inputs.request, inputs.item, inputs.cross
    return Inputs(
        RequestInputs(request.codes, request.behaviour, to(request.statistics.double())),
        ItemInputs(item.codes, None if item.content is None else to(item.content.double())),
        CrossInputs(cross.codes, to(cross.statistics.double())),
        inputs.offsets,
    )


def logit_error(network, inputs):
    """Of float32 sums, to first order: a rounding for each term on the way, of the sum of absolute terms at most."""
    sizes = copy.deepcopy(network).double()
    for weight in sizes.parameters():
        weight.abs_()
    terms = sum(weight.shape[-1] for weight in network.parameters() if weight.ndim > 1)
    return (terms + 2) * 2.0**-24 * sizes(mapped(inputs, torch.abs)).max()


def check(model, asked):
    """The packed network is the network, to the roundings of float32."""
    requests, offsets, item = asked
    inputs = model.store.inputs(requests, offsets, item)
    with torch.inference_mode():
        exact = copy.deepcopy(model.network).double()(mapped(inputs, torch.clone)).sigmoid()
        error = logit_error(model.network, inputs) / 4 + 2.0**-22  # a sigmoid is nowhere steeper than 1 / 4
        predicted = model.predict(requests, offsets, item)
    packed = torch.stack([predicted[name] for name in ("p_click", "p_like", "p_completion")], 1)
    assert (packed - exact).abs().max() <= error


@pytest.mark.parametrize("attention", [True, False])
def test_the_packed_ranker_is_the_network(store, attention):
    check(ranker(store, attention=attention), ask(store))


def test_the_packed_ranker_of_another_shape_is_the_network(store):
    check(ranker(store, experts=2, expert_units=(17, 9), head_units=5, embedding_dim=3), ask(store))


def test_the_packed_preranker_is_the_network(store):
    check(preranker(store), ask(store))


def test_without_content_and_contexts(bare_store):
    check(ranker(bare_store), ask(bare_store))
    check(preranker(bare_store), ask(bare_store))


@pytest.mark.parametrize("make", [ranker, preranker])
def test_no_requests_and_no_candidates(store, make):
    model = make(store)
    for counts in ([], [0], [0, 0]):
        assert all(len(column) == 0 for column in model.predict(*ask(store, counts)).values())


@pytest.mark.parametrize("make", [ranker, preranker])
def test_requests_within_the_log_go_through_the_network(store, make):
    model = make(store)
    requests, offsets, item = ask(store)
    early = Requests(requests.user, torch.full_like(requests.time, store.meta.start + 1000), requests.context)
    with torch.inference_mode():
        plain = model.network(store.inputs(early, offsets, item)).sigmoid()
    predicted = model.predict(early, offsets, item)
    torch.testing.assert_close(predicted["p_click"], plain[:, 0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("make", [ranker, preranker])
def test_changed_weights_are_seen(store, make):
    model, asked = make(store), ask(store)
    before = model.predict(*asked)["p_click"]
    optimizer = torch.optim.SGD(model.network.parameters(), lr=1.0)
    with torch.no_grad():
        for weight in model.network.parameters():
            weight.grad = torch.full_like(weight, 0.01)
    optimizer.step()
    assert not torch.equal(model.predict(*asked)["p_click"], before)
    check(model, asked)
    model.network.load_state_dict(make(store).network.state_dict())
    assert torch.equal(model.predict(*asked)["p_click"], before)
    for weight in model.network.parameters():
        weight.data += 0.01
    model.clear_cache()
    assert not torch.equal(model.predict(*asked)["p_click"], before)


def test_the_first_use_may_come_from_many_threads(store):
    model, asked = preranker(store), ask(store)
    expected = preranker(store).predict(*asked)["p_click"]
    wrong = []

    def use():
        if not torch.equal(model.predict(*asked)["p_click"], expected):
            wrong.append(True)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert model.inferences.item == len(store.items)
