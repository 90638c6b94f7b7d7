import dataclasses
import threading
from itertools import pairwise

import pytest
import torch
from mixture_oracle import SIZES, brute, call, network
from network_oracle import close

from headrace.kernels import settings
from headrace.kernels.mixture_of_experts import MixtureModel, MixtureSizes, mixture_of_experts

COUNTS = [[], [0], [1], [7, 0, 16], [15, 17], [31, 33, 0, 1], [63, 65], [97, 2]]


def shaped(**changes):
    return dataclasses.replace(SIZES, **changes)


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize("counts", COUNTS)
def test_every_candidate_equals_brute_force(backend, counts):
    net = network()
    arguments = call(net, counts)
    logits = mixture_of_experts(net.model, **arguments, backend=backend)
    assert logits.dtype == torch.float32
    assert logits.shape == (3, sum(counts))
    assert close(logits.numpy(), brute(net, arguments))


@pytest.mark.parametrize(
    "sizes",
    [
        MixtureSizes(targets=1, experts=1, hidden=1, units=1, head_units=1, dim=1, attention=False),
        shaped(targets=9, experts=3, hidden=64, units=32, head_units=16, dim=8),
        shaped(hidden=17, units=33, head_units=7, dim=16),
        shaped(targets=5, experts=4, hidden=15, units=16, head_units=31, dim=5, attention=False),
    ],
)
def test_sizes(sizes):
    net = network(sizes, request=17, dynamic=10)
    arguments = call(net, [20, 1, 5, 3, 0, 2, 9], longest=20)
    same = mixture_of_experts(net.model, **arguments)
    assert close(same.numpy(), brute(net, arguments))
    for isa in settings.usable_isas():
        with settings.isa(isa):
            assert torch.equal(mixture_of_experts(net.model, **arguments), same), isa


def test_parts_may_be_missing():
    """No request features, no dynamic ones, no codes, no behaviours."""
    net = network(request=0, dynamic=0, codes=1)
    arguments = call(net, [5, 40], longest=0, fields=0)
    for backend in ("reference", "native"):
        assert close(mixture_of_experts(net.model, **arguments, backend=backend).numpy(), brute(net, arguments))


def test_several_codes_are_added_up():
    net = network()
    arguments = call(net, [33, 4], fields=8)
    assert close(mixture_of_experts(net.model, **arguments).numpy(), brute(net, arguments))


def test_the_batch_and_the_threads_change_no_bit():
    net = network(shaped(dim=8, hidden=20))
    counts = [130, 0, 1, 64, 31, 17]
    arguments = call(net, counts)
    whole = mixture_of_experts(net.model, **arguments, threads=1)
    for threads in (2, 3):
        assert torch.equal(mixture_of_experts(net.model, **arguments, threads=threads), whole)
    offsets = arguments["offsets"].tolist()
    for b, (first, last) in enumerate(pairwise(offsets)):
        per_request = {n: arguments[n][b : b + 1] for n in ("request", "taste", "behaviours", "counts")}
        # Backwards, so that every candidate has other neighbours.
        own = {n: arguments[n][first:last].flip(0) for n in ("item", "codes", "dynamic")}
        alone = mixture_of_experts(net.model, **per_request, **own, offsets=torch.tensor([0, last - first]))
        assert torch.equal(alone.flip(1), whole[:, first:last])


def test_large_logits_of_gates_and_attention_do_not_overflow():
    net = network()
    arguments = call(net, [20, 20, 20])
    arguments["behaviours"] *= 1000
    arguments["request"] *= 1000
    for backend in ("reference", "native"):
        logits = mixture_of_experts(net.model, **arguments, backend=backend)
        assert close(logits.numpy(), brute(net, arguments))


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize(
    ("name", "place", "value", "words"),
    [
        ("request", (1, 0), torch.nan, "finite"),
        ("taste", (0, 1), torch.inf, "finite"),
        ("behaviours", (1, 0, 0), -torch.inf, "finite"),
        ("dynamic", (3, 1), torch.nan, "finite"),
        ("item", 4, 50, "item: expected 0 to 49"),
        ("item", 4, -1, "item: expected 0 to 49"),
        ("codes", (2, 0), 7, "codes: expected 0 to 6"),
        ("codes", (2, 0), -1, "codes: expected 0 to 6"),
        ("counts", 0, 6, "counts: expected 0 to 5"),
        ("counts", 0, -1, "counts: expected 0 to 5"),
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
        mixture_of_experts(net.model, **arguments, backend=backend)


def test_bad_types_and_shapes_are_refused():
    net = network()
    arguments = call(net, [4, 3])
    for name, tensor in arguments.items():
        with pytest.raises(TypeError, match=f"{name}: expected"):
            mixture_of_experts(net.model, **{**arguments, name: tensor.double()})
        with pytest.raises(ValueError, match=f"{name}: expected"):
            mixture_of_experts(net.model, **{**arguments, name: tensor[..., None]})
        if name not in ("request", "item"):
            with pytest.raises(ValueError, match=f"{name}: expected shape"):
                mixture_of_experts(net.model, **{**arguments, name: tensor[:-1]})
    with pytest.raises(ValueError, match="codes: expected at most 8"):
        mixture_of_experts(net.model, **{**arguments, "codes": arguments["codes"].repeat(1, 9)})
    with pytest.raises(TypeError, match="model: expected a MixtureModel"):
        mixture_of_experts(None, **arguments)
    with pytest.raises(ValueError, match="threads"):
        mixture_of_experts(net.model, **arguments, threads=-1)


def test_bad_weights_are_refused():
    model = network().model
    fields = [field.name for field in dataclasses.fields(MixtureModel) if field.name != "sizes"]
    for name in fields:
        tensor = getattr(model, name)
        with pytest.raises(TypeError, match=f"{name}: expected float32"):
            dataclasses.replace(model, **{name: tensor.double()})
        with pytest.raises(ValueError, match=f"{name}: expected finite"):
            dataclasses.replace(model, **{name: tensor * torch.nan})
        with pytest.raises(ValueError, match=f"{name}: expected shape"):
            dataclasses.replace(model, **{name: tensor[..., :-1].contiguous()})
    with pytest.raises(ValueError, match="candidate_weight: expected at least 6 rows"):
        dataclasses.replace(model, candidate_weight=model.candidate_weight[:5])
    with pytest.raises(ValueError, match="experts: expected at least 1"):
        shaped(experts=0)


def test_strided_inputs_are_served():
    net = network()
    arguments = call(net, [9, 8])
    strided = {name: torch.stack([t, t], -1)[..., 0] for name, t in arguments.items()}
    assert torch.equal(mixture_of_experts(net.model, **strided), mixture_of_experts(net.model, **arguments))


def test_opcheck():
    net = network()
    arguments = call(net, [4, 3])
    torch.library.opcheck(
        torch.ops.headrace.mixture_of_experts.default,
        (net.model.weights, net.model.sizes.numbers(), *arguments.values(), "auto", 0),
    )


def test_many_threads_share_one_model():
    net = network()
    batches = [call(net, [seed, 40, 7], seed=seed) for seed in range(6)]
    expected = [mixture_of_experts(net.model, **arguments) for arguments in batches]
    wrong = []

    def hammer(i):
        for _ in range(30):
            if not torch.equal(mixture_of_experts(net.model, **batches[i], threads=2), expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=hammer, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_rankers_own_sizes():
    net = network(shaped(targets=9, experts=3, hidden=64, units=32, head_units=16, dim=8), request=84, dynamic=10)
    arguments = call(net, [150, 150], longest=20)
    assert close(mixture_of_experts(net.model, **arguments).numpy(), brute(net, arguments))
