"""The record of a run goes to JSON and comes back whole."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from headrace.data.dataset import Catalogue, Dataset, InteractionLog, RowReport, Users
from headrace.data.ids import IdMap
from headrace.report import Report
from headrace.report.model import Curve, DatasetSummary, Machine


def test_json_and_back(full_report):
    text = full_report.to_json()
    again = Report.from_json(text)
    assert again.to_json() == text
    assert again.funnel == full_report.funnel
    assert again.diversity == full_report.diversity
    assert again.settings == full_report.settings


def test_what_is_not_finite_becomes_null(full_report):
    text = full_report.to_json()
    assert "NaN" not in text
    target = json.loads(text)["targets"][3]
    assert target["name"] == "follow"
    assert target["calibration"] is None
    assert Report.from_json(text).targets[3].calibration is None


def test_a_report_needs_only_its_machine():
    small = Report("nothing measured", "2024-01-01", "0", Machine("x", 1, 1))
    assert Report.from_json(small.to_json()) == small


def test_wrong_json_is_named(full_report):
    broken = json.loads(full_report.to_json())
    del broken["machine"]
    broken["funnel"]["requests"] = "many"
    with pytest.raises(ValueError, match=r"(?s)funnel\.requests.*machine|machine.*funnel\.requests"):
        Report.from_json(json.dumps(broken))


def test_a_curve_has_a_value_for_each_step():
    with pytest.raises(ValueError, match="values: expected 2, one for each of steps, got 1"):
        Curve("training", [0.0, 1.0], [0.5])


def test_summary_of_a_dataset():
    log = InteractionLog(
        user=np.array([0, 1, 1], np.int32),
        item=np.array([2, 0, 1], np.int32),
        time=np.array([10, 20, 86_400_000], np.int64),
        signals={"click": np.array([1, -1, 0], np.int8), "like": np.array([1, 1, 0], np.int8)},
    )
    data = Dataset("tiny", Users(IdMap([5, 6])), Catalogue(IdMap([1, 2, 3])), log, rows=RowReport(4, 3, {"bad": 1}))
    got = DatasetSummary.of(data)
    assert got == DatasetSummary("tiny", 2, 3, 3, 10, 86_400_000, 4, 3, {"bad": 1}, {"click": 1, "like": 2})
    empty = DatasetSummary.of(replace(data, log=log.take(slice(0, 0))))
    assert (empty.events, empty.first_ms) == (0, None)
    assert not math.isnan(empty.signals["click"])
