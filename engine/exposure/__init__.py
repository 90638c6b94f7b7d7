"""What each user has been shown, and what keeps it from being shown again."""

from headrace.exposure.bars import Bars
from headrace.exposure.filter import ExposureFilter
from headrace.exposure.stock import Stock

__all__ = ["Bars", "ExposureFilter", "Stock"]
