"""Snapshots that somebody forged: any tensor or fact put in place of another, under checksums that are right."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from headrace import storage
from headrace.serving import Engine
from headrace.snapshot import Snapshot, SnapshotError
from headrace.state import State

Draw = np.random.Generator
_DTYPES = (torch.float32, torch.float64, torch.int64, torch.int32, torch.int8, torch.bool, torch.uint8)
_FACTS = (
    None,
    True,
    False,
    0,
    1,
    -1,
    7,
    2**31,
    2**62,
    10**30,
    0.5,
    -1e308,
    "",
    "x",
    "../x",
    [],
    [1],
    ["x"],
    {},
    {"x": 1},
)


def forged_tensor(draw: Draw, tensor: Tensor) -> Tensor:
    """Another tensor in the place of one."""
    return _TENSORS[draw.integers(len(_TENSORS))](draw, tensor.clone())


def _typed(draw: Draw, tensor: Tensor) -> Tensor:
    return tensor.to(_DTYPES[draw.integers(len(_DTYPES))])


def _shorter(draw: Draw, tensor: Tensor) -> Tensor:
    if tensor.ndim == 0 or tensor.numel() == 0:
        return tensor[..., None]
    dim = int(draw.integers(tensor.ndim))
    return tensor.narrow(dim, 0, int(draw.integers(tensor.shape[dim])))


def _longer(draw: Draw, tensor: Tensor) -> Tensor:
    return torch.cat([tensor, tensor[-1:]]) if tensor.ndim and len(tensor) else tensor.new_zeros(3)


def _reshaped(draw: Draw, tensor: Tensor) -> Tensor:
    return tensor.reshape(-1) if tensor.ndim > 1 else tensor.reshape(1, -1)


def _extreme(draw: Draw, tensor: Tensor) -> Any:
    if tensor.dtype.is_floating_point:
        values: list[float] = [float("nan"), float("inf"), -float("inf"), 3e38, -3e38, 0.0, 1e-45]
    else:
        values = [-1, 0, 1, -2, 2**31 - 1, -(2**31), 2**62, 2**63 - 1, -(2**63), len(tensor) if tensor.ndim else 5]
    most = torch.iinfo(tensor.dtype) if not tensor.dtype.is_floating_point and tensor.dtype != torch.bool else None
    fitting = [value for value in values if most is None or most.min <= value <= most.max]
    return fitting[draw.integers(len(fitting))]


def _one_entry(draw: Draw, tensor: Tensor) -> Tensor:
    if tensor.numel() and tensor.dtype != torch.bool:
        tensor.view(-1)[int(draw.integers(tensor.numel()))] = _extreme(draw, tensor)
    return tensor


def _all_entries(draw: Draw, tensor: Tensor) -> Tensor:
    return tensor.fill_(_extreme(draw, tensor)) if tensor.dtype != torch.bool else ~tensor


def _shuffled(draw: Draw, tensor: Tensor) -> Tensor:
    return tensor.view(-1)[torch.from_numpy(draw.permutation(tensor.numel()))].view(tensor.shape)


def _moved(draw: Draw, tensor: Tensor) -> Tensor:
    return tensor + 1 if tensor.dtype != torch.bool else ~tensor


def _odd_bools(draw: Draw, tensor: Tensor) -> Tensor:
    return torch.full(tensor.shape, 7, dtype=torch.uint8).view(torch.bool)


_TENSORS: tuple[Callable[[Draw, Tensor], Tensor], ...] = (
    _typed, _shorter, _longer, _reshaped, _one_entry, _one_entry, _all_entries, _shuffled, _moved, _odd_bools,
)  # fmt: skip


def forged_fact(draw: Draw, fact: Any) -> Any:
    """Another fact in the place of one, or in that of one inside it."""
    if isinstance(fact, dict | list) and fact and draw.random() < 0.7:
        keys = list(fact) if isinstance(fact, dict) else list(range(len(fact)))
        key = keys[draw.integers(len(keys))]
        fact[key] = forged_fact(draw, fact[key])
        return fact
    if type(fact) in (int, float) and draw.random() < 0.5:
        return fact + (-1, 1, fact, 1000)[draw.integers(4)]
    return copy.deepcopy(_FACTS[draw.integers(len(_FACTS))])


def forged(draw: Draw, snapshot: Snapshot) -> tuple[Snapshot, str]:
    """A snapshot with one thing forged, and what."""
    states, info, tables = dict(snapshot.states), copy.deepcopy(snapshot.info), dict(snapshot.tables)
    if (chance := draw.random()) < 0.08:
        return replace(snapshot, info=forged_fact(draw, info)), "info"
    if chance < 0.14:
        name = list(tables)[draw.integers(len(tables))]
        tables[name] = _forged_table(draw, tables[name])
        return replace(snapshot, tables=tables), name
    name = list(states)[draw.integers(len(states))]
    tensors, facts = dict(states[name].tensors), copy.deepcopy(states[name].facts)
    keys = [*tensors, *facts]
    if not keys:
        return snapshot, "nothing"
    key = keys[draw.integers(len(keys))]
    place: dict[str, Any] = tensors if key in tensors else facts
    if draw.random() < 0.05:
        del place[key]
    elif key in tensors:
        tensors[key] = forged_tensor(draw, tensors[key])
    else:
        facts[key] = forged_fact(draw, facts[key])
    states[name] = State(tensors, facts)
    return replace(snapshot, states=states), f"{name}: {key}"


def _forged_table(draw: Draw, table: pa.Table) -> pa.Table:
    ids = table["id"].to_pylist()
    forms = (
        table.slice(1), table.slice(0, 0), table.drop_columns(["id"]),
        pa.table({"id": ids[::-1]}), pa.table({"id": [None, *ids[1:]]}), pa.table({"id": [ids[0], *ids[:-1]]}),
        pa.table({"id": [float(i) for i in range(len(ids))]}), pa.table({"id": [str(i) for i in ids]}),
        pa.table({"id": [[1]] * len(ids)}), pa.concat_tables([table, table]),
    )  # fmt: skip
    return forms[draw.integers(len(forms))]


def serves(engine: Engine) -> None:
    """Raises where an engine does not answer: known and unknown users, inside the log, at its end and later."""
    users = engine.users.ids[:: max(len(engine.users) // 20, 1)].tolist()
    users.append(10**12 if engine.users.ids.dtype.kind == "i" else "nobody")
    for at in (None, engine.as_of - 3_600_000, engine.as_of + 86_400_000):
        for page in engine.recommend(users, at=at):
            assert len(set(page.items)) == len(page.items)
            assert np.isfinite(page.scores).all()


def check_forged(folder: Path, snapshot: Snapshot, seed: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a forged snapshot is refused by a SnapshotError; False where it serves. Raises for anything else."""
    given, what = forged(np.random.default_rng(seed), snapshot)
    monkeypatch.setattr(storage, "read_snapshot", lambda *_: given)
    try:
        engine = Engine.load(folder)
    except SnapshotError:
        return True
    except Exception as error:
        raise AssertionError(f"seed {seed}, {what}: load raised {error!r}") from error
    try:
        serves(engine)
    except Exception as error:
        raise AssertionError(f"seed {seed}, {what}: it loads, then {error!r}") from error
    return False
