"""What each user has been shown, and the filter that keeps it from being shown again."""

from headrace.exposure.filter import ExposureFilter

__all__ = ["ExposureFilter"]
