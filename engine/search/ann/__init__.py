"""Approximate search: FAISS or hashing finds candidates, float64 decides among them."""

from headrace.search.ann.index import AnnIndex
from headrace.search.ann.settings import METHODS

__all__ = ["METHODS", "AnnIndex"]
