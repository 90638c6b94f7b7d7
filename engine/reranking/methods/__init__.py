"""Re-ranking methods, one file each: how the items of a page are picked."""

from headrace.reranking.methods.method import METHODS, Method, method

__all__ = ["METHODS", "Method", "method"]
