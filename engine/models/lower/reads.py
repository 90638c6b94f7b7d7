"""Who reads what in a stage: sums cut into the parts that are read, reads counted, neighbours found."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from headrace.models.lower.graph import CONSTANT, ITEM, PAIR, Constant, Form, Input, Lookup, Piece, Step, Value, whole
from headrace.models.lower.place import Block
from headrace.models.lower.split import Split, split

#: A sum of more columns than this takes its terms in turns, so that those of one turn make room for the next.
TURN = 96
#: Reads to come of a result, which stays where it is.
FOR_GOOD = 1 << 62


@dataclass(eq=False)
class Reads:
    """The work of one stage for the `roots`.

    parts: value -> each part that is read, with what gives it; most steps are one part. uses: part or loaded
    piece -> reads to come. blocks: which of them share a run of columns, and from which column of it.
    """

    stage: int
    roots: Sequence[Piece]
    parts: dict[Value, list[tuple[Piece, Step | Split]]] = field(default_factory=dict)
    uses: Counter[Piece] = field(default_factory=Counter)
    blocks: dict[Piece, tuple[Block, int]] = field(default_factory=dict)
    result: Block = field(init=False)

    def __post_init__(self) -> None:
        self._raw = _raw_items(self.roots) if self.stage == PAIR else set()
        lists = []
        for work in self._parts_in_order():
            own = [list(operand) for operand in work.operands] if isinstance(work, Step) else _turns(work)
            self.uses.update(self.key(piece) for pieces in own for piece in pieces)
            if not (isinstance(work, Step) and work.in_place):
                lists += own
        self.uses.update(self.key(piece) for piece in self.roots)
        self._share(lists)

    def loaded(self, value: Value) -> bool:
        """Whether the stage finds the value in a row rather than computing it."""
        if isinstance(value, (Input, Lookup, Constant)):
            return True
        return value.stage not in (CONSTANT, self.stage)

    def key(self, piece: Piece) -> Piece:
        """The part that has the piece; the piece itself where it is loaded."""
        if self.loaded(piece.value):
            return piece
        return next(part for part, _ in self.parts[piece.value] if _within(piece, part))

    def work(self, key: Piece) -> Step | Split:
        return next(work for part, work in self.parts[key.value] if part == key)

    def _parts_in_order(self) -> list[Step | Split]:
        """Every part that the roots need, those that read before what they read."""
        asked: dict[Value, list[Piece]] = defaultdict(list)
        queue: list[tuple[int, int, Value]] = []
        done: list[Step | Split] = []

        def ask(piece: Piece) -> None:
            if self.loaded(piece.value):
                return
            if piece.value not in asked:
                heapq.heappush(queue, (-piece.value.order, id(piece.value), piece.value))
            asked[piece.value].append(piece)

        for piece in self.roots:
            ask(piece)
        while queue:
            value = heapq.heappop(queue)[2]
            self.parts[value] = []
            whole_only = isinstance(value, Step) and value.cut is None
            for part in [whole(value)] if whole_only else _merged(asked[value]):
                work: Step | Split
                if isinstance(value, Form):
                    work = split(value.cut(part.first, part.size), self.stage, self._raw.__contains__)
                    read = [*(own.piece for own in work.own), *(term.piece for term in work.terms)]
                else:
                    assert isinstance(value, Step)
                    work = value if value.cut is None or part == whole(value) else value.cut(part.first, part.size)
                    read = [piece for operand in work.operands for piece in operand]
                self.parts[value].append((part, work))
                done.append(work)
                for piece in read:
                    ask(piece)
        return done

    def _share(self, lists: list[list[Piece]]) -> None:
        """Gives the longest lists runs of their own; what is in several lists lies in the longest.

        The roots have the first, in which they are where the result has them.
        """
        result = Block(sum(piece.size for piece in self.roots), remaining=FOR_GOOD)
        at = 0
        for piece in self.roots:
            if self.key(piece) == piece and piece not in self.blocks:
                self.blocks[piece] = result, at
                result.keys.append(piece)
            at += piece.size
        self.result = result
        for pieces in sorted(lists, key=lambda one: -sum(piece.size for piece in one)):
            if len(pieces) < 2:
                continue
            keys = [piece for piece in dict.fromkeys(pieces) if self.key(piece) == piece and piece not in self.blocks]
            block = Block(sum(key.size for key in keys), sum(self.uses[key] for key in keys), keys=keys)
            at = 0
            for key in keys:
                self.blocks[key] = block, at
                at += key.size


def turns(work: Split) -> list[list[tuple[Piece, object]]]:
    """The terms of a sum, those of one kind, one target run and one turn together: (piece, term or own weights)."""
    out: list[list[tuple[Piece, object]]] = [[(own.piece, own)] for own in work.own]
    before: tuple[int, int, bool] | None = None
    for term in work.terms:
        here = (term.at, term.width, term.weight is None)
        if here != before or sum(p.size for p, _ in out[-1]) + term.piece.size > TURN:
            out.append([])
        out[-1].append((term.piece, term))
        before = here
    return out


def _turns(work: Split) -> list[list[Piece]]:
    return [[piece for piece, _ in turn] for turn in turns(work)]


def _within(piece: Piece, part: Piece) -> bool:
    return part.first <= piece.first and piece.first + piece.size <= part.first + part.size


def _merged(pieces: list[Piece]) -> list[Piece]:
    """The same numbers with those that overlap as one piece."""
    out: list[Piece] = []
    for piece in sorted(pieces, key=lambda one: (one.first, -one.size)):
        if out and piece.first < out[-1].first + out[-1].size:
            end = max(out[-1].first + out[-1].size, piece.first + piece.size)
            out[-1] = Piece(piece.value, out[-1].first, end - out[-1].first)
        else:
            out.append(piece)
    return out


def _raw_items(roots: Sequence[Piece]) -> set[Piece]:
    """The pieces of items that steps of the pair stage read as they are."""
    raw: set[Piece] = set()
    seen: set[Value] = set()
    stack = [piece.value for piece in roots]
    while stack:
        value = stack.pop()
        if value in seen or value.stage != PAIR:
            continue
        seen.add(value)
        if isinstance(value, Step):
            read = [piece for operand in value.operands for piece in operand]
            raw.update(piece for piece in read if piece.value.stage == ITEM)
            stack += [piece.value for piece in read]
        elif isinstance(value, Form):
            stack += [term.piece.value for term in value.terms]
    return raw
