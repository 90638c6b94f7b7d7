"""Profiling: where a funnel's time goes, as a table, a trace and a flame graph."""

from headrace.profiling.output import check_folder, print_profile, write
from headrace.profiling.profile import Load, Profile, profile

__all__ = ["Load", "Profile", "check_folder", "print_profile", "profile", "write"]
