"""Runs cases: verifies every provider's answer, times them in turn, and keeps rows with their provenance."""
