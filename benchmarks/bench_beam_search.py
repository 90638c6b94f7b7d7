"""Beam search: native and reference beside the float32 torch that a user would write. Answers first, then times."""

import time

import pytest
import torch
from torch.nn.functional import linear

from headrace.kernels import settings
from headrace.kernels.beam_search import PathModel, PathNetwork, beam_search

USER_DIM, EMBED_DIM, HIDDEN, BEAM = 64, 32, 128, 50
CASES = [(1, 3, 100), (64, 3, 100), (16, 2, 1000)]


def plain_torch(user, network, beam):
    """Concatenate, score and keep the best of each layer, batched, in float32."""
    batch = len(user)
    paths = torch.zeros(batch, 1, 0, dtype=torch.int64)
    total = torch.zeros(batch, 1)
    for d, (hidden, output) in enumerate(zip(network.hidden, network.output, strict=True)):
        n = paths.shape[1]
        known = [network.embeddings[layer][paths[:, :, layer]] for layer in range(d)]
        x = torch.cat([user[:, None].expand(-1, n, -1), *known], dim=-1)
        logits = linear(linear(x, hidden.weight, hidden.bias).relu(), output.weight, output.bias)
        scores = (total[:, :, None] + logits.log_softmax(-1)).flatten(1)
        total, best = scores.topk(min(beam, scores.shape[1]), dim=1)
        parent = (best // network.nodes)[:, :, None].expand(-1, -1, d)
        paths = torch.cat([paths.gather(1, parent), (best % network.nodes)[:, :, None]], dim=-1)
    return paths, total


@pytest.fixture(params=CASES, ids=lambda case: "B{}-D{}-K{}".format(*case))
def case(request):
    batch, depth, nodes = request.param
    torch.manual_seed(0)
    network = PathNetwork(USER_DIM, nodes, depth, EMBED_DIM, HIDDEN).requires_grad_(False)
    # A trained model tells nodes apart; a fresh one hardly does.
    for layer in network.output:
        layer.weight *= 4
    return torch.randn(batch, USER_DIM), network, PathModel.from_module(network)


@pytest.mark.parametrize("provider", ["native", "plain torch", "reference"])
def test_beam_search(benchmark, case, provider):
    user, network, model = case
    expected, logp = beam_search(user, model, BEAM, backend="reference")
    torch.set_num_threads(settings.get_threads())
    if provider == "plain torch":
        found = plain_torch(user, network, BEAM)
        torch.testing.assert_close(found[1], logp, rtol=1e-4, atol=1e-4)
        call = lambda: plain_torch(user, network, BEAM)  # noqa: E731
    else:
        assert torch.equal(beam_search(user, model, BEAM, backend=provider)[0], expected)
        call = lambda: beam_search(user, model, BEAM, backend=provider)  # noqa: E731
    batch, depth, nodes = len(user), model.depth, model.nodes
    rows = sum(min(BEAM, nodes**d) for d in range(depth))
    benchmark.group = f"beam_search B={batch} D={depth} K={nodes} beam={BEAM}"
    benchmark.pedantic(call, rounds=30 if batch > 1 else 200, warmup_rounds=3)
    stats = benchmark.stats.stats
    # Output layers only: what every provider must do.
    gflop = 2e-9 * batch * rows * HIDDEN * nodes
    benchmark.extra_info |= {
        "provider": provider,
        "isa": settings.get_isa(),
        "threads": settings.get_threads(),
        "gflops": gflop / stats.median,
    }


def test_ratio_of_one_run(case, capsys):
    """Native beside plain torch, call by call in turn, so that both meet the same machine."""
    user, network, model = case
    torch.set_num_threads(settings.get_threads())
    calls = {"native": lambda: beam_search(user, model, BEAM), "torch": lambda: plain_torch(user, network, BEAM)}
    seconds = {name: [] for name in calls}
    for _ in range(40):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    low = {name: min(times) for name, times in seconds.items()}
    middle = {name: sorted(times)[len(times) // 2] for name, times in seconds.items()}
    with capsys.disabled():
        print(
            f"\nB={len(user)} D={model.depth} K={model.nodes}: native {middle['native'] * 1e3:.3f} ms, torch "
            f"{middle['torch'] * 1e3:.3f} ms, ratio {middle['torch'] / middle['native']:.2f} (best: "
            f"{low['torch'] / low['native']:.2f})"
        )
