import pytest
import torch
from model_worlds import CASES, DOUBLE, SETS, bounded, in_doubles, network_of, randomised, values_of, world
from torch import nn
from torch.nn import functional as F

from headrace.features.columns import Column, Columns
from headrace.models import MODELS, Model, WithPrior
from headrace.models.lower import CannotLower, Staged, lower, prepare
from headrace.section import Section

every_case = pytest.mark.parametrize(("name", "options"), CASES, ids=lambda value: str(value))


@every_case
@pytest.mark.parametrize("columns", SETS)
def test_every_weight_learns(name, options, columns):
    columns, targets = SETS[columns]
    network = network_of(name, columns, targets, options).train()
    rows = values_of(columns, 64, torch.Generator().manual_seed(1))
    F.softplus(network(rows)).mean().backward()
    for path, parameter in network.named_parameters():
        assert parameter.grad is not None, path
        gradient = parameter.grad.to_dense()
        assert bool(gradient.isfinite().all()), path
        assert bool(gradient.any()), path


@every_case
def test_a_state_makes_the_same_network(name, options):
    columns, targets = SETS["all"]
    first = network_of(name, columns, targets, options, seed=1)
    second = network_of(name, columns, targets, options, seed=2)
    rows = values_of(columns, 9, torch.Generator().manual_seed(1))
    assert not torch.equal(first(rows), second(rows))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(rows), second(rows))


@every_case
def test_a_candidate_has_logits_of_its_own(name, options):
    columns, targets = SETS["all"]
    network = network_of(name, columns, targets, options)
    rows = values_of(columns, 5, torch.Generator().manual_seed(1))
    together = in_doubles(network, rows)
    for i in range(5):
        alone = in_doubles(network, {key: value[i : i + 1] for key, value in rows.items()})
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_bad_columns_and_targets_are_refused(name):
    kind = MODELS[name]
    columns, _ = SETS["all"]
    with pytest.raises(ValueError, match="targets: expected at least 1, got 0"):
        kind(columns, 0, kind.Settings())
    with pytest.raises(ValueError, match="columns: expected at least 1, got none"):
        kind(Columns([]), 1, kind.Settings())
    with pytest.raises(ValueError, match="columns: expected a code column 'item', whose codes 'clicks' lists"):
        kind(Columns([Column("clicks", "request", "sequence", 3, "item")]), 1, kind.Settings())
    with pytest.raises(ValueError, match="columns: expected"):
        kind(Columns([Column("authors", "request", "sequence", 3, "author")]), 1, kind.Settings())


def test_what_a_model_cannot_do_without_is_named():
    user, item = Column("user", "request", "code", 3), Column("item", "item", "code", 3)
    towers, ppnet, fibinet = (MODELS[name] for name in ("three_towers", "ppnet", "fibinet"))
    with pytest.raises(ValueError, match="columns: expected at least 1 for the cross tower, got none"):
        towers(Columns([user, item]), 1, towers.Settings())
    with pytest.raises(ValueError, match="columns: expected at least 1 of side request, got none"):
        ppnet(Columns([item]), 1, ppnet.Settings())
    with pytest.raises(ValueError, match="columns: expected at least 2 fields for products of fields, got 1"):
        fibinet(Columns([user]), 1, fibinet.Settings())


class Written(Model):
    """A model of one function, for what `headrace.models.lower` makes of it."""

    name = "written"
    Settings = Section

    def __init__(self, forward, **modules):
        columns, _ = SETS["all"]
        super().__init__(columns, 1, Section())
        self.function = forward
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, columns):
        return self.function(self, columns)


def written(forward, **modules):
    torch.manual_seed(0)
    return randomised(WithPrior(Written(forward, **modules), 1), 1)


def all_of(columns):
    return torch.cat([columns[name] for name in ("rates", "content", "counts", "crossed")], 1)


def crossed(columns):
    """[n, 2, 4] of the request, the item and the pair together."""
    return (columns["rates"][:, :4] * columns["content"][:, :4] + columns["crossed"]).reshape(-1, 2, 2)


WRITTEN = {
    "layer norm": (lambda m, c: m.out(m.norm(all_of(c))), {"norm": nn.LayerNorm(22), "out": nn.Linear(22, 2)}),
    "layer norm of groups": (lambda m, c: m.norm(crossed(c)).flatten(1), {"norm": nn.LayerNorm(2)}),
    "batch norm": (lambda m, c: m.norm(m.out(all_of(c))), {"norm": nn.BatchNorm1d(2), "out": nn.Linear(22, 2)}),
    "batch norm of columns": (lambda m, c: m.norm(c["rates"] * c["content"][:, :6]), {"norm": nn.BatchNorm1d(6)}),
    "moved about": (
        lambda m, c: m.out(torch.stack(all_of(c).chunk(2, 1), 1).transpose(1, 2).reshape(-1, 22)[:, [3, 1, 1, 20]]),
        {"out": nn.Linear(4, 2)},
    ),
    "reshaped by size": (lambda m, c: all_of(c).view(all_of(c).size(0), -1, 2).sum(2), {}),
    "sums of each": (lambda m, c: crossed(c).sum(1) - crossed(c).mean(2) / 3, {}),
    "sums across sides": (lambda m, c: all_of(c).unflatten(1, (11, 2)).sum(1), {}),
    "numbers": (lambda m, c: 1 - (2 - all_of(c)) / 4 + 3 * all_of(c) ** 2, {}),
    "functions": (
        lambda m, c: (
            torch.maximum(torch.tanh(c["rates"]), torch.sigmoid(c["content"][:, :6])) - m.out(c["counts"]).relu()
        ),
        {"out": nn.Linear(5, 6)},
    ),
    "minus a wider one": (lambda m, c: c["rates"][:, :1] - c["crossed"], {}),
    "one for each of many": (lambda m, c: (c["crossed"][:, :2, None] * all_of(c).unflatten(1, (2, 11))).flatten(1), {}),
    "a shared sum": (lambda m, c: (h := m.out(all_of(c))) * h.sigmoid() + h, {"out": nn.Linear(22, 3)}),
    "a sum read in parts and whole": (
        lambda m, c: torch.cat([(h := m.out(all_of(c))), h[:, :2] * c["crossed"][:, :2], h[:, 1:]], 1),
        {"out": nn.Linear(22, 3)},
    ),
    "the request alone": (lambda m, c: c["rates"].relu(), {}),
    "the item alone": (lambda m, c: m.out(c["content"]), {"out": nn.Linear(7, 2)}),
    "the same twice": (lambda m, c: torch.cat([c["crossed"], c["crossed"], c["rates"], c["rates"]], 1), {}),
    "a linear layer of a linear layer": (
        lambda m, c: m.out(m.inner(torch.cat([c["rates"], c["content"]], 1))),
        {"inner": nn.Linear(13, 4), "out": nn.Linear(4, 2)},
    ),
    "softmax of each": (lambda m, c: torch.softmax(all_of(c).unflatten(1, (11, 2)), 2).flatten(1), {}),
}


def blocks_written():
    from headrace.models import blocks

    def fields(m, c):
        return torch.cat([c["rates"].unflatten(1, (3, 2)), crossed(c), c["content"][:, :4].unflatten(1, (2, 2))], 1)

    return {
        "fm": (lambda m, c: blocks.fm(fields(m, c)), {}),
        "pairs": (lambda m, c: blocks.pairs(fields(m, c), fields(m, c)).flatten(1), {}),
        "inner pairs": (lambda m, c: blocks.pairs(fields(m, c), fields(m, c), inner=True), {}),
        "pairs of one stage": (lambda m, c: blocks.pairs(crossed(c), crossed(c), inner=True), {}),
        "products of one stage": (lambda m, c: blocks.pairs(crossed(c), crossed(c)).flatten(1), {}),
        "self attention": (
            lambda m, c: blocks.self_attend(fields(m, c), m.k(fields(m, c)), m.v(fields(m, c)), heads=2).flatten(1),
            {"k": nn.Linear(2, 2), "v": nn.Linear(2, 2)},
        ),
        "mix": (lambda m, c: blocks.mix(crossed(c), fields(m, c)[:, 2:4]).flatten(1), {}),
    }


@pytest.mark.parametrize("name", [*WRITTEN, *blocks_written()])
def test_what_can_be_written_can_be_lowered(name):
    forward, modules = {**WRITTEN, **blocks_written()}[name]
    columns, _ = SETS["all"]
    network = written(forward, **modules)
    for module in modules.values():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    given = world(columns)
    value, error = bounded(lower(network, columns), given)
    assert bool(((value - in_doubles(network, given.each())).abs() <= DOUBLE * error + 1e-15).all())


CANNOT = {
    "exp": (lambda m, c: c["rates"].exp(), "exp"),
    "matmul": (lambda m, c: crossed(c) @ crossed(c), "matmul"),
    "division": (lambda m, c: c["rates"] / (1 + c["content"][:, :6] ** 2), "expected a division by a number"),
    "branch": (lambda m, c: c["rates"] if c["rates"].sum() > 0 else c["content"][:, :6], "does not trace"),
    "rows moved": (lambda m, c: (c["rates"].T * 2).T, "no instructions for T"),
    "rows folded": (lambda m, c: c["rates"].reshape(-1, 12).repeat(1, 1), "candidates in the first dimension"),
    "unknown column": (lambda m, c: c["nothing"], "expected columns\\[name\\] of a column"),
}


@pytest.mark.parametrize("name", CANNOT)
def test_what_cannot_be_lowered_says_why(name):
    forward, words = CANNOT[name]
    with pytest.raises(CannotLower, match=words):
        lower(written(forward), SETS["all"][0])


@pytest.mark.parametrize("name", ["exp", "division", "branch", "rows moved"])
def test_what_cannot_be_lowered_is_served_in_torch(name):
    columns, _ = SETS["all"]
    network, given = written(CANNOT[name][0]), world(columns)
    staged = prepare(network, columns)
    assert isinstance(staged, Staged)
    assert staged.reason
    ready = staged.with_items(given.items, 6)
    logits, want = (
        ready(given.request, given.pair, given.offsets, given.item),
        in_doubles(network, given.each()),
    )
    assert bool(((logits - want).abs() <= want.abs() * 2.0**-24 + 1e-12).all())


def test_what_a_program_cannot_hold_is_served_in_torch():
    names = [f"code {number}" for number in range(65)]
    columns = Columns([*(Column(name, "pair", "code", 3) for name in names), Column("wide", "pair", "dense", 65537)])
    table = nn.Embedding(3, 1)
    for forward, words in (
        (lambda m, c: torch.cat([m.table(c[name]) for name in names], 1), "at most 64 code columns of pairs, got 65"),
        (lambda m, c: c["wide"].relu(), "at most 65536 columns, got"),
    ):
        staged = prepare(Written(forward, table=table).eval(), columns)
        assert isinstance(staged, Staged)
        assert words in staged.reason


def test_a_prior_starts_every_logit():
    columns, targets = SETS["all"]
    network = network_of("ppnet", columns, targets)
    rows = values_of(columns, 4, torch.Generator().manual_seed(1))
    before = network.prior.clone()
    logits = network(rows)
    network.set_prior(before + torch.tensor([1.0, 2.0, 3.0]))
    torch.testing.assert_close(network(rows) - logits, torch.tensor([[1.0, 2.0, 3.0]]).expand(4, 3), rtol=0, atol=1e-5)
