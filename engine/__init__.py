"""Headrace: a recommender engine in which every stage of the funnel is one batched kernel."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.serving.engine import Engine

__version__ = "0.1.0"
__all__ = ["Engine"]


def __getattr__(name: str) -> Any:
    """Loads the engine on first use, so that `import headrace.kernels` stays light."""
    if name == "Engine":
        from headrace.serving.engine import Engine

        return Engine
    raise AttributeError(f"module 'headrace' has no attribute {name!r}")
