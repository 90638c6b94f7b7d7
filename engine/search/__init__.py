"""Search: approximate top-k."""
