"""Peers that need more than a few lines, as their users would write and tune them."""
