import dataclasses
import threading
from itertools import pairwise

import pytest
import torch
from network_oracle import close
from towers_oracle import SIZES, brute, call, network

from headrace.kernels import settings
from headrace.kernels.three_towers import TowersModel, TowersSizes, three_towers

COUNTS = [[], [0], [1], [7, 0, 16], [15, 17], [31, 33, 0, 1], [63, 65], [97, 2], [1000]]


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize("counts", COUNTS)
def test_every_candidate_equals_brute_force(backend, counts):
    net = network()
    arguments = call(net, counts)
    logits = three_towers(net.model, **arguments, backend=backend)
    assert logits.dtype == torch.float32
    assert logits.shape == (3, sum(counts))
    assert close(logits.numpy(), brute(net, arguments))


@pytest.mark.parametrize(
    "sizes",
    [
        TowersSizes(targets=1, dim=1, tower_units=1, upper_units=1),
        TowersSizes(targets=8, dim=16, tower_units=64, upper_units=32),
        TowersSizes(targets=9, dim=15, tower_units=17, upper_units=33),
        TowersSizes(targets=17, dim=31, tower_units=65, upper_units=15),
    ],
)
def test_sizes(sizes):
    net = network(sizes, request=17, dynamic=10)
    arguments = call(net, [20, 1, 5, 33])
    same = three_towers(net.model, **arguments)
    assert close(same.numpy(), brute(net, arguments))
    for isa in settings.usable_isas():
        with settings.isa(isa):
            assert torch.equal(three_towers(net.model, **arguments), same), isa


def test_parts_may_be_missing():
    """No request features, no dynamic ones, no codes."""
    net = network(request=0, dynamic=0, codes=1)
    arguments = call(net, [5, 40], fields=0)
    for backend in ("reference", "native"):
        assert close(three_towers(net.model, **arguments, backend=backend).numpy(), brute(net, arguments))


def test_several_codes_are_added_up():
    net = network()
    arguments = call(net, [33, 4], fields=8)
    assert close(three_towers(net.model, **arguments).numpy(), brute(net, arguments))


def test_the_batch_and_the_threads_change_no_bit():
    net = network()
    arguments = call(net, [300, 0, 1, 64, 31, 17])
    whole = three_towers(net.model, **arguments, threads=1)
    for threads in (2, 3):
        assert torch.equal(three_towers(net.model, **arguments, threads=threads), whole)
    offsets = arguments["offsets"].tolist()
    for b, (first, last) in enumerate(pairwise(offsets)):
        # Backwards, so that every candidate has other neighbours.
        own = {n: arguments[n][first:last].flip(0) for n in ("item", "codes", "dynamic")}
        request = arguments["request"][b : b + 1]
        alone = three_towers(net.model, request=request, **own, offsets=torch.tensor([0, last - first]))
        assert torch.equal(alone.flip(1), whole[:, first:last])


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize(
    ("name", "place", "value", "words"),
    [
        ("request", (1, 0), torch.nan, "request: expected finite"),
        ("dynamic", (3, 1), torch.inf, "dynamic: expected finite"),
        ("item", 4, 50, "item: expected 0 to 49"),
        ("item", 4, -1, "item: expected 0 to 49"),
        ("codes", (2, 0), 7, "codes: expected 0 to 6"),
        ("codes", (2, 0), -1, "codes: expected 0 to 6"),
        ("offsets", 0, 1, "offsets: expected"),
        ("offsets", 1, 99, "offsets: expected"),
        ("offsets", 2, 5, "offsets: expected"),
    ],
)
def test_bad_values_are_refused(backend, name, place, value, words):
    net = network()
    arguments = call(net, [4, 3])
    arguments[name][place] = value
    with pytest.raises(ValueError, match=words):
        three_towers(net.model, **arguments, backend=backend)


def test_bad_types_and_shapes_are_refused():
    net = network()
    arguments = call(net, [4, 3])
    for name, tensor in arguments.items():
        with pytest.raises(TypeError, match=f"{name}: expected"):
            three_towers(net.model, **{**arguments, name: tensor.double()})
        with pytest.raises(ValueError, match=f"{name}: expected"):
            three_towers(net.model, **{**arguments, name: tensor[..., None]})
        if name not in ("request", "item"):
            with pytest.raises(ValueError, match=f"{name}: expected shape"):
                three_towers(net.model, **{**arguments, name: tensor[:-1]})
    with pytest.raises(ValueError, match="codes: expected at most 8"):
        three_towers(net.model, **{**arguments, "codes": arguments["codes"].repeat(1, 9)})
    with pytest.raises(TypeError, match="model: expected a TowersModel"):
        three_towers(None, **arguments)
    with pytest.raises(ValueError, match="threads"):
        three_towers(net.model, **arguments, threads=-1)


def test_bad_weights_are_refused():
    model = network().model
    for name in (field.name for field in dataclasses.fields(TowersModel) if field.name != "sizes"):
        tensor = getattr(model, name)
        with pytest.raises(TypeError, match=f"{name}: expected float32"):
            dataclasses.replace(model, **{name: tensor.double()})
        with pytest.raises(ValueError, match=f"{name}: expected finite"):
            dataclasses.replace(model, **{name: tensor * torch.nan})
        with pytest.raises(ValueError, match=f"{name}: expected shape"):
            dataclasses.replace(model, **{name: tensor[..., :-1].contiguous()})
    with pytest.raises(ValueError, match="dim: expected at least 1"):
        dataclasses.replace(SIZES, dim=0)


def test_opcheck():
    net = network()
    arguments = call(net, [4, 3])
    torch.library.opcheck(
        torch.ops.headrace.three_towers.default,
        (net.model.weights, net.model.sizes.numbers(), *arguments.values(), "auto", 0),
    )


def test_many_threads_share_one_model():
    net = network()
    batches = [call(net, [seed, 400, 7], seed=seed) for seed in range(6)]
    expected = [three_towers(net.model, **arguments) for arguments in batches]
    wrong = []

    def hammer(i):
        for _ in range(30):
            if not torch.equal(three_towers(net.model, **batches[i], threads=2), expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=hammer, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_pre_rankers_own_sizes():
    net = network(TowersSizes(targets=8, dim=16, tower_units=64, upper_units=32), request=84, dynamic=10)
    arguments = call(net, [500, 500])
    assert close(three_towers(net.model, **arguments).numpy(), brute(net, arguments))
