"""Words of categorical columns: kept in the snapshot, named at serving, and the same codes in the next log."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tiny
import torch
from tiny import ROWS, TINY

from headrace.build import build
from headrace.data import Dataset, Jagged, generate, read
from headrace.data.words import realigned, words_of
from headrace.features.families.words import Words
from headrace.models.blocks import FieldEmbedding
from headrace.serving import Engine

DEVICES = ["phone", "desktop", "tablet", ""]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("words")
    rng = np.random.default_rng(0)
    log = tiny.write(
        made / "log",
        click=(rng.random(ROWS) < 0.4).astype(np.int8),
        context_device=pa.array([None if code == 4 else DEVICES[code] for code in rng.integers(0, 5, ROWS)]),
        context_tab=rng.integers(0, 3, ROWS),
        context_hour=rng.integers(0, 24, ROWS),
    )
    build(read(log), TINY, made / "snapshot")
    return made


@pytest.fixture
def engine(folder: Path) -> Engine:
    return Engine.load(folder / "snapshot")


def asked(engine: Engine, **context: Any) -> dict[str, list[int]]:
    count = len(next(iter(context.values())))
    found = engine.requests(np.zeros(count, np.int64), context=context).context
    return {name: codes.tolist() for name, codes in found.items()}


def test_a_word_is_the_code_that_training_gave_it(engine: Engine, folder: Path) -> None:
    names = read(folder / "log").context_names["device"]
    assert asked(engine, device=["phone", "", "tablet"])["device"] == [names.index(w) for w in ("phone", "", "tablet")]
    by_word = engine.recommend([1, 2], context={"device": ["phone", "tablet"], "tab": [0, 2]})
    codes = [names.index("phone"), names.index("tablet")]
    by_code = engine.recommend([1, 2], context={"device": codes, "tab": np.array([0, 2], np.int32)})
    assert [(p.items, p.scores) for p in by_word] == [(p.items, p.scores) for p in by_code]


def test_an_unknown_word_is_unknown_and_counted(engine: Engine) -> None:
    assert asked(engine, device=["fridge", "phone", None, "Phone"])["device"][::2] == [-1, -1]
    assert engine.counters["unknown context words"] == 2
    pages = [engine.recommend([1], context={"device": given})[0].scores for given in (["fridge"], [None], [-1])]
    assert pages[0] == pages[1] == pages[2] == engine.recommend([1])[0].scores
    assert engine.counters["unknown context words"] == 3


@pytest.mark.parametrize(
    ("context", "error", "match"),
    [
        ({"devise": ["phone"]}, ValueError, "context: expected names of .*device.*, got str 'devise'"),
        ({"context_device": ["phone"]}, ValueError, "got str 'context_device'"),
        (
            {"tab": [3]},
            ValueError,
            r"context\['tab'\]: expected codes from 0 to 2, or -1 for unknown, got 3 at position 0",
        ),
        ({"tab": [-2]}, ValueError, "got -2 at position 0"),
        ({"device": [4]}, ValueError, "codes from 0 to 3"),
        ({"hour": [24]}, ValueError, "codes from 0 to 23"),
        ({"weekday": [7]}, ValueError, "codes from 0 to 6"),
        ({"tab": [2**70]}, TypeError, "words or whole numbers"),
        ({"tab": [1.9]}, TypeError, r"context\['tab'\]: expected words or whole numbers, one a user, got list \[1.9\]"),
        ({"tab": np.array([1.0])}, TypeError, "words or whole numbers"),
        ({"tab": [True]}, TypeError, "words or whole numbers"),
        ({"tab": ["1"]}, TypeError, "expected codes, as the log had no words for it"),
        ({"device": ["phone", "tablet"]}, ValueError, "expected 1 values, one a user, got 2"),
        ({"device": [b"phone"]}, TypeError, "words or whole numbers"),
    ],
)
def test_mistakes_are_told(engine: Engine, context: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        engine.recommend([1], context=context)


def test_words_and_numbers_do_not_mix(engine: Engine) -> None:
    with pytest.raises(TypeError, match="words or whole numbers"):
        engine.recommend([1, 2], context={"device": ["phone", 1]})


def test_the_clock_is_a_context_too(engine: Engine) -> None:
    assert asked(engine, hour=[0, 23, -1], weekday=torch.tensor([0, 6, -1])) == {
        "hour": [0, 23, -1],
        "weekday": [0, 6, -1],
    }


def test_all_words_come_back_from_the_snapshot(engine: Engine, folder: Path) -> None:
    kept = engine.funnel.ranker.store.family(Words)
    assert kept is not None
    assert kept.vocabulary() == words_of(read(folder / "log"))
    odd = Words(
        {("item", "a/b"): pa.array(["é", "", "😀"], pa.large_string()), ("user", ""): pa.array([], pa.large_string())}
    )
    assert Words.from_state(odd.state()).vocabulary() == odd.vocabulary()


def decoded(data: Dataset) -> list[Any]:
    """Every categorical column in words."""

    def text(codes: np.ndarray, words: list[str]) -> list[str | None]:
        return [None if code < 0 else words[code] for code in codes.tolist()]

    items = data.catalogue
    assert items.author is not None
    assert items.category is not None
    return [
        text(data.log.context["device"], data.context_names["device"]),
        text(items.author, items.names["author"]),
        (text(items.category.values, items.names["category"]), items.category.offsets.tolist()),
        {name: text(codes, data.users.names[name]) for name, codes in data.users.features.items()},
    ]


def test_realigned_codes_mean_the_same_and_known_words_keep_theirs() -> None:
    data = generate(30, 40, 300, seed=1).dataset
    data = replace(
        data,
        catalogue=replace(
            data.catalogue,
            author=np.arange(40, dtype=np.int32) % 6 - 1,
            category=Jagged(np.arange(41), np.arange(40, dtype=np.int32) % 3),
            names={"author": list("abcde"), "category": ["x", "y", "z"]},
        ),
        users=replace(data.users, features={"sex": np.arange(30, dtype=np.int32) % 3 - 1}, names={"sex": ["f", "m"]}),
    )
    earlier = {
        ("context", "device"): ["watch", *data.context_names["device"][::-1]],
        ("item", "author"): ["e", "gone", "a"],
        ("user", "sex"): ["m"],
        ("user", "other"): ["q"],
    }
    moved = realigned(data, earlier)
    assert decoded(moved) == decoded(data)
    assert moved.catalogue.names["author"] == ["e", "gone", "a", "b", "c", "d"]
    assert moved.users.names == {"sex": ["m", "f"]}
    assert moved.context_names["device"] == earlier["context", "device"]
    assert decoded(realigned(data, {})) == decoded(data)


def test_a_new_word_shifts_nothing_in_a_warm_build(engine: Engine, folder: Path, tmp_path: Path) -> None:
    """ "alarm" comes before all others by the alphabet; the embeddings of the others start where they were."""
    data = read(folder / "log")
    words = [data.context_names["device"][code] if code >= 0 else None for code in data.log.context["device"]]
    words[-30:] = ["alarm"] * 30
    rows = {name: data.log.context[name] for name in ("tab", "hour")}
    new = tiny.write(
        tmp_path / "log",
        click=data.log.signals["click"],
        context_device=pa.array(words, pa.string()),
        **{f"context_{name}": codes for name, codes in rows.items()},
    )
    still = {"train": {"learning_rate": 1e-12, "embedding_learning_rate": 1e-12}}
    chosen = TINY.model_validate(TINY.model_dump(mode="json") | {"ranker": TINY.ranker.model_dump(mode="json") | still})
    warm = build(read(new), chosen, tmp_path / "snapshot", warm=engine).engine
    for word in DEVICES:
        assert asked(warm, device=[word]) == asked(engine, device=[word])
    assert asked(warm, device=["alarm"]) == {"device": [4]}

    def of(one: Engine) -> torch.Tensor:
        tables = [module for module in one.funnel.ranker.network.modules() if isinstance(module, FieldEmbedding)]
        (table,) = (t for t in tables if any(field.name == "context_device" for field in t.fields))
        place = [field.name for field in table.fields].index("context_device")
        return table.table.weight[int(table.starts[place]) :][1:5].detach()

    assert torch.equal(of(warm), of(engine))


def test_a_snapshot_without_words_takes_codes(engine: Engine) -> None:
    engine.funnel.ranker.store.families.pop("words")
    assert asked(engine, device=[1]) == {"device": [1]}
    with pytest.raises(TypeError, match="expected codes, as the log had no words"):
        engine.recommend([1], context={"device": ["phone"]})
