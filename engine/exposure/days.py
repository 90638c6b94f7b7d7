"""The generations that each user's exposures fall into, days by default: a ring for each user."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

#: The generation of a slot that holds nothing.
NONE = -(2**62)


@dataclass(frozen=True)
class Plan:
    """What a call will write. live: bool [n], pairs that aren't too old; the rest is of these alone.

    slot, pair: int64, the slot of each and its place in the flat table. turned: bool, its slot is given to a newer
    generation. slots, newest: int64 [m], the flat places written, and their generations. emptied: those that were full.
    """

    live: Tensor
    slot: Tensor
    pair: Tensor
    turned: Tensor
    slots: Tensor
    newest: Tensor
    emptied: Tensor


class Days:
    """generation: int64 [1 + users, slots], what each slot holds. count: int32, how many items. Entry 0 is nobody's.

    Generation g, times g * period to (g + 1) * period - 1 in ms, has slot g % slots. Writers take turns.
    """

    def __init__(self, slots: int, period: int) -> None:
        self.period, self.slots = period, slots
        self.generation = torch.full((1, slots), NONE)
        self.count = torch.zeros(1, slots, dtype=torch.int32)
        #: Exposures that came too late.
        self.late = 0

    @property
    def nbytes(self) -> int:
        return self.generation.nbytes + self.count.nbytes

    def older(self, entries: Tensor, at: Tensor) -> Tensor:
        """bool [n, slots]: which slots of each entry hold what was too long ago at its time."""
        oldest = torch.div(at, self.period, rounding_mode="floor") - (self.slots - 1)
        return self.generation.index_select(0, entries) < oldest[:, None]

    def share(self, newest: int | None) -> Tensor:
        """The table of `generation` where those of all who have any are one ring up to `newest`, none where None."""
        if newest is None:
            return torch.full_like(self.count, NONE, dtype=torch.int64)
        ring = torch.arange(newest - self.slots + 1, newest + 1)
        return torch.where(self.count > 0, ring[(ring % self.slots).argsort()], NONE)

    def plan(self, entries: Tensor, at: Tensor) -> Plan:
        generation = torch.div(at, self.period, rounding_mode="floor")
        slot = generation % self.slots
        pair = entries * self.slots + slot
        slots, owner = pair.unique(return_inverse=True)
        held = self.generation.view(-1)[slots]
        newest = held.scatter_reduce(0, owner, generation, "amax")
        live = generation == newest[owner]
        turned = newest > held
        emptied = slots[turned & (held > NONE)]
        return Plan(live, slot[live], pair[live], turned[owner][live], slots, newest, emptied)

    def turn(self, plan: Plan, added: Tensor) -> None:
        """Writes a plan; added: int64, the flat place of each item that is new."""
        self.count.view(-1)[plan.emptied] = 0
        self.generation.view(-1)[plan.slots] = plan.newest
        self.count.view(-1).index_add_(0, added, torch.ones_like(added, dtype=torch.int32))
        self.late += len(plan.live) - len(plan.slot)

    def grown(self, entries: int) -> tuple[Tensor, ...]:
        more = entries - self.count.shape[0]
        generation = torch.cat([self.generation, torch.full((more, self.slots), NONE)])
        return generation, torch.cat([self.count, torch.zeros(more, self.slots, dtype=torch.int32)])

    def take(self, grown: tuple[Tensor, ...]) -> None:
        self.generation, self.count = grown
