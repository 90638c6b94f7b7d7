"""Float64 arithmetic for the brute force of networks, each value with a bound on the error that float32 arithmetic may
make of it."""

from __future__ import annotations

import numpy as np
from bounds import U, within


class Value:
    """A float64 array and a bound on the error of its float32 counterpart."""

    def __init__(self, value, error=None):
        self.value = np.asarray(value, np.float64)
        self.error = np.zeros_like(self.value) if error is None else error

    def __getitem__(self, index):
        return Value(self.value[index], self.error[index])

    def plus(self, other):
        value = self.value + other.value
        return Value(value, (self.error + other.error) * (1 + U) + U * np.abs(value))

    def times(self, other):
        value = self.value * other.value
        error = self.error * np.abs(other.value) + other.error * np.abs(self.value) + self.error * other.error
        return Value(value, error * (1 + U) + U * np.abs(value))

    def through(self, weight, start=None):
        """start + self @ weight, summed one product after another with fused multiply-adds."""
        weight = np.asarray(weight, np.float64)
        start = Value(np.zeros(weight.shape[1])) if start is None else start
        size = np.abs(start.value) + (np.abs(self.value) + self.error) @ np.abs(weight)
        rounding = (len(weight) + 1) * U * (size + start.error)
        return Value(start.value + self.value @ weight, start.error + self.error @ np.abs(weight) + rounding)

    def relu(self):
        return Value(np.maximum(self.value, 0), self.error)

    def softmax(self):
        """exp is good to 4 roundings; a common shift of the logits changes nothing but their own rounding."""
        value = np.exp(self.value - self.value.max())
        value = value / value.sum()
        worst = 2 * self.error.max() + U * np.ptp(self.value)
        return Value(value, value * (np.expm1(worst) + (len(value) + 12) * U) + 1e-37)


def close(got, want):
    """Whether `got` (float32) lies within the bound of every Value of `want`."""
    return within(got, want.value, want.error)


def join(*values):
    return Value(np.concatenate([v.value for v in values]), np.concatenate([v.error for v in values]))


def float32(rng, *shape, scale=1.0):
    return (rng.standard_normal(shape) * scale).astype(np.float32)
