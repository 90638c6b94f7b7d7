"""Programs whose layers multiply in bfloat16: every backend against brute force, each value with its bound."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import torch
from network_oracle import close
from program_draw import call, draw
from program_oracle import brute

from headrace.kernels import Program, Stage, network, settings
from headrace.kernels.network import instructions as ins
from headrace.kernels.network import native

#: Functions that an error of a hundredth does not make a bound of nothing.
KINDS = [kind for kind in ins.INSTRUCTIONS if kind is not ins.Normalise]


def in_bfloat16(program):
    return dataclasses.replace(program, precision="bfloat16")


def layers(*widths, seed=0, parts=1):
    """Layers with ReLU and biases over the item's row, each from `parts` runs of its inputs, one after another."""
    rng = np.random.default_rng(seed)
    weights, code, x, columns, place = [], [ins.Rows(0, widths[0], item=0)], 0, widths[0], 0
    for number, (inputs, width) in enumerate(pairwise(widths)):
        weights.append(rng.standard_normal(width + inputs * width).astype(np.float32) * np.float32(inputs**-0.5))
        cuts = [inputs * part // parts for part in range(parts + 1)]
        for part, (first, last) in enumerate(pairwise(cuts)):
            start, relu = (ins.HELD if part else place), int(part == parts - 1 and number < len(widths) - 2)
            weight = place + width + first * width
            code.append(ins.Affine(columns, width, x + first, last - first, weight, width, start, relu))
        x, columns, place = columns, columns + width, place + width + inputs * width
    return Program(
        request=Stage((), 0, 0, 0),
        pair=Stage(tuple(code), columns, x, widths[-1]),
        weights=torch.from_numpy(np.concatenate(weights)),
        item_rows=torch.from_numpy(rng.standard_normal((60, widths[0])).astype(np.float32)),
        code_rows=torch.zeros(1, 0),
        request_inputs=0,
        pair_inputs=0,
        fields=0,
        precision="bfloat16",
    )


def check(program, arguments):
    """Both backends within the bound, the native one on every instruction set."""
    exact = brute(program, arguments)
    assert np.isfinite(exact.error).all()
    reference = network(program, **arguments, backend="reference")
    assert close(reference.numpy(), exact)
    for isa in settings.usable_isas():
        with settings.isa(isa):
            assert close(network(program, **arguments).numpy(), exact), isa


@pytest.mark.parametrize("inputs", [1, 15, 16, 17, 31, 32, 33, 64, 65, 100, 257])
def test_a_layer_of_any_size(inputs):
    """Its inputs are exact, so its bound is that of one sum."""
    for width in (1, 7, 8, 15, 16, 17, 31, 32, 33, 47, 70):
        program = layers(inputs, width, seed=width)
        check(program, call(program, [3, 0, 34]))


@pytest.mark.parametrize("parts", [2, 3, 9])
def test_layers_in_parts(parts):
    for widths in ((144, 33), (150, 8), (37, 41)):
        program = layers(*widths, parts=parts)
        check(program, call(program, [33, 1]))


@pytest.mark.parametrize("widths", [(64, 64, 32, 16, 1), (40, 70, 50, 9), (100, 17, 33, 3)])
def test_layers_upon_layers(widths):
    """An input that is off by its last bit may round the other way."""
    program = layers(*widths)
    check(program, call(program, [5, 28]))


@pytest.mark.parametrize("seed", range(12))
def test_random_programs(seed):
    program = in_bfloat16(draw(400 + seed, KINDS, steps=5))
    check(program, call(program, [4, 0, 19], seed=seed))


def test_ties_go_to_the_even_number():
    """Halfway between two neighbours, just beside it, and far out."""
    one = 1 + 2.0**-8
    x = torch.tensor([one, one + 2.0**-23, one - 2.0**-23, 1 + 3 * 2.0**-8, -one, 2.0**-120 * one, 3e38, 0.0])
    expected = torch.tensor([1, 1 + 2.0**-7, 1, 1 + 2.0**-6, -1, 2.0**-120, 3e38, 0.0])
    stage = Stage((ins.Rows(0, 1, item=0), ins.Affine(1, 1, 0, 1, 0, 1)), 2, 1, 1)
    nothing = torch.zeros(1, 0)
    program = Program(Stage((), 0, 0, 0), stage, torch.ones(1), x[:, None], nothing, 0, 0, 0, precision="bfloat16")
    arguments = {**call(program, [8]), "item": torch.arange(8)}
    for isa in settings.usable_isas():
        with settings.isa(isa):
            got = network(program, **arguments)
            assert torch.equal(got, network(program, **arguments, backend="reference"))
    assert torch.equal(got[:6, 0], expected[:6])
    assert abs(float(got[6, 0]) / 3e38 - 1) < 2.0**-8


def test_weights_of_a_request_and_the_request_itself_stay_in_float32():
    """A program without other layers in its pair stage gives the bits of float32."""
    plain = draw(3, [ins.Affine])
    pair = Stage(
        (ins.Rows(0, 3, pair=0), ins.Affine(3, 5, 0, 3, 0, 5, own=1), ins.Rows(8, plain.request.width, request=0)),
        8 + plain.request.width,
        3,
        5 + plain.request.width,
    )
    plain = dataclasses.replace(plain, pair=pair)
    arguments = call(plain, [3, 40])
    assert torch.equal(network(in_bfloat16(plain), **arguments), network(plain, **arguments))


@pytest.mark.parametrize("isa", settings.usable_isas())
def test_the_batch_and_the_threads_change_no_bit(isa):
    with settings.isa(isa):
        for program in (in_bfloat16(draw(200, steps=10)), layers(70, 64, 33, 5)):
            arguments = call(program, [130, 0, 1, 64, 31, 17])
            whole = network(program, **arguments, threads=1)
            for threads in (2, 3):
                assert torch.equal(network(program, **arguments, threads=threads), whole)
            for b, (first, last) in enumerate(pairwise(arguments["offsets"].tolist())):
                alone = {
                    "request": arguments["request"][b : b + 1],
                    "sequences": [(entries[b : b + 1], n[b : b + 1]) for entries, n in arguments["sequences"]],
                    **{name: arguments[name][first:last].flip(0) for name in ("item", "codes", "pair")},
                    "offsets": torch.tensor([0, last - first]),
                }
                assert torch.equal(network(program, **alone).flip(0), whole[first:last])


def test_opcheck():
    program = layers(20, 30, 2)
    a = call(program, [4, 3])
    inputs = [a[name] for name in ("offsets", "item", "codes", "pair")]
    torch.library.opcheck(
        torch.ops.headrace.network.default,
        (program.tensors, program.numbers, a["request"], [], [], *inputs, "auto", 0),
    )


def test_what_does_not_fit_is_refused():
    program = layers(20, 30, 2)
    with pytest.raises(ValueError, match="precision: expected one of float32, bfloat16, got 'float16'"):
        dataclasses.replace(program, precision="float16")
    a = call(program, [3])
    *tensors, packed = program.tensors
    inputs = [a[name] for name in ("offsets", "item", "codes", "pair")]
    for wrong in (packed[:-1], packed[:0], torch.cat([packed, packed])):
        with pytest.raises(ValueError, match="packed: expected"):
            native.network([*tensors, wrong], program.numbers, a["request"], [], [], *inputs, 1)
    for field, value in ((5, -1), (5, 2**29), (2, 2**20), (6, 2**40)):
        code = program.pair.encoded.clone()
        code[1, field] = value
        with pytest.raises(ValueError, match="affine"):
            native.pack(program.weights, code)
