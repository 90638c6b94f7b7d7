"""Turns pytest-benchmark's JSON into rows with provenance, and prints them as a table with ratios.

    python benchmarks/summarise.py build/bench.json benchmarks/results/

Each row: op, case, provider, unit, min, median, max, rounds, threads, isa, device, versions, commit, time. Rows of one
group or case are compared with the case's native row.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import torch

from headrace.doctor import machine

PROVIDERS = "native|reference|plain torch|torch_loop|numpy_loop|torch_product|faiss_tuned|mmr_native|mmr_torch_loop"
PROVIDERS += "|torch|float32|bfloat16|int8"


def rows_of(results: dict[str, Any]) -> list[dict[str, Any]]:
    """One row for each benchmark of a pytest-benchmark run."""
    facts = machine()
    versions = {name: facts[name] for name in ("headrace", "python", "torch")}
    rows = []
    for one in results["benchmarks"]:
        name, _, inside = one["name"].partition("[")
        found = re.search(rf"(?:^|-)({PROVIDERS})(?=-|\]|$)", inside)
        provider = found.group(1) if found else name.rsplit("_", 1)[-1]
        case = re.sub(rf"-?(?:{PROVIDERS})(?=-|$)", "", inside.removesuffix("]"), count=1).strip("-")
        stats = one["stats"]
        rows.append(
            {
                "op": f"{Path(one['fullname'].split('::')[0]).stem.removeprefix('bench_')}.{name.split('_', 1)[1]}",
                "case": case,
                "provider": provider,
                "unit": "ms",
                **{key: round(stats[key] * 1e3, 4) for key in ("min", "median", "max")},
                "rounds": stats["rounds"],
                "threads": int(facts["threads"]),
                "isa": facts["isa"],
                "device": facts["gpu"] if torch.cuda.is_available() else facts["cpu"],
                "versions": versions,
                "commit": results["commit_info"]["id"],
                "time": results["datetime"],
            }
        )
    return rows


def main(source: str, folder: str) -> None:
    """Writes the rows of `source` into `folder` and prints them."""
    results = json.loads(Path(source).read_text())
    rows = rows_of(results)
    first = rows[0]
    out = Path(folder) / f"{first['time'][:10]}-{first['isa']}-{first['threads']}threads.json"
    out.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    native = {(row["op"], row["case"]): row["median"] for row in rows if "native" in row["provider"]}
    for row in rows:
        base = native.get((row["op"], row["case"]))
        ratio = f"{row['median'] / base:8.2f}x" if base else " " * 9
        print(f"{row['op']:28} {row['case']:28} {row['provider']:16} {row['median']:10.3f} ms {ratio}")
    print(f"wrote {out}")


if __name__ == "__main__":
    main(*sys.argv[1:])
