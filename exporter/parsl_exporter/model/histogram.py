"""Histograms whose observations can be taken back, many of the same bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from parsl_exporter.base.columns import Codes, Ints


class Histogram(NamedTuple):
    """Counts of values at or below each of `bounds` (ascending; +Inf is implied), and their sum.

    `counts[i]` is the number of values above `bounds[i-1]` and at or below `bounds[i]`; the last is +Inf's.
    """

    bounds: tuple[float, ...]
    counts: Sequence[int]
    sum: float


class Histograms:
    """One histogram for each place; a place that was never observed is empty."""

    def __init__(self, bounds: tuple[float, ...], kind: type[np.int64] | type[np.float64]) -> None:
        self.bounds = bounds
        self._edges: npt.NDArray[Any] = np.array(bounds, kind)
        self._counts: Ints = np.zeros((0, len(bounds) + 1), np.int64)
        self._sums: npt.NDArray[Any] = np.zeros(0, kind)

    def observe(self, places: Codes, values: npt.NDArray[Any], times: int = 1) -> Ints:
        """Count values, each at its place; `times` -1 takes earlier observations of the same values back.

        Gives the index of each value's bucket.
        """
        buckets = np.searchsorted(self._edges, values, side="left")
        if not len(places):
            return buckets
        size, width = int(places.max()) + 1, self._counts.shape[1]
        if size > len(self._sums):
            more = max(size - len(self._sums), len(self._sums))
            self._counts = np.concatenate([self._counts, np.zeros((more, width), np.int64)])
            self._sums = np.concatenate([self._sums, np.zeros(more, self._sums.dtype)])
        np.add.at(self._counts.reshape(-1), places.astype(np.int64) * width + buckets, times)
        np.add.at(self._sums, places, times * values)
        return buckets

    def at(self, place: int) -> Histogram:
        """The histogram of one place."""
        if place >= len(self._sums):
            return Histogram(self.bounds, [0] * (len(self.bounds) + 1), 0)
        return Histogram(self.bounds, self._counts[place].tolist(), self._sums[place].item())
