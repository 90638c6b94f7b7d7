import copy
import threading

import numpy as np
import pytest
import torch
from beam_oracle import all_paths, brute_beam, random_model, table_model
from bounds import sum_error, within

from headrace.kernels import settings
from headrace.kernels.beam_search import PathModel, beam_search
from headrace.kernels.beam_search import native as native_backend
from headrace.models.blocks.path_network import PathNetwork

BACKENDS = ["reference", "native"]
NEVER = -1e4  # a logit whose probability is exactly 0


def users(batch, dim, seed=1):
    return torch.randn(batch, dim, generator=torch.Generator().manual_seed(seed))


def check(model, user, beam, backend="native", threads=0):
    paths, logp = beam_search(user, model, beam, backend=backend, threads=threads)
    assert paths.dtype == torch.int32
    assert logp.dtype == torch.float32
    assert paths.shape == (len(user), beam, model.depth)
    count = min(beam, model.nodes**model.depth)
    for b in range(len(user)):
        expected, expected_logp = brute_beam(model, user[b], beam)
        assert [tuple(path) for path in paths[b, :count].tolist()] == expected
        np.testing.assert_allclose(logp[b, :count].numpy(), expected_logp, rtol=2**-23, atol=1e-12)
    assert (paths[:, count:] == -1).all()
    assert torch.isneginf(logp[:, count:]).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_greedy_misses_what_a_beam_of_two_finds(backend):
    log = np.log
    model = table_model(
        [log(0.6), log(0.4), NEVER],
        [[log(0.4), log(0.35), log(0.25)], [log(0.9), log(0.1), NEVER], [0, 0, 0]],
    )
    user = torch.zeros(1, 1)
    paths, logp = beam_search(user, model, 1, backend=backend)
    assert paths.tolist() == [[[0, 0]]]
    assert logp.exp().item() == pytest.approx(0.24, rel=1e-6)
    paths, logp = beam_search(user, model, 2, backend=backend)
    assert paths.tolist() == [[[1, 0], [0, 0]]]
    assert logp.exp()[0].tolist() == pytest.approx([0.36, 0.24], rel=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("depth", "nodes"), [(1, 1), (1, 33), (2, 7), (3, 5), (4, 3), (5, 1)])
def test_a_wide_beam_ranks_all_paths(backend, depth, nodes):
    model = random_model(depth, nodes, user_dim=6, embed_dim=3, hidden=10, scale=2.0)
    user = users(3, 6)
    beam = nodes ** (depth - 1) + 2
    paths, _ = beam_search(user, model, beam, backend=backend)
    best = beam_search(user, model, nodes**depth, backend=backend)
    for b in range(3):
        everything = all_paths(model, user[b])
        assert tuple(paths[b, 0].tolist()) == everything[0][0]
        assert [tuple(path) for path in best[0][b].tolist()] == [path for path, _ in everything]


@pytest.mark.parametrize("isa", settings.usable_isas())
@pytest.mark.parametrize("nodes", [1, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 97])
def test_node_counts(isa, nodes):
    with settings.isa(isa):
        check(random_model(2, nodes, user_dim=5, embed_dim=4, hidden=7), users(2, 5), beam=6)


@pytest.mark.parametrize("isa", settings.usable_isas())
@pytest.mark.parametrize(("user_dim", "hidden"), [(1, 1), (7, 8), (15, 9), (33, 31), (64, 65), (97, 17)])
def test_widths(isa, user_dim, hidden):
    with settings.isa(isa):
        check(random_model(3, 9, user_dim, embed_dim=1, hidden=hidden), users(2, user_dim), beam=5)


@pytest.mark.parametrize("beam", [1, 2, 15, 16, 17, 31, 33, 64, 65, 97])
def test_beam_widths(beam):
    check(random_model(3, 11, user_dim=8, embed_dim=5, hidden=16, scale=3.0), users(2, 8), beam)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_peaked_model_that_ends_layers_early(backend):
    check(random_model(3, 20, user_dim=8, embed_dim=8, hidden=16, scale=30.0), users(5, 8), 40, backend)


def test_same_bits_on_every_instruction_set_batch_and_thread_count():
    model = random_model(3, 37, user_dim=19, embed_dim=7, hidden=29)
    user = users(33, 19)
    expected = beam_search(user, model, 23, backend="native", threads=1)
    for isa in settings.usable_isas():
        with settings.isa(isa):
            for threads in (1, 2, 3):
                paths, logp = beam_search(user, model, 23, threads=threads)
                assert torch.equal(paths, expected[0])
                assert torch.equal(logp, expected[1])
            paths, logp = beam_search(user[7:8], model, 23)
            assert torch.equal(paths[0], expected[0][7])
            assert torch.equal(logp[0], expected[1][7])
    reference = beam_search(user, model, 23, backend="reference")
    assert torch.equal(reference[0], expected[0])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("beam", [1, 5, 7, 16, 40])
def test_equal_paths_come_in_order(backend, beam):
    flat = table_model([0.0] * 7, [[0.0] * 7] * 7)
    paths, logp = beam_search(torch.zeros(2, 1), flat, beam, backend=backend)
    # Every layer keeps the lowest `beam` paths of those it has.
    expected = [divmod(code, 7) for code in range(beam)]
    assert [tuple(path) for path in paths[1].tolist()] == expected
    np.testing.assert_allclose(logp, -2 * np.log(7), rtol=1e-6)


def test_nodes_of_equal_weights_tie_exactly():
    model = random_model(2, 12, user_dim=6, embed_dim=4, hidden=13)
    embeddings, hidden_bias, output_weight, output_bias, *hidden_weight = model.weights
    # Nodes c and c + 6 are twins.
    for tensor, dim in ((embeddings, 1), (output_weight, 1), (output_bias, 1)):
        tensor.narrow(dim, 6, 6).copy_(tensor.narrow(dim, 0, 6))
    twins = PathModel(embeddings, hidden_weight, list(hidden_bias), list(output_weight), list(output_bias))
    paths, logp = beam_search(users(4, 6), twins, 144, backend="native")
    groups = paths.reshape(4, 36, 4, 2)
    assert (logp.reshape(4, 36, 4) == logp.reshape(4, 36, 4)[..., :1]).all()
    first = groups[:, :, 0]
    assert (first < 6).all()
    steps = torch.tensor([[0, 0], [0, 6], [6, 0], [6, 6]], dtype=torch.int32)
    assert torch.equal(groups, first[:, :, None] + steps)


@pytest.mark.parametrize("backend", BACKENDS)
def test_huge_weights_stay_finite(backend):
    model = random_model(2, 6, user_dim=3, embed_dim=2, hidden=4, scale=1e30)
    check(model, users(2, 3), 4, backend)


def test_empty_batch():
    model = random_model(2, 6, user_dim=3, embed_dim=2, hidden=4)
    for backend in BACKENDS:
        paths, logp = beam_search(torch.zeros(0, 3), model, 4, backend=backend)
        assert paths.shape == (0, 4, 2)
        assert logp.shape == (0, 4)


def test_outputs_are_written_in_full(monkeypatch):
    def poisoned(user, weights, packed, beam):
        shape = (user.shape[0], beam)
        return torch.full((*shape, 2), 77, dtype=torch.int32), torch.full(shape, torch.nan)

    model = random_model(2, 3, user_dim=3, embed_dim=2, hidden=4)
    expected = beam_search(users(5, 3), model, 11)
    monkeypatch.setattr(native_backend, "empty_result", poisoned)
    paths, logp = beam_search(users(5, 3), model, 11, backend="native")
    assert torch.equal(paths, expected[0])
    assert torch.equal(logp, expected[1])


def test_strided_users():
    model = random_model(2, 6, user_dim=3, embed_dim=2, hidden=4)
    wide = users(5, 6)
    strided = beam_search(wide[:, ::2], model, 4)
    assert torch.equal(strided[0], beam_search(wide[:, ::2].contiguous(), model, 4)[0])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_users_must_be_finite(backend, value):
    model = random_model(2, 6, user_dim=3, embed_dim=2, hidden=4)
    user = users(5, 3)
    user[2, 1] = value
    with pytest.raises(ValueError, match="user: expected finite numbers, got NaN or infinity in request 2"):
        beam_search(user, model, 4, backend=backend)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"user": torch.zeros(2, 4)}, ValueError, "user: expected 3 columns"),
        ({"user": torch.zeros(3)}, ValueError, "user: expected 2 dimensions"),
        ({"user": torch.zeros(2, 3, dtype=torch.int64)}, TypeError, "user: expected float32"),
        ({"user": "1.0"}, TypeError, "user: expected a tensor"),
        ({"beam": 0}, ValueError, "beam: expected at least 1, got 0"),
        ({"model": None}, TypeError, "model: expected a PathModel, got NoneType"),
        ({"beam": 2**31}, ValueError, "beam: expected at most 65536, got 2147483648"),
    ],
)
def test_bad_calls(change, error, message):
    call = {"user": torch.zeros(2, 3), "model": random_model(2, 6, 3, 2, 4), "beam": 4, "backend": "native"}
    with pytest.raises(error, match=message):
        beam_search(**{**call, **change})


def parts(depth=2, nodes=4, user_dim=3, embed_dim=2, hidden=5):
    return {
        "embeddings": torch.zeros(depth - 1, nodes, embed_dim),
        "hidden_weight": [torch.zeros(hidden, user_dim + d * embed_dim) for d in range(depth)],
        "hidden_bias": [torch.zeros(hidden)] * depth,
        "output_weight": [torch.zeros(nodes, hidden)] * depth,
        "output_bias": [torch.zeros(nodes)] * depth,
    }


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"embeddings": torch.zeros(1, 5, 2)}, ValueError, r"output_weight\[0\]: expected shape \(5, 5\)"),
        ({"embeddings": torch.zeros(2, 4, 2)}, ValueError, r"embeddings: expected shape \(1, 4, 2\)"),
        ({"embeddings": torch.zeros(1, 4, 2).long()}, TypeError, "embeddings: expected float32"),
        ({"embeddings": torch.full((1, 4, 2), torch.nan)}, ValueError, "embeddings: expected finite"),
        ({"hidden_weight": []}, ValueError, "hidden_weight: expected at least 1 layer"),
        ({"hidden_weight": [torch.zeros(5, 3)] * 2}, ValueError, r"hidden_weight\[1\]: expected shape \(5, 5\)"),
        ({"hidden_bias": [torch.zeros(5)]}, ValueError, "hidden_bias: expected 2 layers"),
        ({"output_bias": [torch.zeros(4), torch.zeros(3)]}, ValueError, r"output_bias\[1\]: expected shape \(4,\)"),
        ({"output_bias": [torch.full((4,), torch.inf)] * 2}, ValueError, r"output_bias\[0\]: expected finite"),
        (parts(nodes=0), ValueError, "expected sizes of at least 1"),
        (parts(depth=63), ValueError, r"nodes\^depth of at most 2\^62"),
    ],
)
def test_bad_models(change, error, message):
    with pytest.raises(error, match=message):
        PathModel(**{**parts(), **change})


def log_prob_error(network, user, paths):
    """Of the network's float32 log-probabilities: in each layer two sums, and a log-softmax of what they reach."""
    sizes = copy.deepcopy(network).double()
    for weight in sizes.parameters():
        weight.abs_()
    known, error = user.double().abs()[:, None].expand(-1, paths.shape[1], -1), 0.0
    for d, (hidden, output) in enumerate(zip(sizes.hidden, sizes.output, strict=True)):
        reach = 2 * output(hidden(known)).amax(-1) + np.log(network.nodes)
        error = error + sum_error(known.shape[-1] + hidden.out_features + network.nodes + 4, reach)
        if d + 1 < network.depth:
            known = torch.cat([known, sizes.embeddings[d][paths[..., d]]], -1)
    return error


def test_a_trained_network_finds_the_paths_it_learned():
    torch.manual_seed(0)
    network = PathNetwork(user_dim=8, nodes=6, depth=3, embed_dim=4, hidden=32)
    user, paths = torch.randn(10, 8), torch.randint(0, 6, (10, 3), dtype=torch.int32)
    parameters = list(network.parameters())
    for _ in range(100):
        gradients = torch.autograd.grad(network.log_prob(user, paths).mean(), parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter += gradient
    found, logp = beam_search(user, PathModel.from_module(network), 4)
    assert torch.equal(found[:, 0], paths)
    with torch.no_grad():
        assert within(network.log_prob(user, found), logp, log_prob_error(network, user, found.long()))


def test_a_model_keeps_its_weights_when_the_network_changes():
    network = PathNetwork(3, 4, 2, 2, 5)
    model = PathModel.from_module(network)
    before = beam_search(users(3, 3), model, 16, backend="reference")[1]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    for backend in BACKENDS:
        after = beam_search(users(3, 3), model, 16, backend=backend)[1]
        torch.testing.assert_close(after, before, rtol=2**-23, atol=1e-12)


def test_a_module_of_other_parts_is_refused():
    network = PathNetwork(3, 4, 2, 2, 5)
    with pytest.raises(TypeError, match=r"module: expected an nn\.Module, got str"):
        PathModel.from_module("network")
    with pytest.raises(ValueError, match="module: expected a parameter named embeddings, got weight, bias"):
        PathModel.from_module(torch.nn.Linear(2, 2))
    del network.output[1]
    with pytest.raises(ValueError, match=r"module: expected a parameter named output\.1\.weight"):
        PathModel.from_module(network)


def test_opcheck():
    model = random_model(2, 6, user_dim=3, embed_dim=2, hidden=4)
    arguments = (users(2, 3), model.weights, model.packed, 4, "auto", 0)
    torch.library.opcheck(torch.ops.headrace.beam_search.default, arguments)


def test_many_threads_share_one_model():
    model = random_model(3, 10, user_dim=6, embed_dim=4, hidden=16)
    batches = [users(5, 6, seed) for seed in range(8)]
    expected = [beam_search(user, model, 9) for user in batches]
    wrong = []

    def hammer(i):
        for _ in range(30):
            paths, logp = beam_search(batches[i], model, 9, threads=2)
            if not (torch.equal(paths, expected[i][0]) and torch.equal(logp, expected[i][1])):
                wrong.append(i)

    threads = [threading.Thread(target=hammer, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
