"""The instructions of one stage, depth first from its result; columns that nobody reads any more are used again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch

from headrace.kernels.network import instructions as ins
from headrace.kernels.network.program import MAX_SIZE, Stage
from headrace.models.lower.graph import ITEM, PAIR, REQUEST, CannotLower, Constant, Input, Lookup, Piece, Step, Term
from headrace.models.lower.place import Block, Room, Space, Weights, consecutive, merged
from headrace.models.lower.reads import Reads, turns
from headrace.models.lower.split import CodeRows, Own, Split

Late = Callable[[], ins.Instruction]


@dataclass
class Spaces:
    """What a stage reads from rows: of the request, of the item, of its own inputs, of codes, run after run."""

    request: Space = field(default_factory=Space)
    item: Space = field(default_factory=Space)
    inputs: Space = field(default_factory=Space)
    codes: list[CodeRows] = field(default_factory=list)

    def code_place(self, rows: CodeRows) -> int:
        return sum(one.width for one in self.codes[: self.codes.index(rows)])


def emit(stage: int, roots: Sequence[Piece], weights: Weights) -> tuple[Stage, Spaces]:
    """The stage whose result is the `roots`, one after another, and what it reads."""
    return _Emitter(stage, roots, weights).stage()


class _Emitter:
    def __init__(self, stage: int, roots: Sequence[Piece], weights: Weights) -> None:
        self.reads = Reads(stage, roots)
        self.weights = weights
        self.spaces = Spaces()
        self.room = Room()
        self.code: list[Late] = []
        self.at: dict[Piece, int] = {}
        self.raw: dict[Lookup, CodeRows] = {}

    def stage(self) -> tuple[Stage, Spaces]:
        result = self.reads.result
        at = self._taken(result)
        assert result.first is not None
        for piece in self.reads.roots:
            if self.reads.blocks.get(piece) == (result, at - result.first):
                self._ensure(piece)
            else:
                self._into(piece, at)
            at += piece.size
        if self.room.columns > MAX_SIZE:
            raise CannotLower(f"expected a stage of at most {MAX_SIZE} columns, got {self.room.columns}")
        code = merged([late() for late in self.code])
        return Stage(tuple(code), self.room.columns, result.first, result.size), self.spaces

    def _add(self, step: ins.Instruction | Late) -> None:
        self.code.append(step if callable(step) else lambda: step)

    def _ensure(self, piece: Piece) -> int:
        """The place of a piece, computed or loaded where it is not there."""
        key = self.reads.key(piece)
        if key not in self.at:
            block, inside = self.reads.blocks.get(key, (None, 0))
            if block is None:
                block = Block(key.size, self.reads.uses[key], keys=[key])
                self.reads.blocks[key] = block, 0
            self._compute(key, lambda: self._taken(block) + inside)
            self.at[key] = self._taken(block) + inside
        return self.at[key] + piece.first - key.first

    def _taken(self, block: Block) -> int:
        """The first column of a block; when it is taken, all that it only loads is loaded side by side in one go."""
        if block.first is None:
            block.first = self.room.take(block.size)
            self._load_all(block, block.first)
        return block.first

    def _load_all(self, block: Block, first: int) -> None:
        for key in block.keys:
            if self.reads.loaded(key.value) and key not in self.at:
                self.at[key] = first + self.reads.blocks[key][1]
                self._load(key, self.at[key])

    def _release(self, piece: Piece) -> None:
        """One read of a piece is done."""
        key = self.reads.key(piece)
        self.reads.uses[key] -= 1
        block = self.reads.blocks.get(key, (None, 0))[0]
        if block is None:
            return
        block.remaining -= 1
        if not block.remaining and block.first is not None:
            self.room.give(block.first, block.size)
            for one in block.keys:
                self.at.pop(one, None)

    def _into(self, piece: Piece, out: int) -> None:
        """A read of a piece that wants it at `out`."""
        key = self.reads.key(piece)
        if self.reads.loaded(key.value) and key not in self.at:
            self._load(piece, out)
        elif key == piece and key not in self.reads.blocks and self.reads.uses[key] == 1:
            self._compute(key, lambda: out)
        else:
            place = self._ensure(piece)
            self._add(ins.Unary(out, piece.size, place, ins.UNARY.index("copy")))
        self._release(piece)

    def _run(self, pieces: Sequence[Piece]) -> tuple[int, tuple[int, int] | None]:
        """The place of a run of pieces, and the columns that were taken for copies of them, if any."""
        if len(pieces) == 1:
            return self._ensure(pieces[0]), None
        keys = [self.reads.key(piece) for piece in pieces]
        blocks = [self.reads.blocks.get(key) for key in keys]
        planned = all(
            block is not None and first is not None and block[0] is first[0]
            for block, first in zip(blocks, [blocks[0]] * len(blocks), strict=True)
        )
        if planned:
            places = [self._ensure(piece) for piece in pieces]
            if len(consecutive(places, [piece.size for piece in pieces])) == 1:
                return places[0], None
        size = sum(piece.size for piece in pieces)
        out = at = self.room.take(size)
        for piece in pieces:
            self.reads.uses[self.reads.key(piece)] += 1
            block = self.reads.blocks.get(self.reads.key(piece))
            if block is not None:
                block[0].remaining += 1
            self._into(piece, at)
            at += piece.size
        return out, (out, size)

    def _compute(self, key: Piece, target: Callable[[], int]) -> None:
        """Computes or loads a part. Its columns are asked for as late as can be, when its operands are there."""
        if self.reads.loaded(key.value):
            out = target()
            if key not in self.at:
                self._load(key, out)
            return
        work = self.reads.work(key)
        if isinstance(work, Step):
            self._step(work, target, self.reads.blocks[key][0] if key in self.reads.blocks else None)
        else:
            self._sum(work, target)

    def _step(self, step: Step, target: Callable[[], int], block: Block | None) -> None:
        if step.in_place:
            (pieces,) = step.operands
            out = at = target()
            for piece in pieces:
                self._into(piece, at)
                at += piece.size
            self._add(step.build(out, [out], self.weights.keep))
            return
        places, copies = [], []
        for operand in step.operands:
            place, copied = self._run(operand)
            places.append(place)
            copies += [copied] if copied else []
        for number in step.over:
            self._hand_over(step.operands[number], block)
        self._add(step.build(target(), places, self.weights.keep))
        for piece in (piece for operand in step.operands for piece in operand):
            self._release(piece)
        for first, size in copies:
            self.room.give(first, size)

    def _hand_over(self, pieces: Sequence[Piece], block: Block | None) -> None:
        """Gives `block` the columns of an operand that nobody reads again, if both are on their own there."""
        if block is None or block.first is not None or len(pieces) != 1 or len(block.keys) != 1:
            return
        (key,) = pieces
        held = self.reads.blocks.get(key, (None, 0))[0]
        if held is None or held.keys != [key] or held.remaining != 1 or held.size != block.size:
            return
        block.first, held.first = held.first, None

    def _sum(self, work: Split, target: Callable[[], int]) -> None:
        groups = turns(work)
        for piece, _ in groups[0] if groups else []:
            self._ensure(piece)
        out = target()
        started = self._start(work, out, groups)
        fused = False
        for number, group in enumerate(groups):
            pieces = [piece for piece, _ in group]
            places = [self._ensure(piece) for piece in pieces]
            runs = consecutive(places, [piece.size for piece in pieces])
            for first, end in runs:
                last = work.relu and number == len(groups) - 1 and end == len(pieces)
                fused = self._terms(work, out, places[first], group[first:end], started, last)
                started = True
            for piece in pieces:
                self._release(piece)
        if work.relu and not fused:
            self._add(ins.Unary(out, work.width, out, ins.UNARY.index("relu")))

    def _start(self, work: Split, out: int, groups: list[list[tuple[Piece, object]]]) -> bool:
        """Whether the columns hold a start already, from rows or as a constant."""
        if work.request or work.item or work.codes:
            self._rows(out, work.width, request=work.request, item=work.item, codes=work.codes)
            return True
        first = groups[0][0][1] if groups else None
        if isinstance(first, Own) or (
            isinstance(first, Term) and first.weight is not None and first.width == work.width
        ):
            return False
        assert work.bias is not None
        self._add(ins.Constant(out, work.width, self.weights.keep(work.bias)))
        return True

    def _terms(
        self, work: Split, out: int, place: int, group: Sequence[tuple[Piece, object]], started: bool, last: bool
    ) -> bool:
        """Adds terms that lie side by side; whether that was also the ReLU."""
        if started:
            start = ins.HELD
        else:
            assert work.bias is not None
            start = self.weights.keep(work.bias) if work.bias.any() else ins.NONE
        own = group[0][1]
        if isinstance(own, Own):
            weights = Piece(own.weights, 0, own.weights.width)
            self.spaces.request.ask(weights)
            affine = ins.Affine(out, work.width, place, own.piece.size, 0, work.width, start, int(last), own=1)
            self._add(lambda: replace(affine, weight=self.spaces.request.place(weights)))
            return last
        terms = [term for _, term in group if isinstance(term, Term)]
        at, width = out + terms[0].at, terms[0].width
        if all(term.weight is not None for term in terms):
            matrix = torch.cat([term.weight for term in terms if term.weight is not None])
            fused = last and width == work.width
            weight = self.weights.keep(matrix.flatten())
            self._add(ins.Affine(at, width, place, len(matrix), weight, width, start, int(fused)))
            return fused
        for term in terms:
            if term.weight is None:
                self._add(ins.Binary(at, width, at, place, ins.BINARY.index("add"), 1, width))
            else:
                weight = self.weights.keep(term.weight.flatten())
                self._add(ins.Affine(at, width, place, len(term.weight), weight, width, ins.HELD))
            place += term.piece.size
        return False

    def _load(self, piece: Piece, out: int) -> None:
        value = piece.value
        if isinstance(value, Constant):
            values = value.values[piece.first : piece.first + piece.size]
            self._add(ins.Constant(out, piece.size, self.weights.keep(values)))
        elif isinstance(value, Lookup):
            rows = self.raw.setdefault(
                value, CodeRows(value.width, [Term(Piece(value, 0, value.width), None, 0, value.width)])
            )
            self._rows(out, piece.size, codes=rows, inside=piece.first)
        elif isinstance(value, Input) and value.stage == self.reads.stage:
            self._rows(out, piece.size, inputs=piece)
        elif value.stage == REQUEST:
            self._rows(out, piece.size, request=piece)
        else:
            assert (value.stage, self.reads.stage) == (ITEM, PAIR)
            self._rows(out, piece.size, item=piece)

    def _rows(
        self,
        out: int,
        width: int,
        *,
        request: Piece | None = None,
        item: Piece | None = None,
        inputs: Piece | None = None,
        codes: CodeRows | None = None,
        inside: int = 0,
    ) -> None:
        asked = ((self.spaces.request, request), (self.spaces.item, item), (self.spaces.inputs, inputs))
        for space, piece in asked:
            if piece is not None:
                space.ask(piece)
        if codes is not None and codes not in self.spaces.codes:
            self.spaces.codes.append(codes)

        def late() -> ins.Rows:
            places = [ins.NONE if piece is None else space.place(piece) for space, piece in asked]
            code = ins.NONE if codes is None else self.spaces.code_place(codes) + inside
            return ins.Rows(out, width, request=places[0], item=places[1], codes=code, pair=places[2])

        self._add(late)
