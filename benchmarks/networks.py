"""What the benchmarks of the two ranking networks share: a catalogue of features, and requests with candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from headrace.benchmarks.candidates import drawn
from headrace.features import CrossInputs, FeatureSpec, FeatureStore, Field, Inputs, ItemInputs, RequestInputs

#: As the default funnel has them: discrete fields, statistics, and the age of an item as the only crossed field.
USER_FIELDS, ITEM_FIELDS, AGES = 7, 5, 24
REQUEST, STATIC, DYNAMIC, CONTENT, BEHAVIOURS, DIM = 20, 32, 10, 16, 20, 8
#: Inputs that a network has of a request: fields, the mean of the behaviours, statistics.
REQUEST_WIDTH = USER_FIELDS * DIM + DIM + REQUEST


def spec(items: int) -> FeatureSpec:
    def fields(count: int, size: int) -> tuple[Field, ...]:
        return tuple(Field(f"field {f}", size) for f in range(count))

    item = (Field("item", items + 1), *fields(ITEM_FIELDS - 1, 500))
    return FeatureSpec(fields(USER_FIELDS, 100), item, fields(1, AGES), REQUEST, STATIC + DYNAMIC, CONTENT, BEHAVIOURS)


@dataclass(frozen=True)
class Catalogue:
    """codes: int32 [items, ITEM_FIELDS]. content: float32 [items, CONTENT]. statistics: float32 [items, STATIC].

    It stands in for a feature store at the end of its log when a network is packed: `static_columns` of the crossed
    statistics are an item's own, `dynamic_columns` come with each candidate.
    """

    codes: Tensor
    content: Tensor
    item_statistics: Tensor

    static_columns = torch.arange(STATIC)
    dynamic_columns = torch.arange(STATIC, STATIC + DYNAMIC)

    @property
    def spec(self) -> FeatureSpec:
        return spec(len(self.codes))

    @property
    def items(self) -> Tensor:
        return self.codes

    def frozen(self) -> Catalogue:
        return self

    def item_inputs(self, item: Tensor) -> ItemInputs:
        return ItemInputs(self.codes.index_select(0, item), self.content.index_select(0, item))

    @property
    def as_store(self) -> FeatureStore:
        return cast(FeatureStore, self)


def make_catalogue(items: int) -> Catalogue:
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 500, (items, ITEM_FIELDS), generator=generator)
    codes[:, 0] = torch.arange(1, items + 1)
    content, statistics = (torch.randn(items, width, generator=generator) for width in (CONTENT, STATIC))
    return Catalogue(codes.int(), content / 4, statistics)


def lively(network: nn.Module) -> nn.Module:
    """`network` as if trained: embeddings and biases that matter. It takes no gradients."""
    generator = torch.Generator().manual_seed(1)
    for name, weight in network.named_parameters():
        weight.requires_grad_(False)
        if name.endswith("table.weight"):
            weight.normal_(std=0.5, generator=generator)
        elif name.endswith("bias"):
            weight.normal_(std=0.2, generator=generator)
    return network.eval()


@dataclass(frozen=True)
class Asked:
    """request: float32 [B, REQUEST_WIDTH], the statistics last. offsets, item: whose candidates. ages: int32 [n, 1].
    dynamic: float32 [n, DYNAMIC]."""

    request: Tensor
    offsets: Tensor
    item: Tensor
    ages: Tensor
    dynamic: Tensor

    def inputs(self, catalogue: Catalogue) -> Inputs:
        """All features, gathered as a network takes them; what it makes of user codes and behaviours is given."""
        statistics = catalogue.item_statistics.index_select(0, self.item)
        none = torch.empty(len(self.request), 0, dtype=torch.int32)
        return Inputs(
            RequestInputs(none, none, self.request[:, -REQUEST:]),
            catalogue.item_inputs(self.item),
            CrossInputs(self.ages, torch.cat([statistics, self.dynamic], 1)),
            self.offsets,
        )


def make_asked(offsets: Tensor, items: int) -> Asked:
    generator = torch.Generator().manual_seed(4)
    batch, n = len(offsets) - 1, int(offsets[-1])
    return Asked(
        torch.randn(batch, REQUEST_WIDTH, generator=generator),
        offsets,
        drawn(offsets, items),
        torch.randint(0, AGES, (n, 1), generator=generator).int(),
        torch.randn(n, DYNAMIC, generator=generator),
    )
