"""The mixture of experts and the three towers as programs: the same bits as their own kernels."""

import mixture_oracle
import pytest
import torch
import towers_oracle

from headrace.benchmarks.network_programs import mixture_call, mixture_program, towers_call, towers_program
from headrace.kernels import MixtureSizes, TowersSizes, mixture_of_experts, network, settings, three_towers

COUNTS = [[], [0], [1], [7, 0, 16], [15, 17], [31, 33, 0, 1], [63, 65], [97, 2], [1000]]


def bits(tensor):
    return tensor.contiguous().view(torch.int32)


def check_mixture(net, arguments):
    program = mixture_program(net.model, arguments["codes"].shape[1])
    for isa in settings.usable_isas():
        with settings.isa(isa):
            old = mixture_of_experts(net.model, **arguments)
            new = network(program, **mixture_call(arguments))
            assert torch.equal(bits(new.T), bits(old)), isa


def check_towers(net, arguments):
    program = towers_program(net.model, arguments["codes"].shape[1])
    for isa in settings.usable_isas():
        with settings.isa(isa):
            old = three_towers(net.model, **arguments)
            new = network(program, **towers_call(arguments))
            assert torch.equal(bits(new.T), bits(old)), isa


@pytest.mark.parametrize("counts", COUNTS)
def test_counts(counts):
    net = mixture_oracle.network()
    check_mixture(net, mixture_oracle.call(net, counts))
    net = towers_oracle.network()
    check_towers(net, towers_oracle.call(net, counts))


@pytest.mark.parametrize(
    "sizes",
    [
        MixtureSizes(targets=1, experts=1, hidden=1, units=1, head_units=1, dim=1, attention=False),
        MixtureSizes(targets=9, experts=3, hidden=64, units=32, head_units=16, dim=8, attention=True),
        MixtureSizes(targets=3, experts=2, hidden=17, units=33, head_units=7, dim=16, attention=True),
        MixtureSizes(targets=5, experts=4, hidden=15, units=16, head_units=31, dim=5, attention=False),
    ],
)
def test_sizes_of_a_mixture(sizes):
    net = mixture_oracle.network(sizes, request=17, dynamic=10)
    check_mixture(net, mixture_oracle.call(net, [20, 1, 5, 3, 0, 2, 9], longest=20))


@pytest.mark.parametrize(
    "sizes",
    [
        TowersSizes(targets=1, dim=1, tower_units=1, upper_units=1),
        TowersSizes(targets=8, dim=16, tower_units=64, upper_units=32),
        TowersSizes(targets=9, dim=15, tower_units=17, upper_units=33),
        TowersSizes(targets=17, dim=31, tower_units=65, upper_units=15),
    ],
)
def test_sizes_of_towers(sizes):
    net = towers_oracle.network(sizes, request=17, dynamic=10)
    check_towers(net, towers_oracle.call(net, [20, 1, 5, 33]))


def test_parts_may_be_missing():
    net = mixture_oracle.network(request=0, dynamic=0, codes=1)
    check_mixture(net, mixture_oracle.call(net, [5, 40], longest=0, fields=0))
    net = towers_oracle.network(request=0, dynamic=0, codes=1)
    check_towers(net, towers_oracle.call(net, [5, 40], fields=0))


def test_several_codes():
    net = mixture_oracle.network()
    check_mixture(net, mixture_oracle.call(net, [33, 4], fields=8))
    net = towers_oracle.network()
    check_towers(net, towers_oracle.call(net, [33, 4], fields=8))


def test_large_logits():
    net = mixture_oracle.network()
    arguments = mixture_oracle.call(net, [20, 20, 20])
    arguments["behaviours"] *= 1000
    arguments["request"] *= 1000
    check_mixture(net, arguments)
