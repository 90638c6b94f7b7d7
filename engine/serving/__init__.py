"""Serving: the engine that answers requests from a snapshot."""

from headrace.serving.engine import Engine

__all__ = ["Engine"]
