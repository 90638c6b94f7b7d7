"""The index of top-k: a catalogue that is searched often, as segments that change and as a file."""

from headrace.kernels.index.index import TopKIndex

__all__ = ["TopKIndex"]
