"""The file of an approximate index: safetensors, with a checksum over every tensor's name, kind and bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from headrace.kernels.atomic import replace

FORMAT = "headrace-ann"
VERSION = 1


def write_ann(path: Path, tensors: dict[str, Tensor]) -> None:
    """Writes the file whole or not at all."""
    own = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    head = {"format": FORMAT, "version": str(VERSION), "sha256": _digest(own)}
    try:
        with replace(path) as place:
            save_file(own, place, head)
    except SafetensorError as error:
        raise OSError(f"{path}: could not be written: {error}") from error


def read_ann(path: Path) -> dict[str, Tensor]:
    """What `write_ann` was given. ValueError where the file is foreign, cut short, damaged or too new."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with safe_open(path, "pt") as file:
            head = file.metadata() or {}
            if head.get("format") != FORMAT:
                raise ValueError(f"{path}: not an approximate index")
            if head.get("version") != str(VERSION):
                raise ValueError(f"{path}: version {head.get('version')}; this release reads version {VERSION}")
            # Copies: the file's own pages would change with it, and end the process where it is cut short.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path}: not an approximate index, or cut short: {error}") from error
    if _digest(tensors) != head.get("sha256"):
        raise ValueError(f"{path}: checksum does not match: damaged")
    return tensors


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\0{name} {tensor.dtype} {list(tensor.shape)}\0".encode())
        digest.update(np.ascontiguousarray(tensor.numpy()).data)
    return digest.hexdigest()
