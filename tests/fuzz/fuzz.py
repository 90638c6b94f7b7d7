"""Random attempts at a subject, each from a seed of its own: `python tests/fuzz/fuzz.py ops --minutes 5`.

A subject is a file of this folder with a function `attempt(seed) -> str`, which says in a word or two what it tried and
raises AssertionError for a fault. Without a subject all of them take turns.
"""

from __future__ import annotations

import argparse
import collections
import importlib
import secrets
import sys
import time
import traceback
from pathlib import Path

HERE = Path(__file__).parent
# What subjects share with the tests.
sys.path.append(str(HERE.parent / "engine"))


def subjects() -> list[str]:
    """The files of this folder that hold a subject."""
    own = {"fuzz", "conftest"}
    return sorted(path.stem for path in HERE.glob("*.py") if path.stem not in own and not path.stem.startswith("test_"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("subject", nargs="*", choices=[[], *subjects()], help="all where none is named")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long all of it takes")
    parser.add_argument("--seed", type=int, help="the first seed; a fresh one where it is not given")
    parser.add_argument("--count", type=int, help="attempts at each subject, whatever the time")
    asked = parser.parse_args()
    seed = secrets.randbits(48) if asked.seed is None else asked.seed
    names = asked.subject or subjects()
    end, done, tried, faults = time.monotonic() + asked.minutes * 60, 0, collections.Counter[str](), 0
    print(f"fuzz: {', '.join(names)} from seed {seed}", flush=True)
    while done < asked.count if asked.count is not None else time.monotonic() < end:
        for name in names:
            try:
                tried[f"{name}: {importlib.import_module(name).attempt(seed + done)}"] += 1
            except Exception:
                faults += 1
                traceback.print_exc()
                print(f"again: python tests/fuzz/fuzz.py {name} --count 1 --seed {seed + done}", flush=True)
        done += 1
    for what, count in sorted(tried.items()):
        print(f"{count:9,}  {what}")
    print(f"{sum(tried.values()) + faults:9,}  attempts, {faults} with a fault")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
