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


def usable(sample: Sequence[Any]) -> bool:
    """Say whether every value of a sample is NULL or a finite number."""
    return all(v is None or (isinstance(v, (int, float)) and v - v == 0) for v in sample)


class Usage:
    """The fold of one try's samples. A column that was always NULL stays None."""

    __slots__ = ("children", "high", "latest", "low", "peak", "resident", "virtual")

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
        self.low = list(cumulative)
        self.high = list(cumulative)

    def add(
        self,
        us: int,
        children: float | None,
        virtual: float | None,
        resident: float | None,
        cumulative: Sequence[float | None],
    ) -> None:
        """Take one more sample, stamped `us` microseconds."""
        if us >= self.latest:
            self.latest = us
            self.children = children
            self.virtual = virtual
            self.resident = resident
        if resident is not None and (self.peak is None or resident > self.peak):
            self.peak = resident
        low, high = self.low, self.high
        for column, value in enumerate(cumulative):
            if value is None:
                continue
            highest = high[column]
            if highest is None:
                low[column] = high[column] = value
            elif value > highest:
                high[column] = value
            elif value < low[column]:  # type: ignore[operator]  # set together with high
                low[column] = value

    def used(self) -> list[float]:
        """Give max - min of each cumulative column; 0 for one that was always NULL."""
        used = []
        for high, low in zip(self.high, self.low, strict=True):
            used.append(0.0 if high is None or low is None else high - low)
        return used

    def cpu(self) -> float | None:
        """User + system seconds, or None when either was never sampled."""
        if self.high[USER] is None or self.high[SYSTEM] is None:
            return None
        used = self.used()
        return used[USER] + used[SYSTEM]
