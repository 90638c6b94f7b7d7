import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.channels.shared.history import UserHistory

POINTS = ("click", "like", "collect", "share", "follow", "comment")


def rows_of(history, user):
    a, b = history.offsets[user], history.offsets[user + 1]
    return list(
        zip(history.item[a:b].tolist(), history.interest[a:b].tolist(), history.time[a:b].tolist(), strict=True)
    )


def brute(logs, users, last):
    """Replay the rows one by one; later logs come later at equal times."""
    rows = [(int(log.time[i]), log, i) for log in logs for i in range(len(log))]
    rows.sort(key=lambda row: row[0])
    found = [{} for _ in range(users)]
    for time, log, i in rows:
        points = sum(int(log.signals[name][i] == 1) for name in POINTS if name in log.signals)
        if points:
            mine = found[log.user[i]]
            interest, _ = mine.pop(int(log.item[i]), (0, 0))
            mine[int(log.item[i])] = (interest + points, time)
    return [[(item, *value) for item, value in reversed(mine.items())][:last] for mine in found]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.sampled_from([0, 1, 7, 63, 200]), last=st.sampled_from([1, 2, 5, 200]))
def test_equals_a_replay_of_the_rows(small, seed, rows, last):
    logs = [small.random_log(seed, rows=rows), small.random_log(seed + 1, rows=31, names=("click",))]
    history = UserHistory.build(logs, 9, last)
    assert [rows_of(history, user) for user in range(9)] == brute(logs, 9, last)
    assert (history.offsets.dtype, history.item.dtype) == (torch.int64, torch.int64)
    assert (history.interest.dtype, history.time.dtype) == (torch.float32, torch.int64)


def test_points_add_up_and_only_interest_counts(small):
    log = small.log([0, 0, 0, 0], [3, 4, 3, 5], click=[1, 0, 1, -1], like=[1, 0, 0, -1], impression=[1, 1, 1, 1])
    assert rows_of(UserHistory.build([log], 1), 0) == [(3, 3.0, 2)]


def test_at_equal_times_the_later_row_is_newer(small):
    log = small.log([0, 0, 0], [5, 2, 9], [7, 7, 7], click=[1, 1, 1])
    older = small.log([0], [1], [7], click=[1])
    history = UserHistory.build([older, log], 1)
    assert history.item.tolist() == [9, 2, 5, 1]


def test_an_older_history_joins_the_log_whatever_the_order_given(small):
    new, old = small.log([0], [1], [9], click=[1]), small.log([0, 0], [1, 2], [3, 4], like=[1, 1])
    assert rows_of(UserHistory.build([new, old], 1), 0) == [(1, 2.0, 9), (2, 1.0, 4)]


def test_no_logs_and_no_rows(small):
    for logs in ([], [small.log([], [], click=[])]):
        history = UserHistory.build(logs, 3)
        assert history.offsets.tolist() == [0, 0, 0, 0]
        assert len(history) == 3


def test_state_round_trip(small):
    history = UserHistory.build([small.random_log(3)], 7)
    again = UserHistory.from_state(history.state())
    assert all(torch.equal(again.state()[name], tensor) for name, tensor in history.state().tensors.items())


def test_errors_name_what_came(small):
    log = small.log([0, 2], [1, 4], click=[1, 1])
    with pytest.raises(ValueError, match="last: expected at least 1, got 0"):
        UserHistory.build([log], 3, last=0)
    with pytest.raises(ValueError, match="expected user rows from 0 to 1, got 0 to 2"):
        UserHistory.build([log], 2)
    with pytest.raises(ValueError, match="expected item rows from 0 to 3, got 1 to 4"):
        UserHistory.build([log], 3, items=4)
    with pytest.raises(ValueError, match="expected user rows"):
        UserHistory.build([small.log([-1], [0], click=[1])], 3)
