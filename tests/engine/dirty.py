"""Logs as nobody would want them: one way after another to fill each column, drawn by name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from headrace.build import build
from headrace.data import SIGNALS, read
from headrace.serving import Engine
from headrace.settings import Settings

Rng = np.random.Generator
Maker = Callable[[Rng, int], Any]
START = 1_650_000_000_000
DAY = 86_400_000
STRANGE = ["", " ", "-", "a,b", "é", "😀", "x" * 256, "1_000", "NULL", "[/x]", "a\tb"]


def holes(values: Any, rng: Rng, share: float = 0.3) -> pa.Array:
    array = pa.array(values)
    gone = rng.random(len(array)) < share
    return pa.array([None if hole else one for one, hole in zip(array.to_pylist(), gone, strict=True)], array.type)


def one_of_them(values: Any, rng: Rng, odd: Any) -> Any:
    """`values` with one of them replaced."""
    out = list(values)
    if out:
        out[int(rng.integers(len(out)))] = odd
    return out


IDS: dict[str, Maker] = {
    "few": lambda r, n: r.integers(0, 8, n),
    "many": lambda r, n: r.integers(0, 60, n),
    "one": lambda r, n: np.zeros(n, np.int64),
    "wide": lambda r, n: r.choice([-(2**63), -1, 0, 2**63 - 1, 5, 7], n),
    "int8": lambda r, n: r.integers(-9, 9, n).astype(np.int8),
    "uint64": lambda r, n: pa.array(one_of_them(r.integers(0, 9, n).tolist(), r, 2**63), pa.uint64()),
    "holes": lambda r, n: holes(r.integers(0, 9, n), r),
    "null": lambda r, n: pa.nulls(n),
    "text": lambda r, n: [f"u{i}" for i in r.integers(0, 20, n)],
    "strange": lambda r, n: [STRANGE[i] for i in r.integers(0, len(STRANGE), n)],
    "view": lambda r, n: pa.array([f"u{i}" for i in r.integers(0, 20, n)], pa.string_view()),
    "dictionary": lambda r, n: pa.array([f"u{i}" for i in r.integers(0, 20, n)]).dictionary_encode(),
    "long": lambda r, n: one_of_them([f"u{i}" for i in r.integers(0, 20, n)], r, "y" * 5000),
    "NUL": lambda r, n: one_of_them([f"u{i}" for i in r.integers(0, 20, n)], r, "y\0"),
    "float": lambda r, n: r.random(n),
    "bytes": lambda r, n: pa.array([b"\xd6\xd0"] * n, pa.binary()),
}
_minutes: Maker = lambda r, n: START + 60_000 * np.arange(n)  # noqa: E731
TIMES: dict[str, Maker] = {
    "minutes": _minutes,
    "days": lambda r, n: START + np.sort(r.integers(0, 30 * DAY, n)),
    "years": lambda r, n: START - np.sort(r.integers(0, 10_000 * DAY, n))[::-1],
    "shuffled": lambda r, n: START + r.integers(0, 30 * DAY, n),
    "same": lambda r, n: np.full(n, START),
    "seconds": lambda r, n: _minutes(r, n) // 1000,
    "microseconds": lambda r, n: _minutes(r, n) * 1000,
    "nanoseconds": lambda r, n: _minutes(r, n) * 1_000_000,
    "mixed units": lambda r, n: np.where(np.arange(n) % 2, _minutes(r, n), _minutes(r, n) // 1000),
    "one in seconds": lambda r, n: one_of_them(_minutes(r, n), r, START // 1000),
    "one in 2099": lambda r, n: one_of_them(_minutes(r, n), r, 4_070_908_800_000),
    "one at 0": lambda r, n: one_of_them(_minutes(r, n), r, 0),
    "one at the end of int64": lambda r, n: one_of_them(_minutes(r, n), r, 2**63 - 1),
    "one far off": lambda r, n: one_of_them(_minutes(r, n), r, START - 4000 * DAY),
    "numbers": lambda r, n: np.arange(n),
    "negative": lambda r, n: -_minutes(r, n),
    "holes": lambda r, n: holes(_minutes(r, n), r),
    "null": lambda r, n: pa.nulls(n, pa.int64()),
    "float": lambda r, n: _minutes(r, n) / 1000,
    **{
        f"timestamp {u}": lambda r, n, u=u: pa.array(_minutes(r, n) // 1000, pa.timestamp("s")).cast(pa.timestamp(u))
        for u in ("s", "ms", "us", "ns")
    },
}
FLAGS: dict[str, Maker] = {
    "some": lambda r, n: (r.random(n) < 0.3).astype(np.int8),
    "booleans": lambda r, n: r.random(n) < 0.5,
    "all": lambda r, n: np.ones(n, np.int8),
    "none": lambda r, n: np.zeros(n, np.int8),
    "one": lambda r, n: one_of_them([0] * n, r, 1),
    "holes": lambda r, n: holes((r.random(n) < 0.5).astype(np.int8), r),
    "all or null": lambda r, n: holes(np.ones(n, np.int8), r),
    "null": lambda r, n: pa.nulls(n, pa.int8()),
    "untyped null": lambda r, n: pa.nulls(n),
    "a two": lambda r, n: one_of_them([0, 1] * (n // 2) + [0] * (n % 2), r, 2),
    "text": lambda r, n: ["yes"] * n,
}
SPANS: dict[str, Maker] = {
    "some": lambda r, n: r.integers(0, 60_000, n),
    "zero": lambda r, n: np.zeros(n, np.int64),
    "same": lambda r, n: np.full(n, 5000),
    "huge": lambda r, n: np.full(n, 2**31 - 1),
    "too huge": lambda r, n: one_of_them(r.integers(0, 9, n), r, 2**31),
    "negative": lambda r, n: r.integers(-5, 60_000, n),
    "holes": lambda r, n: holes(r.integers(0, 60_000, n), r),
    "null": lambda r, n: pa.nulls(n, pa.int32()),
    "float": lambda r, n: r.random(n),
}
CONTEXTS: dict[str, Maker] = {
    "codes": lambda r, n: r.integers(0, 4, n),
    "a large code": lambda r, n: one_of_them(r.integers(0, 4, n), r, 2**31 - 2),
    "negative": lambda r, n: one_of_them(r.integers(0, 4, n), r, -1),
    "uint64": lambda r, n: r.integers(0, 4, n).astype(np.uint64),
    "words": lambda r, n: [["phone", "tablet", "", "NA"][i] for i in r.integers(0, 4, n)],
    "each another word": lambda r, n: [f"w{i}" for i in range(n)],
    "null": lambda r, n: pa.nulls(n),
    "holes": lambda r, n: holes(["a", "b"] * (n // 2) + ["a"] * (n % 2), r),
    "booleans": lambda r, n: r.random(n) < 0.5,
    "float": lambda r, n: r.random(n),
}
PUBLISHED: dict[str, Maker] = {
    "plain": lambda r, n: START - r.integers(0, 900 * DAY, n),
    "old": lambda r, n: -r.integers(0, 20_000 * DAY, n),
    "seconds": lambda r, n: (START - r.integers(0, 900 * DAY, n)) // 1000,
    "absurd": lambda r, n: np.full(n, 2**62),
    "some absurd": lambda r, n: one_of_them(START - r.integers(0, 9 * DAY, n), r, 2**62),
    "null": lambda r, n: pa.nulls(n, pa.int64()),
}
COLUMNS: dict[str, dict[str, Maker]] = {
    **dict.fromkeys(SIGNALS, FLAGS),
    "play_time_ms": SPANS,
    "duration_ms": SPANS,
    "context_tab": CONTEXTS,
    "context_device": CONTEXTS,
    "context_hour": CONTEXTS,
}
#: Every name that a refusal may give.
NAMES = ("log", "user", "item", "time", "catalogue", "channels", *COLUMNS)


@st.composite
def logs(draw: st.DrawFn) -> dict[str, Any]:
    """What a folder holds, by names alone, so that a failure is read at a glance."""
    usual = draw(st.booleans())  # most of a log is usual, or nothing would ever be built

    def pick(makers: dict[str, Maker], common: int) -> str:
        names = list(makers)
        return draw(st.sampled_from(names[:common] if usual and draw(st.integers(0, 3)) else names))

    wanted = draw(st.sets(st.sampled_from(sorted(COLUMNS)), max_size=5)) | ({"click"} if usual else set())
    return {
        "rows": draw(st.sampled_from([60, 200, 25, 2, 1, 0])),
        "seed": draw(st.integers(0, 99)),
        "user": pick(IDS, 3),
        "item": pick(IDS, 3),
        "time": pick(TIMES, 4),
        "columns": {name: pick(COLUMNS[name], 2) for name in sorted(wanted)},
        "repeats": draw(st.booleans()),
        "missing": draw(st.sampled_from([None] * 12 + ["user", "item", "time"])),
        "unknown": draw(st.sampled_from([None] * 12 + ["clik", "context"])),
        "catalogue": draw(st.none() | st.none() | st.sampled_from(sorted(PUBLISHED))),
        "history": draw(st.sampled_from([False, False, True])),
    }


def write(folder: Path, drawn: dict[str, Any]) -> Path:
    """The folder of a drawn log, made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng, n = np.random.default_rng(drawn["seed"]), drawn["rows"]
    made = {
        "user": IDS[drawn["user"]](rng, n),
        "item": IDS[drawn["item"]](rng, n),
        "time": TIMES[drawn["time"]](rng, n),
    }
    made |= {name: COLUMNS[name][how](rng, n) for name, how in drawn["columns"].items()}
    made.pop(drawn["missing"], None)
    if drawn["unknown"]:
        made[drawn["unknown"]] = np.zeros(n, np.int64)
    table = pa.table(
        {name: column if isinstance(column, pa.Array) else pa.array(column) for name, column in made.items()}
    )
    pq.write_table(
        pa.concat_tables([table, table.slice(0, n // 3)]) if drawn["repeats"] else table, folder / "log.parquet"
    )
    if drawn["history"] and not drawn["missing"]:
        pq.write_table(table.slice(0, n // 2), folder / "history.parquet")
    if drawn["catalogue"] and "item" in made and drawn["item"] in ("few", "many", "text"):
        items = pa.compute.unique(table["item"].combine_chunks())
        known = items.slice(0, max(len(items) * 3 // 4, 1))
        columns = {
            "item": known,
            "publish_time": PUBLISHED[drawn["catalogue"]](rng, len(known)),
            "author": rng.integers(0, 3, len(known)),
            "category": pa.array([["a", "b"][: i % 3] for i in range(len(known))], pa.list_(pa.string())),
        }
        pq.write_table(pa.table(columns), folder / "catalogue.parquet")
    return folder


def held(drawn: dict[str, Any], folder: Path, chosen: Settings, trained: list[str]) -> bool:
    """Whether the log was built; fails where neither a page nor a plain refusal comes of it."""
    out = folder / "snapshot"
    before = (out / "CURRENT").read_text() if out.exists() else None
    trained.clear()
    refusal = None
    try:
        data = read(write(folder / "log", drawn))
        built = build(data, chosen, out)
    except ValueError as error:
        refusal = str(error)
    if refusal is not None:
        assert trained == [], f"refused after training of {trained}: {refusal}"
        assert any(name in refusal for name in NAMES), refusal
        assert "\n" not in refusal
        assert ((out / "CURRENT").read_text() if out.exists() else None) == before
        return False
    assert data.rows.read == data.rows.kept + sum(data.rows.dropped.values())
    engine = Engine.load(out)
    known = data.users.ids.external(np.unique(data.log.user)[-1:]).tolist()
    pages = engine.recommend(known) + engine.recommend([type(known[0])()])
    assert pages[0].known
    assert [page.items for page in pages] == [
        page.items for page in built.engine.recommend(known) + built.engine.recommend([type(known[0])()])
    ]
    for page in pages:
        assert np.isfinite(page.scores).all()
        assert len(set(page.items)) == len(page.items)
    context = {name: [words[-1] if words else None] for name, words in data.context_names.items()}
    assert engine.recommend(known, context=context)[0].known
    assert engine.counters["unknown context words"] == 0
    if not pages[1].known:
        assert pages[1].items
    return True
