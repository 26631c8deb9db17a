"""A histogram whose observations can be taken back."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


class Histogram:
    """Counts of values at or below each of `bounds` (ascending; +Inf is implied), and their sum.

    `counts[i]` is the number of values above `bounds[i-1]` and at or below `bounds[i]`; the last is +Inf's.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum: float = 0

    def observe(self, value: float, times: int = 1) -> None:
        """Count `value`; `times` -1 takes an earlier observation of the same value back."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times
