"""Load on an engine in this process or on an HTTP endpoint of this machine: how fast, how late, and up to what load."""

from headrace.loadtest.endpoint import HttpTarget
from headrace.loadtest.measure import measure
from headrace.loadtest.model import LoadReport, Plan
from headrace.loadtest.page import print_load, write_load
from headrace.loadtest.targets import EngineTarget, Target, Users

__all__ = [
    "EngineTarget",
    "HttpTarget",
    "LoadReport",
    "Plan",
    "Target",
    "Users",
    "measure",
    "print_load",
    "write_load",
]
