"""What was observed of the tries and tasks of a run, by its groups: each value in a histogram and in a sketch.

Durations are in microseconds, and so are their histograms; sketches hold what is shown, seconds and bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from parsl_exporter.base.columns import Codes, Floats, Ints
from parsl_exporter.model.histogram import Histogram, Histograms
from parsl_exporter.model.sketch import Sketch, Sketches
from parsl_exporter.model.states import TIMED
from parsl_exporter.model.timestamps import MICROSECONDS

TASK_DURATION, CPU_USAGE, MEMORY_PEAK = range(len(TIMED), len(TIMED) + 3)
STATE_DURATION = {state: kind for kind, state in enumerate(TIMED)}
"""Kinds of observations: of each state of TIMED how long a try was in it, and the three others."""
_KINDS = MEMORY_PEAK + 1


class Buckets(NamedTuple):
    """Upper bounds: of durations in microseconds, of CPU seconds, of bytes."""

    durations: tuple[int, ...]
    seconds: tuple[float, ...]
    bytes: tuple[float, ...]

    @classmethod
    def of(cls, seconds: tuple[float, ...], size: tuple[float, ...]) -> Buckets:
        """Take both lists as configured: seconds and bytes, ascending, without +Inf."""
        return cls(tuple(round(s * MICROSECONDS) for s in seconds), seconds, size)


class Observation(NamedTuple):
    """Values of one kind, and the group that each counts in."""

    kind: int
    groups: Codes
    values: Ints | Floats


class Summed(NamedTuple):
    """All values of one kind in one group; no sketch where there is none."""

    histogram: Histogram
    sketch: Sketch | None


class Observations:
    """What was observed of one run."""

    def __init__(self, buckets: Buckets) -> None:
        durations = [Histograms(buckets.durations, np.int64) for _ in range(TASK_DURATION + 1)]
        self._histograms = (
            *durations,
            Histograms(buckets.seconds, np.float64),
            Histograms(buckets.bytes, np.float64),
        )
        self._sketches = Sketches()

    def observe(self, observations: Sequence[Observation], times: int) -> None:
        """Count values; `times` -1 takes earlier observations of the same values back."""
        for kind, groups, values in observations:
            self._histograms[kind].observe(groups, values, times)
        self._sketches.observe(
            np.concatenate([groups * _KINDS + kind for kind, groups, _ in observations]),
            np.concatenate([shown(values) for _, _, values in observations]),
            times,
        )

    def fix(self) -> None:
        """Nothing is taken back from now on."""
        self._sketches.fix()

    def at(self, kind: int, group: int) -> Summed:
        """What was observed of one kind in one group."""
        return Summed(self._histograms[kind].at(group), self._sketches.at(group * _KINDS + kind))


def shown(values: Ints | Floats) -> Floats:
    """Give values in the unit in which they are shown: durations, which are integers, in seconds."""
    return np.asarray(values / MICROSECONDS if values.dtype == np.int64 else values, np.float64)
