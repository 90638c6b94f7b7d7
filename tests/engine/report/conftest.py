"""A full report of made-up numbers: plausible, measured nowhere, for looking at tables and pages only."""

import math

import pytest

from headrace.report.model import (
    Curve,
    DatasetSummary,
    Diversity,
    DiversityRow,
    Exposure,
    FalsePositives,
    Funnel,
    Machine,
    Quality,
    QualityRow,
    Recall,
    RecallRow,
    ReliabilityBin,
    Report,
    Stage,
    Target,
    Training,
)


def made_up_funnel():
    return Funnel(
        stages=[
            Stage("recall", 7583.0, 1873.4, 0.081, 0.122, 0.33),
            Stage("merge", 1873.4, 1204.6, 0.021, 0.034, 0.08),
            Stage("exposure filter", 1204.6, 1101.2, 0.0093, 0.015, 0.04),
            Stage("pre-ranking", 1101.2, 300.0, 0.038, 0.061, 0.15),
            Stage("ranking", 300.0, 300.0, 0.077, 0.109, 0.31),
            Stage("re-ranking (DPP)", 300.0, 50.0, 0.022, 0.031, 0.09),
        ],
        requests=20_000,
        batch_size=256,
        requests_per_second=3941.7,
    )


def made_up_recall():
    return Recall(
        rows=[
            RecallRow("item CF", 500, 311.0, 0.41, 0.0213),
            RecallRow("fresh <items>", 100, 100.0, 0.04, 0.0),
            RecallRow("silent", 100, 0.0, 0.0, 0.0),
        ],
        requests=17_204,
        together=0.423,
        overlap=[[1.0, 0.04, 0.0], [0.125, 1.0, 0.0], [None, None, None]],
        lengths=[1, 10, 100, 500],
        curves=[[0.01, 0.08, 0.29, 0.41], [0.0, 0.01, 0.04, 0.04], [0.0, 0.0, 0.0, 0.0]],
    )


def made_up_quality():
    return Quality(
        rows=[
            QualityRow("item CF", "channel", True, 0.214, 0.131, 0.612, 0.481),
            QualityRow("Swing", "channel", True, 0.198, 0.122, 0.588, 0.392),
            QualityRow("two-tower", "channel", True, 0.187, 0.109, 0.571, 0.655),
            QualityRow("deep retrieval", "channel", True, 0.098, 0.052, 0.391, 0.702),
            QualityRow("followed authors", "channel", True, 0.1275, 0.071, 0.402, 0.118),
            QualityRow("fresh items", "channel", False, 0.012, 0.006, 0.061, 0.021),
            QualityRow("merge", "merge", True, 0.221, 0.134, 0.624, 0.588),
            QualityRow("after ranking", "ranking", True, 0.247, 0.158, 0.659, 0.434),
            QualityRow("after re-ranking", "reranking", True, 0.239, 0.149, 0.651, 0.467),
            QualityRow("popularity", "baseline", False, 0.126, 0.073, 0.433, 0.0066),
            QualityRow("random", "baseline", False, 0.0066, 0.0034, 0.041, 1.0),
        ],
        requests=17_204,
        held_out="2022-05-07 and 2022-05-08",
        truth="items the user clicked",
    )


def made_up_targets():
    def bins(rates, bend):
        return [ReliabilityBin(r, r * (1 + bend * (i - 4.5) / 9), 21_000) for i, r in enumerate(rates)]

    return [
        Target(
            name,
            auc,
            gauc,
            calibration,
            positives,
            210_000,
            {"item popularity": popularity, "user mean": mean},
            bins([top * (i + 0.6) ** 1.6 / 40 for i in range(10)], bend),
        )
        for name, auc, gauc, calibration, positives, popularity, mean, top, bend in [
            ("click", 0.7412, 0.6433, 1.02, 68_123, 0.6321, 0.6902, 0.8, 0.1),
            ("like", 0.8121, 0.5732, 1.18, 3120, 0.7011, 0.8204, 0.06, -0.4),
            ("completion", 0.7633, 0.6121, 0.97, 51_230, 0.6904, 0.6533, 0.7, 0.2),
            ("follow", math.nan, None, math.nan, 0, None, None, 0.004, 0.0),
        ]
    ]


def made_up_diversity():
    return Diversity(
        rows=[
            DiversityRow("ranking order", 0.412, 11.2, 5.31, 1.284, 41.2),
            DiversityRow("DPP θ=0.9", 0.521, 14.7, 3.62, 1.271, 43.3),
            DiversityRow("DPP θ=0.5", 0.634, 19.8, 2.11, 1.219, 45.8),
            DiversityRow("DPP θ=0.1", 0.688, 22.4, 1.64, 1.102, 47.1),
        ],
        page_size=50,
        pages=17_204,
    )


def made_up_training():
    steps = [float(i) for i in range(0, 2000, 2)]

    def loss(low, high, speed, wave=0.0):
        return [low + (high - low) * math.exp(-s / speed) + wave * math.sin(s * 1.7) for s in steps]

    return [
        Training(
            "two-tower",
            1_214_208,
            4_300_000,
            141.2,
            6.2131,
            [Curve("training", steps, loss(6.2, 9.0, 300, 0.05))],
            "batch",
            "sampled softmax loss",
        ),
        Training(
            "ranker",
            842_113,
            1_140_000,
            88.4,
            0.5312,
            [
                Curve("training", steps, loss(0.52, 0.69, 400, 0.004)),
                Curve("validation", steps[::250], loss(0.534, 0.69, 350)[::250]),
            ],
            "batch",
            "mean log loss of all targets",
            "MMoE",
            2.5,
            1.5,
            {"loss": 0.5351, "click AUC": 0.7123},
        ),
    ]


def made_up_report():
    return Report(
        title="Made-up numbers for the tests of the report",
        created="2024-01-02T03:04:05+00:00",
        version="0.0.0",
        machine=Machine(
            "Made-up Processor 9000 @ 3.00GHz", 2, 2, "cpu", "avx512", 15.6, {"torch": "2.13.0", "python": "3.12.1"}
        ),
        dataset=DatasetSummary(
            "made-up log",
            users=27_285,
            items=7583,
            events=1_436_609,
            first_ms=1_649_347_200_000,
            last_ms=1_652_054_399_000,
            rows_read=1_442_011,
            rows_kept=1_436_609,
            dropped={"unknown item": 4102, "time out of range": 1300},
            signals={"click": 543_211, "like": 21_402, "follow": 1201, "completion": 402_113},
        ),
        funnel=made_up_funnel(),
        quality=made_up_quality(),
        recall=made_up_recall(),
        targets=made_up_targets(),
        diversity=made_up_diversity(),
        exposure=Exposure(
            filters=[
                FalsePositives("split-block filter", 0.01, 0.00987, 1_000_000, 5120.0),
                FalsePositives("after ageing", 0.01, 0.01132, 1_000_000, 5120.0),
            ],
            seen_shown=0,
            shown=860_200,
            false_negatives=0,
            seen_probes=1_140_212,
        ),
        training=made_up_training(),
        settings={"seed": 7, "dpp": {"theta": 0.5, "window": None}, "targets": ["click", "like"], "device": "cpu"},
        notes=["Every number here is made up.", 'Escaping is tested with <b>tags</b> & "quotes".'],
    )


@pytest.fixture
def full_report():
    return made_up_report()
