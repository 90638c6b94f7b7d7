"""The settings of a snapshot of format 1 as today's."""

from __future__ import annotations

from typing import Any

_TRAINED = ("two_tower", "matrix_completion")
_OF_ITEMCF = ("neighbours", "min_common")
_NETWORK = (
    *("embedding_dim", "experts", "expert_units", "head_units", "attention", "expert_dropout"),
    *("tower_units", "vector_dim", "upper_units"),
)


def settings_of(settings: dict[str, Any]) -> dict[str, Any]:
    """Quotas stood together, each trained channel had a section of its own, and training a seed of its own."""
    if "recall" not in settings:
        return settings
    recall = settings["recall"]
    rest = {name: value for name, value in settings.items() if name not in ("recall", *_TRAINED)}
    channels = {name: {"quota": quota} for name, quota in recall.items() if name not in ("total", *_OF_ITEMCF)}
    channels["itemcf"] |= {name: recall[name] for name in _OF_ITEMCF} | {"similarity": "cosine", "fading": 0}
    for name in _TRAINED:
        channels[name] |= {key: value for key, value in settings[name].items() if key != "seed"}
    rankers: dict[str, Any] = {name: _ranker(rest[name]) for name in ("preranker", "ranker") if name in rest}
    return {**rest, **rankers, "channels": channels, "merge": {"total": recall["total"]}}


def network_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Those of the network among the settings of a ranker, or of a pre-ranker."""
    return {name: settings[name] for name in _NETWORK if name in settings}


def _ranker(settings: dict[str, Any]) -> dict[str, Any]:
    """There was one network for each of the two, whose settings stood among the others."""
    network = network_settings(settings)
    rest = {name: value for name, value in settings.items() if name not in network}
    train = rest["train"] and {name: value for name, value in rest["train"].items() if name != "seed"}
    return {**rest, "train": train, "network": network}
