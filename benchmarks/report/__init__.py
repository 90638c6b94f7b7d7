"""The page of `headrace bench report`, and the table in the README."""

from headrace.benchmarks.report.page import page_of
from headrace.benchmarks.report.readme import markdown, rewrite

__all__ = ["markdown", "page_of", "rewrite"]
