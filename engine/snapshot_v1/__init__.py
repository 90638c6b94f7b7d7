"""Snapshots of format 1, read as today's: no class of theirs is left, their tensors are put in order anew."""

from headrace.snapshot_v1.migration import migrate

__all__ = ["migrate"]
