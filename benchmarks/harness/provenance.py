"""Where a number comes from: the machine, the libraries, the revision, the moment."""

from __future__ import annotations

import datetime
import os
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from headrace.benchmarks.harness.caches import data_caches
from headrace.doctor import machine

#: import name -> distribution, of the peers whose versions a results file records.
PEERS = {
    "faiss": "faiss-cpu",
    "usearch": "usearch",
    "hnswlib": "hnswlib",
    "pyversity": "pyversity",
    "rbloom": "rbloom",
    "abloom": "abloom",
    "fbgemm_gpu": "fbgemm-gpu-cpu",
    "implicit": "implicit",
    "similaripy": "similaripy",
    "sparse_dot_topn": "sparse-dot-topn",
    "numba": "numba",
    "numpy": "numpy",
    "scipy": "scipy",
}
_CUPY = ("cupy", "cupy-cuda12x", "cupy-cuda13x")


def facts() -> dict[str, Any]:
    """The machine in numbers and words, as the first part of a results file."""
    known = machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": known["cpu"],
        "cores": int(known["cores"]),
        "memory_gb": round(memory, 1),
        "caches": {f"L{cache.level}": cache.size for cache in data_caches()},
        "gpu": known["gpu"],
        "isas": known["isas usable"],
        "system": f"{os.uname().sysname} {os.uname().release}",
    }


def stamp(device: str = "cpu") -> dict[str, Any]:
    """What every row carries: threads (0 on a GPU), instruction set ("sm_90"), device, versions, commit, time."""
    known = machine()
    where = {"threads": int(known["threads"]), "isa": known["isa"], "device": known["cpu"]}
    if device == "cuda":
        major, minor = torch.cuda.get_device_capability()
        where = {"threads": 0, "isa": f"sm_{major}{minor}", "device": known["gpu"]}
    return {
        **where,
        "versions": versions(),
        "commit": commit(),
        "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def versions() -> dict[str, str]:
    """Of Headrace, Python, torch, triton and every peer that is installed."""
    known = machine()
    found = {name: known[name] for name in ("headrace", "python", "torch", "triton")}
    for distribution in (*PEERS.values(), *_CUPY):
        try:
            found[distribution] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The revision of the checkout that this file lies in, with "+" when files differ from it.

    Outside of one, as in a copy without its history, what HEADRACE_COMMIT says, or "".
    """
    here = Path(__file__).resolve().parent
    try:
        revision = _git(here, "rev-parse", "HEAD")
        tracked = _git(here, "ls-files", "--error-unmatch", Path(__file__).name)
        changed = _git(here, "status", "--porcelain", "--untracked-files=no", ":/")
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("HEADRACE_COMMIT", "")
    return (revision + ("+" if changed else "")) if tracked else ""


def _git(folder: Path, *words: str) -> str:
    run = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True)
    return run.stdout.strip()
