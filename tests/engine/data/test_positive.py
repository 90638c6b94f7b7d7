"""What counts as wanted: signals, points of interest, numbers from a threshold on."""

import numpy as np
import pytest

from headrace.data import InteractionLog
from headrace.data.positive import INTERESTED, Positive


def log_of(**signals):
    n = len(next(iter(signals.values()))) if signals else 3
    return InteractionLog(
        np.zeros(n, np.int32),
        np.arange(n, dtype=np.int32),
        np.arange(n, dtype=np.int64),
        {name: np.array(column, np.int8) for name, column in signals.items()},
        play_time_ms=np.array([5, -1, 20, 7][:n], np.int32),
    )


def test_signals_points_and_spans():
    log = log_of(click=[1, 0, 1, -1], like=[0, 0, 1, 1], completion=[0, 1, 0, 0])
    assert INTERESTED.of(log).tolist() == [True, False, True, True]
    assert Positive.parse("interest>=2").of(log).tolist() == [False, False, True, False]
    assert Positive.parse("click").of(log).tolist() == [True, False, True, False]
    assert Positive.parse("completion").of(log).tolist() == [False, True, False, False]
    assert Positive.parse("play_time_ms >= 7").of(log).tolist() == [False, False, True, True]
    assert INTERESTED.values(log).tolist() == [1, 0, 2, 1]


def test_a_log_without_interest_means_every_row_that_was_shown():
    assert INTERESTED.of(log_of()).all()
    assert INTERESTED.of(log_of(impression=[1, 0, -1])).tolist() == [True, False, True]


def test_words_come_back():
    assert [str(Positive.parse(text)) for text in ("click", "interest>=2", "play_time_ms>=0.5")] == [
        "click",
        "interest>=2",
        "play_time_ms>=0.5",
    ]


@pytest.mark.parametrize("text", ["", "stars>=4", "click>4", "click>=", "click>=x", "click,like"])
def test_other_forms_are_refused(text):
    with pytest.raises(ValueError, match="positive: expected NAME or NAME>=NUMBER with a name of interest, impression"):
        Positive.parse(text)


def test_a_column_that_the_log_lacks_is_named():
    with pytest.raises(ValueError, match="expected one of interest, click, play_time_ms, which the log has, got like"):
        Positive.parse("like").of(log_of(click=[1]))
