import pytest
from pydantic import ValidationError

from headrace.models import MODELS
from headrace.ranking import PreRankerSettings, RankerSettings
from headrace.ranking.settings import RankerTrain, train_settings


def test_the_defaults_are_the_models():
    assert RankerSettings().network == MODELS["mmoe"].Settings()
    assert PreRankerSettings().network == MODELS["three_towers"].Settings()


def test_the_networks_settings_are_the_models_own():
    given = {"model": "three_towers", "network": {"vector_dim": 5}}
    settings = RankerSettings.model_validate(given)
    assert settings.network == MODELS["three_towers"].Settings(vector_dim=5)
    assert RankerSettings.model_validate_json(settings.model_dump_json()) == settings
    with pytest.raises(ValidationError, match=r"network\n.*expected one of embedding_dim, .*, got 'expert_units'"):
        RankerSettings.model_validate({"model": "three_towers", "network": {"expert_units": [4, 4]}})
    with pytest.raises(ValidationError, match="experts: Input should be greater than or equal to 1, got 0"):
        RankerSettings(network={"experts": 0})


def test_an_unknown_model_is_refused():
    with pytest.raises(ValidationError, match=r"model\n.*expected one of .*mmoe.*, got 'mmo'"):
        RankerSettings(model="mmo")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"weights": {"likes": 1.0}}, r"weights\.likes\..*\n.*expected one of impression, .*play_time, got 'likes'"),
        ({"negative_rate": {"clicks": 0.5}}, r"negative_rate\.clicks\..*\n.*expected one of .*, got 'clicks'"),
        ({"negative_rate": {"click": 0.0}}, "greater than 0"),
        ({"negative_rate": {"click": 1.5}}, "less than or equal to 1"),
        ({"leave_out": ["time"]}, r"leave_out\.0\n.*expected one of .*, got 'time'"),
        ({"experts": 3}, "experts"),
    ],
)
def test_what_is_not_known_is_refused(given, words):
    for kind in (RankerSettings, PreRankerSettings):
        with pytest.raises(ValidationError, match=words):
            kind.model_validate(given)


@pytest.mark.parametrize(("rows", "batch"), [(0, 512), (255, 512), (200_000, 512), (1 << 19, 2048), (1 << 24, 8192)])
def test_training_by_the_size_of_the_log(rows, batch):
    assert train_settings(RankerSettings(), rows).batch_size == batch
    assert 1 <= train_settings(RankerSettings(), rows, watched=False).epochs <= 3
    assert train_settings(RankerSettings(), rows).epochs == {0: 20, 255: 20, 200_000: 10, 1 << 19: 4, 1 << 24: 1}[rows]
    given = RankerTrain(batch_size=7)
    assert train_settings(RankerSettings(train=given), rows) == given
