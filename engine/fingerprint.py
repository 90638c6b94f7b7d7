"""One name for all that a training depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headrace.data import Dataset, IdMap
from headrace.settings import Settings
from headrace.state import State


def fingerprint(dataset: Dataset, settings: Settings, warm: Mapping[str, State]) -> str:
    """16 hexadecimal digits that change with anything a training of `dataset` depends on: the log, its history, users
    and catalogue in every column, the settings, the parts that training starts from, the code and torch."""
    digest = hashlib.sha256()
    table = {name: getattr(dataset, name) for name in ("log", "history", "users", "catalogue", "context_names")}
    for part in (settings.model_dump_json(), table, dict(warm), _code(), torch.__version__):
        _feed(digest, part)
    return digest.hexdigest()[:16]


def _feed(digest: Any, value: Any) -> None:
    """Every value behind its kind and size, so that no two things look alike once they are joined."""
    if isinstance(value, torch.Tensor):
        digest.update(f"tensor {value.dtype} {tuple(value.shape)};".encode())
        value = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    if isinstance(value, IdMap):
        value = value.ids
    if isinstance(value, np.ndarray):
        digest.update(f"array {value.dtype.str} {value.shape};".encode())
        digest.update(np.ascontiguousarray(value).view(np.uint8).data)
    elif isinstance(value, Mapping):
        digest.update(f"mapping {len(value)};".encode())
        for name, one in value.items():
            _feed(digest, name)
            _feed(digest, one)
    elif is_dataclass(value):
        _feed(digest, {field.name: getattr(value, field.name) for field in fields(value)})
    elif isinstance(value, (list, tuple)):
        digest.update(f"list {len(value)};".encode())
        for one in value:
            _feed(digest, one)
    else:
        text = repr(value).encode()
        digest.update(f"{type(value).__name__} {len(text)};".encode() + text)


@cache
def _code() -> str:
    """The package's own source, read once: a release's number stays the same while it is worked on."""
    digest = hashlib.sha256()
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root)};".encode() + path.read_bytes())
    return digest.hexdigest()
