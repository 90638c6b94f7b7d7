"""From a network in plain torch to values of their own stages."""

from __future__ import annotations

import builtins
import operator
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from headrace.features.columns import Column, Columns, Side
from headrace.kernels.forks import Lock
from headrace.kernels.network import instructions as ins
from headrace.models import blocks
from headrace.models.lower import steps
from headrace.models.lower.functions import BLOCKS, FUNCTIONS, MODULES, REARRANGING
from headrace.models.lower.graph import (
    ITEM,
    PAIR,
    REQUEST,
    CannotLower,
    Flat,
    Input,
    Keep,
    Lookup,
    Value,
    of_values,
    step,
)

STAGES: dict[Side, int] = {"request": REQUEST, "item": ITEM, "pair": PAIR}


@dataclass(frozen=True)
class Codes:
    """A code or sequence column."""

    column: Column


@dataclass(frozen=True)
class Vectors:
    """The embeddings of a sequence column: sequence `number` of the program."""

    column: Column
    number: int
    width: int


@dataclass(frozen=True)
class Present:
    """Which entries of a sequence column are there."""

    column: Column


@dataclass(frozen=True)
class Listed:
    """A sequence that a program reads: rows of `table` by the column's codes, `start` added."""

    column: str
    table: Tensor
    start: int


@dataclass
class Traced:
    """result: the logits. sequences: those that it reads, by number."""

    result: Flat
    sequences: list[Listed]


#: Tracing changes what calling a module means, for the whole process, so it is done by one thread at a time.
_tracing = Lock()


class Tracer(fx.Tracer):
    """Keeps the blocks with weights whole, and leaves networks that run in other threads alone."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        whole = isinstance(m, (blocks.FieldEmbedding, blocks.GroupedLinear))
        return whole or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: Any) -> Any:
        if threading.get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)


def graph_of(model: nn.Module) -> fx.Graph:
    """The steps of the network as it predicts. Raises CannotLower where they depend on the values."""
    with _tracing:
        training = model.training
        model.eval()
        try:
            return Tracer().trace(model)
        except (fx.proxy.TraceError, TypeError, RuntimeError) as error:
            raise CannotLower(f"the network does not trace: {error}") from error
        finally:
            model.train(training)


def traced(model: nn.Module, columns: Columns, sides: Mapping[str, Side]) -> Traced:
    """The network as values. sides: of the columns that are not of the side that `columns` says.

    Raises CannotLower, naming the step, for what has no instructions.
    """
    return _Reader(model, columns, sides).read()


@dataclass
class _Reader:
    model: nn.Module
    columns: Columns
    sides: Mapping[str, Side]
    inputs: dict[tuple[object, ...], Value] = field(default_factory=dict)
    sequences: list[Listed] = field(default_factory=list)

    def read(self) -> Traced:
        modules = dict(self.model.named_modules())
        known: dict[fx.Node, Any] = {}
        for node in graph_of(self.model).nodes:
            args = fx.node.map_arg(node.args, known.__getitem__)
            named = fx.node.map_arg(node.kwargs, known.__getitem__)
            try:
                value = self._value(node, args, named, modules)
            except CannotLower as error:
                raise CannotLower(f"{node.format_node()}: {error}") from error
            except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
                raise CannotLower(f"{node.format_node()}: {type(error).__name__}: {error}") from error
            known[node] = replace(value, shared=len(node.users) > 1) if isinstance(value, Flat) else value
            if node.op == "output":
                return Traced(self._logits(value), self.sequences)
        raise AssertionError("unreachable: every graph has an output")

    def _logits(self, value: object) -> Flat:
        if not isinstance(value, Flat) or len(value.shape) != 1 or not value.total:
            raise CannotLower(f"the result: expected logits [n, targets], got {value!r}")
        return value

    def _value(self, node: fx.Node, args: Any, named: Any, modules: Mapping[str, nn.Module]) -> Any:
        if node.op == "placeholder":
            return self.columns
        if node.op == "output":
            return args[0]
        if node.op == "get_attr":
            return operator.attrgetter(str(node.target))(self.model)
        if node.op == "call_module":
            return self._module(modules[str(node.target)], *args, **named)
        if args and isinstance(args[0], Columns):
            if node.target is not operator.getitem or args[1] not in [column.name for column in self.columns]:
                raise CannotLower(f"expected columns[name] of a column, got {args[1:]}")
            return self._column(self.columns[args[1]])
        return self._function(node.target, args, named)

    def _stage(self, column: Column) -> int:
        return STAGES[self.sides.get(column.name, column.side)]

    def _column(self, column: Column) -> Any:
        if column.kind != "dense":
            return Codes(column)
        made = Input(self._stage(column), column.size, column.name)
        return of_values((column.size,), [self.inputs.setdefault((column.name,), made)])

    def _embedded(self, column: Column, table: Tensor, start: int, size: int) -> Any:
        key, width, stage = (column.name, id(table), start), table.shape[1], self._stage(column)
        if column.kind == "sequence":
            if stage != REQUEST:
                raise CannotLower(f"column {column.name}: expected a sequence of the request")
            listed = Listed(column.name, table, start)
            keys = [(one.column, id(one.table), one.start) for one in self.sequences]
            if key not in keys:
                self.sequences.append(listed)
                keys.append(key)
            return Vectors(column, keys.index(key), width)
        made: Value = Input(stage, width, column.name, table, start)
        if stage == PAIR:
            made = Lookup(stage, width, column.name, table, start, size)
        return self.inputs.setdefault(key, made)

    def _module(self, module: nn.Module, *args: Any, **named: Any) -> Any:
        if isinstance(module, blocks.FieldEmbedding):
            return self._fields(module, *args, **named)
        if isinstance(module, nn.Embedding):
            made = self._embedded(_codes(args[0]), module.weight, 0, module.num_embeddings)
            return made if isinstance(made, Vectors) else of_values((made.width,), [made])
        for kind, handler in MODULES.items():
            if isinstance(module, kind):
                return handler(module, _flat(args[0]))
        raise CannotLower(f"no instructions for {type(module).__name__}")

    def _fields(self, module: blocks.FieldEmbedding, codes: Any, field: str | None = None) -> Any:
        table, starts = module.table.weight, module.starts.tolist()
        sizes = [column.size for column in module.fields]
        if field is not None:
            f = module.names.index(field)
            made = self._embedded(_codes(codes), table, starts[f], sizes[f])
            return made if isinstance(made, Vectors) else of_values((made.width,), [made])
        values = [
            self._embedded(_codes(one), table, start, size)
            for one, start, size in zip(codes, starts, sizes, strict=True)
        ]
        return of_values((len(values), table.shape[1]), values)

    def _function(self, target: Any, args: Any, named: Any) -> Any:
        flats: list[Flat] = []
        fx.node.map_aggregate([args, named], lambda one: flats.append(one) if isinstance(one, Flat) else None)
        if any(isinstance(one, (Codes, Vectors, Present)) for one in args):
            return _of_codes(target, *args, **named)
        if not flats:
            return getattr(args[0], target)(*args[1:], **named) if isinstance(target, str) else target(*args, **named)
        if target in BLOCKS:
            return BLOCKS[target](*args, **named)
        name = target if isinstance(target, str) else target.__name__
        if not isinstance(target, str) and not _of_torch(target):
            raise CannotLower(f"no instructions for {name}")
        if name in FUNCTIONS:
            return FUNCTIONS[name](*args, **named)
        if name not in REARRANGING or (name == "getattr" and args[1] not in ("shape", "ndim")):
            raise CannotLower(f"no instructions for {args[1] if name == 'getattr' else name}")

        def run(*tensors: Tensor) -> Any:
            given = iter(tensors)
            moved, keys = fx.node.map_aggregate([args, named], lambda x: next(given) if isinstance(x, Flat) else x)
            return getattr(moved[0], name)(*moved[1:], **keys) if isinstance(target, str) else target(*moved, **keys)

        if name in ("size", "dim", "getattr"):
            return run(*(torch.empty(2, *one.shape, device="meta", dtype=torch.float32) for one in flats))
        return steps.rearranged(run, *flats)


def _of_torch(target: Any) -> bool:
    module = getattr(target, "__module__", None) or ""
    return target is builtins.getattr or module.split(".")[0] in ("torch", "_operator")


def _codes(value: Any) -> Column:
    if not isinstance(value, Codes):
        raise CannotLower(f"expected a column of codes, got {type(value).__name__}")
    return value.column


def _flat(value: Any) -> Flat:
    if not isinstance(value, Flat):
        raise CannotLower(f"expected numbers, got {type(value).__name__}")
    return value


def _of_codes(target: Any, *args: Any, **named: Any) -> Any:
    """A function of codes, or of a sequence's vectors."""
    if isinstance(args[0], Codes) and target in (operator.gt, operator.ne) and args[1] == 0:
        return Present(args[0].column)
    if target is blocks.mean_of_sequence or target is blocks.attend:
        vectors, present, *query = args
        if not isinstance(vectors, Vectors) or present != Present(vectors.column):
            raise CannotLower("expected the vectors of a sequence, and its codes > 0")
        return _attend(vectors, _flat(query[0])) if query else _mean(vectors)
    raise CannotLower(f"no instructions for {getattr(target, '__name__', target)} of codes or sequences")


def _mean(vectors: Vectors) -> Flat:
    def build(out: int, at: object, keep: Keep) -> ins.Mean:
        return ins.Mean(out, vectors.width, vectors.number)

    return of_values((vectors.width,), [step(vectors.width, [], build, stage=REQUEST)])


def _attend(vectors: Vectors, query: Flat) -> Flat:
    scale = torch.tensor([vectors.width**-0.5], dtype=torch.float64)

    def build(out: int, at: Any, keep: Keep) -> ins.Attend:
        return ins.Attend(out, vectors.width, at[0], vectors.number, keep(scale))

    return of_values((vectors.width,), [step(vectors.width, [query.pieces], build, stage=REQUEST)])
