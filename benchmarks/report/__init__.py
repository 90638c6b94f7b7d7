"""The page of `headrace bench report`, and the tables in the README and in docs/kernels."""

from headrace.benchmarks.report.op_table import op_markdown
from headrace.benchmarks.report.page import page_of
from headrace.benchmarks.report.readme import markdown, rewrite

__all__ = ["markdown", "op_markdown", "page_of", "rewrite"]
