"""The GPU as a results file tells of it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import torch

from headrace.benchmarks.harness import provenance


def facts(device: torch.device) -> dict[str, Any]:
    """The machine, the versions and the commit, and of a GPU its name, driver, memory and units."""
    known = {**provenance.facts(), "versions": provenance.versions(), "commit": provenance.commit()}
    if device.type != "cuda":
        return {**known, "gpu": "none: a dry run in Triton's interpreter"}
    card = torch.cuda.get_device_properties(device)
    return {
        **known,
        "gpu": card.name,
        "driver": driver(),
        "cuda": torch.version.cuda,
        "capability": f"{card.major}.{card.minor}",
        "gpu_memory_gb": round(card.total_memory / 2**30, 1),
        "multiprocessors": card.multi_processor_count,
    }


def driver() -> str:
    """The version of the NVIDIA driver, "" where nothing tells."""
    try:
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        return done.stdout.splitlines()[0].strip()
    except (OSError, subprocess.SubprocessError, IndexError):
        told = Path("/proc/driver/nvidia/version")
        return told.read_text().splitlines()[0] if told.exists() else ""
