import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from model_worlds import (
    CASES,
    DOUBLE,
    SETS,
    arguments_of,
    bounded,
    in_doubles,
    network_of,
    statistics_with_candidates,
    values_of,
    world,
)
from network_oracle import close
from program_oracle import brute

from headrace.models.lower import Staged, lower
from headrace.models.lower.staged import StagedReady

every_case = pytest.mark.parametrize(("name", "options"), CASES, ids=lambda value: str(value))
every_set = pytest.mark.parametrize("columns", SETS)


@every_set
@every_case
@pytest.mark.parametrize("live", [False, True], ids=["after the log", "within the log"])
def test_a_program_before_it_is_rounded_is_the_network(name, options, columns, live):
    columns, targets = SETS[columns]
    sides = statistics_with_candidates(columns) if live else {}
    network, given = network_of(name, columns, targets, options), world(columns, sides=sides)
    value, error = bounded(lower(network, columns, sides=sides), given)
    want = in_doubles(network, given.each())
    assert bool(((value - want).abs() <= DOUBLE * error).all())
    # The bound says something: it is far below what any column adds to a logit.
    assert float((DOUBLE * error).max()) < 1e-9


@every_set
@every_case
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_native_kernel_holds_its_bound(name, options, columns, precision):
    columns, targets = SETS[columns]
    network, given = network_of(name, columns, targets, options, seed=1), world(columns, counts=(1, 17, 0, 2), seed=1)
    ready = lower(network, columns, precision=precision).with_items(given.items, 6)
    few = slice(0, 4)
    exact = brute(ready.program, {**arguments_of(ready, given), "offsets": given.offsets.clamp_max(4)})
    for backend in ("reference", "native"):
        logits = ready(given.request, given.pair, given.offsets, given.item, backend=backend)
        assert close(logits[few].numpy(), exact), backend


@every_set
@every_case
def test_the_same_stages_in_torch_are_the_network(name, options, columns):
    columns, targets = SETS[columns]
    network, given = network_of(name, columns, targets, options, seed=2), world(columns, seed=2)
    ready = Staged(network, columns, {}, "for a test").with_items(given.items, 6)
    assert isinstance(ready, StagedReady)
    logits = ready(given.request, given.pair, given.offsets, given.item)
    assert logits.dtype == torch.float32
    want = in_doubles(network, given.each())
    # Half a unit of float32, and as much again of float64 as any of these networks can lose.
    assert bool(((logits - want).abs() <= want.abs() * 2.0**-24 + 1e-9).all())


@every_case
def test_rows_are_rounded_once(name, options):
    columns, targets = SETS["all"]
    network, given = network_of(name, columns, targets, options), world(columns)
    lowered = lower(network, columns)
    program = lowered.with_items(given.items, 6).program
    exact = lowered.exact_items(given.items, 6).float()
    assert torch.equal(program.item_rows[:, : exact.shape[1]], exact)
    assert program.item_rows.shape[1] % 16 == 0
    assert not program.item_rows[:, exact.shape[1] :].any()
    assert torch.equal(program.code_rows, lowered.code_rows.float())
    assert torch.equal(program.weights, lowered.weights.float())


@every_case
def test_lowering_leaves_the_network_as_it_was(name, options):
    columns, targets = SETS["all"]
    network = network_of(name, columns, targets, options).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    lower(network, columns)
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_an_empty_batch_and_no_items_are_served():
    columns, targets = SETS["all"]
    given = world(columns, counts=(0, 0), items=1)
    ready = lower(network_of("mmoe", columns, targets), columns).with_items(given.items, 1)
    assert ready(given.request, given.pair, given.offsets, given.item).shape == (0, targets)
    none = {name: values[:0] for name, values in given.items.items()}
    assert lower(network_of("mmoe", columns, targets), columns).item_rows(none, 0).shape[0] == 0


def test_the_default_networks_stay_in_the_first_level_of_cache():
    columns, _ = SETS["all"]
    for name, most in (("mmoe", 256), ("three_towers", 128)):
        assert lower(network_of(name, columns, 9), columns).pair.columns <= most


@pytest.mark.parametrize("kind", ["lowered", "staged"])
@every_case
def test_a_request_gets_the_same_bits_alone(name, options, kind):
    columns, targets = SETS["all"]
    network, given = network_of(name, columns, targets, options), world(columns, counts=(3, 17, 2))
    made = lower(network, columns) if kind == "lowered" else Staged(network, columns, {}, "for a test")
    ready = made.with_items(given.items, 6)
    together = ready(given.request, given.pair, given.offsets, given.item)
    for b, (first, last) in enumerate(itertools.pairwise(given.offsets.tolist())):
        request = {key: values[b : b + 1] for key, values in given.request.items()}
        pair = {key: values[first:last] for key, values in given.pair.items()}
        alone = ready(request, pair, torch.tensor([0, last - first]), given.item[first:last])
        assert torch.equal(alone, together[first:last])


def test_networks_run_in_other_threads_while_one_is_lowered():
    columns, targets = SETS["codes alone"]
    network, other = (network_of("three_towers", columns, targets, seed=seed) for seed in range(2))
    rows = values_of(columns, 4, torch.Generator().manual_seed(0))
    want, done, wrong = other(rows), threading.Event(), []

    def predict():
        while not done.is_set():
            if not torch.equal(other(rows), want):
                wrong.append("another network's logits")

    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(predict) for _ in range(2)]
        lowering = [pool.submit(lower, network, columns) for _ in range(6)]
        for one in lowering:
            one.result()
        done.set()
        for one in running:
            one.result()
    assert not wrong
