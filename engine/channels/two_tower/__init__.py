"""The two-tower channel."""
