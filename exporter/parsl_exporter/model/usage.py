"""What a try used, from its resource samples.

The cumulative columns belong to the worker process, which runs many tries one after another: a try used
max - min over its own samples. That, the peak and the latest sample do not depend on the samples' order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

USER, SYSTEM, READ, WRITTEN, VOLUNTARY, INVOLUNTARY = range(6)
CUMULATIVE = 6
"""The cumulative columns: CPU seconds (user, system), bytes (read, written), context switches (two kinds)."""


TOO_MUCH = 1e300
"""Sums of numbers between it and its negative hold neither infinity nor NaN."""


def usable(sample: Sequence[Any]) -> bool:
    """Say whether every value of a sample is NULL or a number that is less than `TOO_MUCH` either way."""
    return all(v is None or (isinstance(v, (int, float)) and -TOO_MUCH < v < TOO_MUCH) for v in sample)


class Usage:
    """The fold of one try's samples: each a stamp (microseconds), children, virtual, resident (bytes), cumulative.

    A column that was always NULL stays None. `cpu_from` and `cpu_to`: the least and the greatest stamp of the samples
    that have CPU time; 0 without any.
    """

    __slots__ = ("children", "cpu_from", "cpu_to", "high", "latest", "low", "peak", "resident", "virtual")

    def __init__(
        self,
        us: int,
        children: float | None,
        virtual: float | None,
        resident: float | None,
        cumulative: Sequence[float | None],
    ) -> None:
        self.latest = us
        self.children = children
        self.virtual = virtual
        self.resident = resident
        self.peak = resident
        self.low: Sequence[float | None] = cumulative
        self.high: Sequence[float | None] = cumulative
        self.cpu_from = self.cpu_to = us if _has_cpu(cumulative) else 0

    def add(
        self,
        us: int,
        children: float | None,
        virtual: float | None,
        resident: float | None,
        cumulative: Sequence[float | None],
    ) -> None:
        """Take one more sample."""
        if us >= self.latest:
            self.latest = us
            self.children = children
            self.virtual = virtual
            self.resident = resident
        if resident is not None and (self.peak is None or resident > self.peak):
            self.peak = resident
        if _has_cpu(cumulative):
            if us > self.cpu_to:
                self.cpu_to = us
            if us < self.cpu_from or not self.cpu_from:
                self.cpu_from = us
        try:
            # As they nearly always are: no NULL among them, and none has fallen.
            for high, value in zip(self.high, cumulative, strict=True):
                if value < high:  # type: ignore[operator]  # a NULL raises, and is handled below
                    break
            else:
                self.high = cumulative
                return
        except TypeError:
            pass
        self.high = [_most(high, value) for high, value in zip(self.high, cumulative, strict=True)]
        self.low = [_least(low, value) for low, value in zip(self.low, cumulative, strict=True)]

    def used(self) -> list[float]:
        """Give max - min of each cumulative column; 0 for one that was always NULL."""
        try:
            return [high - low for high, low in zip(self.high, self.low, strict=True)]  # type: ignore[operator]
        except TypeError:
            pairs = zip(self.high, self.low, strict=True)
            return [0.0 if high is None or low is None else high - low for high, low in pairs]

    def cpu_measured(self) -> bool:
        """Say whether user and system CPU time were sampled at two moments: of one sample, max - min is always 0."""
        return self.cpu_from != self.cpu_to


def _has_cpu(cumulative: Sequence[float | None]) -> bool:
    return cumulative[USER] is not None and cumulative[SYSTEM] is not None


def _most(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


def _least(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
