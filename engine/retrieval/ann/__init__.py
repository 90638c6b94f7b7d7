"""Approximate search: FAISS or hashing finds candidates, float64 decides among them."""

from headrace.retrieval.ann.index import AnnIndex
from headrace.retrieval.ann.settings import METHODS

__all__ = ["METHODS", "AnnIndex"]
