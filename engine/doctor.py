"""What `headrace doctor` prints: the machine, the libraries, for each kernel which backends are on and why not, and the
recall channels."""

from __future__ import annotations

import importlib.util
import os
import platform
from importlib import metadata
from typing import TYPE_CHECKING

import torch

from headrace.kernels import settings
from headrace.kernels.registry import OPS
from headrace.kernels.settings import BACKENDS
from headrace.version import __version__

if TYPE_CHECKING:
    from rich.console import Console

    from headrace.report.model import Machine
    from headrace.report.page import Table


def cpu_name() -> str:
    """The processor's name as the operating system gives it."""
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def machine() -> dict[str, str]:
    """The machine and the libraries, as words. Raises ValueError when an environment variable is bad."""
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "cpu": cpu_name(),
        **_native(),
        "cores": str(os.cpu_count()),
        "backend": settings.backend_setting(),
        "gpu": cuda,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "triton": _version("triton"),
        "headrace": __version__,
    }


def _native() -> dict[str, str]:
    """What the native kernels use here; torch's threads where they are not built."""
    try:
        usable = ", ".join(settings.usable_isas())
        return {"isa": settings.get_isa(), "isas usable": usable, "threads": str(settings.get_threads())}
    except ImportError:
        return {"isa": "not built", "isas usable": "", "threads": str(torch.get_num_threads())}


def machine_record() -> Machine:
    """The machine and the libraries as reports keep them. Raises ValueError when an environment variable is bad."""
    from headrace.report.model import Machine

    facts = machine()
    versions = {name: facts[name] for name in ("headrace", "python", "torch", "triton")}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Machine(
        facts["cpu"], os.cpu_count() or 1, int(facts["threads"]), "cpu", facts["isa"], round(memory, 1), versions
    )


def _version(package: str) -> str:
    return metadata.version(package) if importlib.util.find_spec(package) else "not installed"


def lowered_networks() -> dict[str, str | None]:
    """Every ranking network -> why it is no program for the network kernel, and runs in torch; None where it is one."""
    from headrace.features import Column, Columns
    from headrace.models import MODELS
    from headrace.models.lower import Staged, prepare

    columns = Columns([
        Column("user", "request", "code", 3),
        Column("request_statistics", "request", "dense", 2),
        Column("last_engaged", "request", "sequence", 2, of="item"),
        Column("item", "item", "code", 3),
        Column("content", "item", "dense", 2),
        Column("item_statistics", "item", "dense", 2),
        Column("age", "pair", "code", 3),
        Column("statistics", "pair", "dense", 2),
    ])  # fmt: skip
    reasons: dict[str, str | None] = {}
    for name, model in MODELS.items():
        found = prepare(model(columns, 2, model.Settings()), columns)
        reasons[name] = found.reason if isinstance(found, Staged) else None
    return reasons


def print_report(console: Console) -> None:
    """Prints the machine, every kernel's backends, for CPU and CUDA tensors, recall channels and ranking networks."""
    # A machine that only checks kernels has no rich.
    from rich.text import Text

    from headrace.report.terminal import rich_table

    tables, reasons = _tables()
    for table in tables[:2]:
        console.print(rich_table(table))
    for reason in reasons:
        console.print(Text(reason))
    console.print()
    for table in tables[2:]:
        console.print(rich_table(table))


def _tables() -> tuple[list[Table], list[str]]:
    """The tables, and why backends are off."""
    from headrace.channels import CHANNELS
    from headrace.models import MODELS

    kernels: list[list[str]] = []
    reasons: dict[str, None] = {}
    for op in OPS.values():
        cells = []
        for backend in BACKENDS:
            off = op.reason_off(backend, torch.device("cuda" if backend == "gpu" else "cpu"))
            if backend == "gpu" and not off and not torch.cuda.is_available():
                off = "torch sees no CUDA device"
            cells.append("off" if off else "on")
            if off:
                reasons[f"{backend} is off: {off}"] = None
        kernels.append([op.name, op.summary, ", ".join(op.isas), *cells])
    channels = [[name, _line(kind.Settings), str(kind.Settings().quota)] for name, kind in CHANNELS.items()]
    networks = [
        [name, _line(MODELS[name].Settings), f"torch: {why}" if why else "the network kernel"]
        for name, why in lowered_networks().items()
    ]
    return [
        _table("Machine", ["", ""], [list(fact) for fact in machine().items()]),
        _table("Kernels", ["kernel", "what it does", "native code for", *BACKENDS], kernels),
        _table("Recall channels", ["channel", "what it is", "default quota"], channels),
        _table("Ranking networks", ["model", "what it is", "served by"], networks),
    ], list(reasons)


def _table(title: str, columns: list[str], rows: list[list[str]]) -> Table:
    from headrace.report.page import Table

    return Table(title, columns, rows, text_columns=len(columns))


def _line(settings: type) -> str:
    return " ".join((settings.__doc__ or "").split())
