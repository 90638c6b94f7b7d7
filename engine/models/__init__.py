"""Ranking networks, one file each, in plain torch: each learns every target of every candidate at once."""

from headrace.models.base import MODELS, Model, WithPrior, model

__all__ = ["MODELS", "Model", "WithPrior", "model"]
