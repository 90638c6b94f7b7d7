"""Headrace: a recommender engine in which every stage of the funnel is one batched kernel."""

__version__ = "0.1.0"
