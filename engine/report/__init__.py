"""What a run measured: one record (`Report`), printed as tables or written as one HTML page."""

from headrace.report.html import render_html, write_html
from headrace.report.model import Report
from headrace.report.terminal import print_report

__all__ = ["Report", "print_report", "render_html", "write_html"]
