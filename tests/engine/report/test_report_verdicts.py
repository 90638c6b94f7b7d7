"""The sentences say what the numbers say, good or bad."""

from dataclasses import replace

import pytest

from headrace.report import Report
from headrace.report.model import (
    Diversity,
    DiversityRow,
    Exposure,
    FalsePositives,
    Funnel,
    Machine,
    Quality,
    QualityRow,
    Target,
)
from headrace.report.verdicts import headline, reward_given_up, verdicts

MACHINE = Machine("x", 4, 1)


def report(**parts):
    return Report("a run", "2024-01-01", "0", MACHINE, **parts)


def row(name, recall, kind="channel", personalised=True):
    return QualityRow(name, kind, personalised, recall, 0.1, 0.1, 0.1)


def quality(*rows, requests=10_000):
    return Quality([*rows, row("popularity", 0.2, "baseline", False)], requests, "a day")


@pytest.mark.parametrize(
    ("recall", "good", "words"),
    [
        (0.3, True, "swing (channel) beats popularity: recall@50 30.0% against 20.0%."),
        (0.1, False, "swing (channel) does not beat popularity: recall@50 10.0% against 20.0%."),
        (0.2, False, "does not beat popularity"),
        (0.205, None, "a gap that 10,000 requests can't tell from chance (±1.1%)"),
    ],
)
def test_channel_against_popularity(recall, good, words):
    (verdict,) = verdicts(report(quality=quality(row("swing", recall))))
    assert verdict.good is good
    assert words in verdict.text


def test_only_personalised_rows_are_held_against_popularity():
    assert verdicts(report(quality=quality(row("fresh", 0.01, personalised=False)))) == []
    assert verdicts(report(quality=Quality([row("swing", 0.3)], 10, "a day"))) == []
    assert verdicts(report(quality=quality(row("swing", float("nan"))))) == []


def test_winning_channels_share_a_sentence_and_losers_do_not():
    rows = [row("a", 0.4), row("b", 0.1), row("c", 0.5), row("merge", 0.6, "merge")]
    said = [(v.text, v.good) for v in verdicts(report(quality=quality(*rows)))]
    assert said == [
        ("a and c beat popularity: recall@50 40.0% and 50.0% against 20.0%.", True),
        ("b (channel) does not beat popularity: recall@50 10.0% against 20.0%.", False),
        ("merge beats popularity: recall@50 60.0% against 20.0%.", True),
    ]


def test_headline():
    rows = [row("a", 0.4), row("merge", 0.3, "merge")]
    speed = Funnel([], 10, 5, 1234.4)
    assert headline(report(quality=quality(*rows), funnel=speed)) == (
        "The first 50 after the merge hold 30.0% of what users went on to want, 1.50 times popularity's 20.0%; "
        "1,234 requests/s through the whole funnel (cpu, 1 thread)."
    )
    assert "not above popularity's 20.0%." in headline(report(quality=quality(row("a", 0.1))))
    assert headline(report()) == "a run"


@pytest.mark.parametrize(
    ("auc", "calibration", "expected"),
    [
        (0.7, 1.05, [("like: the model beats its best baseline, user mean: AUC 0.700 against 0.600.", True)]),
        (0.6, 1.0, [("like: the model does not beat its best baseline, user mean: AUC 0.600 against 0.600.", False)]),
        (None, 1.3, [("like: it predicts 30% more than happened.", False)]),
        (None, 0.5, [("like: it predicts 50% less than happened.", False)]),
        (None, None, [("like: no positives in the held-out rows; nothing can be said.", None)]),
    ],
)
def test_targets(auc, calibration, expected):
    target = Target("like", auc, None, calibration, 0, 10, {"item popularity": 0.55, "user mean": 0.6, "none": None})
    assert [(v.text, v.good) for v in verdicts(report(targets=[target]))] == expected


def test_diversity():
    plain, varied = DiversityRow("order", 0.4, 1, 1, 2.0), DiversityRow("DPP", 0.5, 1, 1, 1.9)
    assert reward_given_up(varied, plain) == pytest.approx(0.05)
    assert reward_given_up(replace(varied, mean_reward=None), plain) is None
    assert reward_given_up(varied, replace(plain, mean_reward=0.0)) is None
    (verdict,) = verdicts(report(diversity=Diversity([plain, varied], 10, 5)))
    assert verdict.good
    assert "0.400 to 0.500, 5.0% of the reward given up" in verdict.text
    (verdict,) = verdicts(report(diversity=Diversity([varied, plain], 10, 5)))
    assert verdict.good is False
    assert "5.3% of the reward gained" in verdict.text


def test_exposure():
    exact = FalsePositives("exact", 0.01, 0.0101, 10_000)
    good = Exposure([exact], seen_shown=0, shown=5, false_negatives=0, seen_probes=5)
    assert [v.good for v in verdicts(report(exposure=good))] == [True, True, True]
    bad = Exposure([replace(exact, measured=0.02)], seen_shown=2, shown=5, false_negatives=1, seen_probes=5)
    assert [v.good for v in verdicts(report(exposure=bad))] == [False, False, False]
    assert "2 seen items shown again among 5 items shown; there must be none" in verdicts(report(exposure=bad))[0].text
    nothing = Exposure([replace(exact, probes=0)], seen_shown=0, shown=0, false_negatives=0, seen_probes=0)
    assert [v.good for v in verdicts(report(exposure=nothing))] == [None, None]
