"""The two-tower channel. What the towers read is in `features.py`, what they learn in `objective.py`."""

from headrace.channels.two_tower.channel import TwoTower

__all__ = ["TwoTower"]
