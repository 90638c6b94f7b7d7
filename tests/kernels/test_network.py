import dataclasses
import threading
from itertools import pairwise

import numpy as np
import pytest
import torch
from network_oracle import close
from program_draw import SEQUENCES, call, draw
from program_oracle import brute

from headrace.kernels import Program, Stage, network, settings
from headrace.kernels.network import instructions as ins
from headrace.kernels.network import native

COUNTS = [[], [0], [1], [7, 0, 16], [15, 17], [31, 33, 0, 1], [63, 65], [97, 2]]


def check(program, arguments):
    """Both backends against brute force, and the native one's bits on every instruction set."""
    exact = brute(program, arguments)
    assert np.isfinite(exact.error).all()
    for backend in ("reference", "native"):
        logits = network(program, **arguments, backend=backend)
        assert logits.dtype == torch.float32
        assert close(logits.numpy(), exact), backend
    for isa in settings.usable_isas():
        with settings.isa(isa):
            assert torch.equal(network(program, **arguments), logits), isa


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ins.INSTRUCTIONS, ids=lambda kind: kind.__name__)
def test_every_instruction_equals_brute_force(kind, seed):
    program = draw(seed, (kind,), steps=3)
    check(program, call(program, [3, 0, 17, 34][seed:]))


@pytest.mark.parametrize("seed", range(30))
def test_random_programs_equal_brute_force(seed):
    program = draw(100 + seed, fields=seed % 4)
    check(program, call(program, [5, 0, 1, 18], seed=seed))


@pytest.mark.parametrize("counts", COUNTS)
def test_every_candidate_equals_brute_force(counts):
    program = draw(7, steps=4)
    check(program, call(program, counts))


def test_sequences_may_be_empty():
    program = draw(3, (ins.Attend, ins.Mean))
    check(program, call(program, [5, 3], longest=0))
    arguments = call(program, [5, 3])
    for _, counts in arguments["sequences"]:
        counts[:] = 0
    check(program, arguments)


def test_functions_hold_their_bounds_everywhere():
    """Sigmoid and tanh from far below zero to far above, at the seam of two series, and where they are tiny."""
    x = torch.cat([torch.linspace(-100, 100, 4001), torch.linspace(-0.3, 0.3, 4001), torch.logspace(-38, 2, 500)])
    x = torch.cat([x, -x]).reshape(-1, 1).float()
    exact = {"sigmoid": 1 / (1 + torch.exp(-x.double())), "tanh": x.double().tanh()}
    for name, roundings in (("sigmoid", 10), ("tanh", 12)):
        stage = Stage((ins.Rows(0, 1, pair=0), ins.Unary(1, 1, 0, ins.UNARY.index(name))), 2, 1, 1)
        program = dataclasses.replace(draw(0), pair=stage, pair_inputs=1, fields=0, request=Stage((), 0, 0, 0))
        arguments = call(program, [len(x)])
        got = network(program, **{**arguments, "pair": x}).double()
        assert ((got - exact[name]).abs() <= roundings * 2.0**-24 * exact[name].abs() + 1e-37).all()


@pytest.mark.parametrize("seed", range(6))
def test_the_batch_and_the_threads_change_no_bit(seed):
    program = draw(200 + seed, steps=10)
    arguments = call(program, [130, 0, 1, 64, 31, 17])
    whole = network(program, **arguments, threads=1)
    for threads in (2, 3):
        assert torch.equal(network(program, **arguments, threads=threads), whole)
    for b, (first, last) in enumerate(pairwise(arguments["offsets"].tolist())):
        alone = network(program, **alone_of(arguments, b, first, last))
        assert torch.equal(alone.flip(0), whole[first:last])


def alone_of(arguments, b, first, last):
    """Request b by itself, backwards, so that every candidate has other neighbours."""
    a = arguments
    return {
        "request": a["request"][b : b + 1],
        "sequences": [(entries[b : b + 1], counts[b : b + 1]) for entries, counts in a["sequences"]],
        **{name: a[name][first:last].flip(0) for name in ("item", "codes", "pair")},
        "offsets": torch.tensor([0, last - first]),
    }


def test_every_logit_is_written(monkeypatch):
    program = draw(7)
    arguments = call(program, [97, 0, 31])
    expected = network(program, **arguments)
    monkeypatch.setattr(torch, "empty", lambda *shape: torch.full(shape, torch.nan))
    assert torch.equal(network(program, **arguments), expected)


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize(
    ("name", "place", "value", "words"),
    [
        ("request", (1, 0), torch.nan, "request: expected finite"),
        ("pair", (3, 1), torch.inf, "pair: expected finite"),
        ("item", 4, 50, "item: expected 0 to 49"),
        ("item", 4, -1, "item: expected 0 to 49"),
        ("codes", (2, 0), 9, "codes: expected 0 to 8"),
        ("codes", (2, 0), -1, "codes: expected 0 to 8"),
        ("offsets", 0, 1, "offsets: expected"),
        ("offsets", 1, 99, "offsets: expected"),
        ("offsets", 2, 5, "offsets: expected"),
    ],
)
def test_bad_values_are_refused(backend, name, place, value, words):
    program = draw(0)
    arguments = call(program, [4, 3])
    arguments[name][place] = value
    with pytest.raises(ValueError, match=words):
        network(program, **arguments, backend=backend)


@pytest.mark.parametrize("backend", ["reference", "native"])
def test_bad_sequences_are_refused(backend):
    program = draw(0)
    for number, place, value, words in ((1, 0, 8, "counts"), (1, 0, -1, "counts"), (0, (1, 0, 0), torch.nan, "finite")):
        arguments = call(program, [4, 3])
        arguments["sequences"][1][number][place] = value
        with pytest.raises(ValueError, match=words):
            network(program, **arguments, backend=backend)


def test_bad_types_and_shapes_are_refused():
    program = draw(0)
    arguments = call(program, [4, 3])
    tensors = {name: tensor for name, tensor in arguments.items() if name != "sequences"}
    for name, tensor in tensors.items():
        with pytest.raises(TypeError, match=f"{name}: expected"):
            network(program, **{**arguments, name: tensor.bool()})
        with pytest.raises(ValueError, match=f"{name}: expected"):
            network(program, **{**arguments, name: tensor[..., None]})
    with pytest.raises(ValueError, match="sequences: expected 2, got 1"):
        network(program, **{**arguments, "sequences": arguments["sequences"][:1]})
    (entries, counts), other = arguments["sequences"]
    with pytest.raises(TypeError, match=r"sequences\[0\]\[0\]: expected"):
        network(program, **{**arguments, "sequences": [(entries.long(), counts), other]})
    with pytest.raises(TypeError, match="program: expected a Program"):
        network(None, **arguments)
    with pytest.raises(ValueError, match="threads"):
        network(program, **arguments, threads=-1)


def direct(program, arguments, pair_code=None, numbers=None):
    """The native backend without the checks of Program."""
    a, tensors = arguments, program.tensors
    if pair_code is not None:
        tensors = [*tensors[:4], pair_code]
    lists = [list(part) for part in zip(*a["sequences"], strict=True)]
    inputs = [a[name] for name in ("offsets", "item", "codes", "pair")]
    return native.network(tensors, numbers or program.numbers, a["request"], *lists, *inputs, 1)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (ins.Affine(0, 3, 1, 3, 0, 3), r"pair step 1 \(affine\): expected to write elsewhere"),
        (
            ins.Affine(8, 3, 0, 2, 0, 3, ins.HELD),
            r"pair step 1 \(affine\): expected columns that an earlier step wrote",
        ),
        (ins.Affine(8, 3, 0, 2, 0, 2**29), r"pair step 1 \(affine\): weights: expected"),
        (ins.Unary(1, 3, 0, 0), r"pair step 1 \(unary\): expected to write elsewhere"),
        (ins.Binary(0, 4, 4, 0, 0, 1, 2), r"pair step 1 \(binary\): expected to write elsewhere"),
        (ins.Rows(8, 3, pair=9), r"pair step 1 \(rows\): pair: expected 9 to 12 within 0 to 11"),
        (ins.Fold(8, 3, 0, 2, 0, 0, 3), r"pair step 1 \(fold\): expected in the request stage"),
        (ins.Mean(8, 5, 2), r"pair step 1 \(mean\): sequence: expected 0 to 1"),
        (ins.Mean(8, 4, 0), r"pair step 1 \(mean\): width: expected 5"),
        (ins.SelfAttend(8, 3, 0, 0, 0, 1, 2, 0), r"pair step 1 \(self attention\): heads"),
        (ins.Constant(39, 2, 0), r"pair step 1 \(constant\): columns: expected 39 to 41 within 0 to 40"),
    ],
)
def test_instructions_that_do_not_fit_are_refused(step, words):
    program = draw(0)
    code = torch.tensor([ins.Rows(0, 8, pair=0).encoded(), step.encoded()])
    numbers = [*program.numbers[:3], 40, 0, 1, *program.numbers[6:]]
    with pytest.raises(ValueError, match=words):
        direct(program, call(program, [4, 3]), code, numbers)


def test_hostile_programs_are_refused_or_served():
    rng = np.random.default_rng(0)
    strange = [-(2**62), -3, -2, -1, 0, 1, 2, 3, 7, 64, 65537, 2**29, 2**30, 2**31, 2**62]
    refused = 0
    for seed in range(10):
        program = draw(300 + seed)
        arguments = call(program, [3, 17])
        for _ in range(100):
            code = program.pair.encoded.clone()
            for _ in range(rng.integers(1, 3)):
                code[rng.integers(len(code)), rng.integers(code.shape[1])] = int(rng.choice(strange))
            try:
                direct(program, arguments, code)
            except ValueError:
                refused += 1
    assert refused > 200


def test_strided_inputs_are_served():
    program = draw(5)
    arguments = call(program, [9, 8])

    def strided(tensor):
        return torch.stack([tensor, tensor], -1)[..., 0]

    others = {name: strided(t) for name, t in arguments.items() if name != "sequences"}
    others["sequences"] = [tuple(map(strided, pair)) for pair in arguments["sequences"]]
    assert torch.equal(network(program, **others), network(program, **arguments))


def test_opcheck():
    program = draw(0)
    a = call(program, [4, 3])
    lists = [list(part) for part in zip(*a["sequences"], strict=True)]
    inputs = [a[name] for name in ("offsets", "item", "codes", "pair")]
    torch.library.opcheck(
        torch.ops.headrace.network.default,
        (program.tensors, program.numbers, a["request"], *lists, *inputs, "auto", 0),
    )


def test_many_threads_share_one_program():
    program = draw(9)
    batches = [call(program, [seed, 40, 7], seed=seed) for seed in range(6)]
    expected = [network(program, **arguments) for arguments in batches]
    wrong = []

    def hammer(i):
        for _ in range(30):
            if not torch.equal(network(program, **batches[i], threads=2), expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=hammer, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_program_names_what_does_not_fit():
    program = draw(0)
    with pytest.raises(ValueError, match="weights: expected finite"):
        dataclasses.replace(program, weights=program.weights * torch.nan)
    with pytest.raises(ValueError, match=r"pair.width: expected at least 1"):
        Program(program.request, Stage((), 0, 0, 0), program.weights, program.item_rows, program.code_rows, 19, 11, 2)
    for field, value, words in (
        ("fields", 65, "fields: expected 0 to 64, got 65"),
        ("request_inputs", -1, "request_inputs: expected 0 to 65536, got -1"),
        ("pair_inputs", 65537, "pair_inputs: expected 0 to 65536, got 65537"),
        ("sequences", (5, 65537), r"sequences\[1\]: expected 0 to 65536, got 65537"),
        ("code_rows", torch.zeros(1, 65537), "code_rows: columns: expected 0 to 65536, got 65537"),
    ):
        with pytest.raises(ValueError, match=words):
            dataclasses.replace(program, **{field: value})
    arguments = call(program, [1])
    entries, counts = torch.zeros(1, 65537, SEQUENCES[0]), torch.zeros(1, dtype=torch.int32)
    with pytest.raises(ValueError, match=r"sequences\[0\]: entries: expected 0 to 65536, got 65537"):
        network(program, **{**arguments, "sequences": [(entries, counts), arguments["sequences"][1]]})


def stage(*steps, columns=12, written=8):
    """A stage whose first `written` columns are there before the steps."""
    return Stage((ins.Rows(0, written, pair=0), *steps), columns, 0, 1)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (ins.Affine(8, 4, 10, 3, 0, 4), r"Affine.*: columns: expected 10 to 13 within 0 to 12"),
        (ins.Affine(8, 2, 2, 2, 0, 0), "stride: expected at least 1, got 0"),
        (ins.Affine(8, 2, 2, 2, 0, 2, -3), "start: expected -2 to 1073741824, got -3"),
        (ins.Affine(8, 2, 2, 2, 0, 2, own=2), "own: expected 0 to 1, got 2"),
        (ins.Unary(8, 2, 0, 6), "kind: expected 0 to 5, got 6"),
        (ins.Constant(2**31, 2, 0), "out: expected -2 to 1073741824"),
        (ins.Affine(8, 2, 7, 2, 0, 2), "expected columns that an earlier instruction wrote, got 8"),
        (ins.Affine(8, 2, 0, 2, 0, 2, ins.HELD), "expected columns that an earlier instruction wrote, got 8"),
        (ins.Softmax(6, 2, 2), "expected columns that an earlier instruction wrote, got 8"),
        (ins.Affine(6, 4, 4, 3, 0, 4), "Affine.*: expected to write elsewhere than it reads, got 6 to 10"),
        (ins.Affine(6, 2, 6, 2, 0, 2, ins.HELD), "expected to write elsewhere"),
        (ins.Fold(7, 2, 6, 2, 0, 0, 2), "expected to write elsewhere"),
        (ins.Unary(1, 3, 0, 0), "expected to write elsewhere"),
        (ins.Binary(0, 4, 4, 0, 0, 1, 2), "expected to write elsewhere"),
        (ins.Binary(0, 1, 4, 0, 0, 2, 1), "expected to write elsewhere"),
        (ins.Binary(0, 3, 0, 1, 0, 1, 3), "expected to write elsewhere"),
        (ins.Mix(2, 3, 0, 2, 1), "expected to write elsewhere"),
        (ins.Attend(4, 5, 0, 0, 0), "expected to write elsewhere"),
        (ins.FM(0, 4, 0, 1), "expected to write elsewhere"),
        (ins.Pairs(3, 2, 0, 2, 2, 0), "expected to write elsewhere"),
        (ins.SelfAttend(2, 2, 0, 0, 2, 1, 1, 0), "expected to write elsewhere"),
        (ins.Reduce(7, 2, 0, 4, 0), "expected to write elsewhere"),
        (ins.Normalise(1, 2, 0, 2, 0), "expected to write elsewhere"),
    ],
)
def test_a_stage_names_what_does_not_fit(step, words):
    with pytest.raises(ValueError, match=words):
        stage(step)


def test_a_stage_may_write_where_it_reads_element_by_element():
    stage(
        ins.Unary(0, 3, 0, 0),
        ins.Binary(0, 4, 0, 4, 0, 2, 2),
        ins.Binary(4, 4, 0, 4, 0, 1, 4),
        ins.Binary(0, 4, 0, 0, 2, 1, 9),
        ins.Softmax(0, 2, 2),
        ins.Normalise(0, 2, 0, 2, 0),
        ins.Affine(8, 4, 0, 8, 0, 4),
        ins.Affine(8, 4, 0, 8, 0, 4, ins.HELD),
        ins.Affine(8, 4, 9, 0, 0, 4),
    )


def test_the_result_of_a_stage_is_written():
    with pytest.raises(ValueError, match="result: expected columns that an earlier instruction wrote, got 2"):
        Stage((ins.Rows(0, 2, pair=0),), 4, 0, 3)
    with pytest.raises(ValueError, match="result: columns: expected 3 to 5 within 0 to 4"):
        Stage((ins.Rows(0, 4, pair=0),), 4, 3, 2)
    with pytest.raises(ValueError, match="columns: expected 0 to 65536, got 65537"):
        Stage((), 65537, 0, 0)


def refused(function, *arguments):
    try:
        function(*arguments)
    except ValueError:
        return True
    return False


def with_pair(program, code):
    stage = program.pair
    return dataclasses.replace(program, pair=Stage(code, stage.columns, stage.out, stage.width))


def test_programs_are_refused_as_the_native_backend_refuses_them():
    """Fields of good programs, changed at random: what Program and the checks in C++ make of them is the same."""
    rng, outcomes = np.random.default_rng(1), []
    strange = [-(2**62), -3, -2, -1, 2**29, 2**30, 2**31, *range(50)]
    for seed in range(40):
        program = draw(400 + seed, steps=3)
        arguments = call(program, [2])
        for _ in range(50):
            steps = list(program.pair.code)
            at = rng.integers(len(steps))
            name = rng.choice([field.name for field in dataclasses.fields(steps[at])])
            steps[at] = dataclasses.replace(steps[at], **{name: int(rng.choice(strange))})
            outcomes.append(refused(with_pair, program, tuple(steps)))
            code = torch.tensor([step.encoded() for step in steps])
            assert refused(direct, program, arguments, code) == outcomes[-1], steps[at]
    assert 0.2 < np.mean(outcomes) < 0.95
