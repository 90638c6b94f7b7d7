"""Kernels: one folder per op, with its contract, its reference and each backend."""
