"""Headrace: a recommender engine in which every stage of the funnel is one batched kernel.

This is the door, not a floor: nothing inside the package takes a name from it.
"""

from typing import TYPE_CHECKING, Any

from headrace.version import __version__

if TYPE_CHECKING:
    from headrace.serving.engine import Engine

__all__ = ["Engine", "__version__"]


def __getattr__(name: str) -> Any:
    """Loads the engine on first use, so that `import headrace.kernels` stays light."""
    if name == "Engine":
        from headrace.serving.engine import Engine

        return Engine
    raise AttributeError(f"module 'headrace' has no attribute {name!r}")
