"""What was observed of the tries and tasks of a run, by its groups: each value in a histogram and in a sketch, and the
last of each bucket as its exemplar.

Durations are in microseconds, and so are their histograms; sketches and exemplars hold what is shown: seconds, bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from parsl_exporter.base.columns import Codes, Floats, Ints, distinct
from parsl_exporter.model.exemplars import AllExemplars, Ends, Exemplars
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
    """Values of one kind: the group that each counts in, and the index of the try that it is of."""

    kind: int
    groups: Codes
    of: Ints
    values: Ints | Floats


class Summed(NamedTuple):
    """All values of one kind in one group; no sketch where there is none, and no exemplars of what is no try."""

    histogram: Histogram
    sketch: Sketch | None
    exemplars: Exemplars | None = None


class Observations:
    """What was observed of one run."""

    def __init__(self, run_id: str, buckets: Buckets) -> None:
        durations = [Histograms(buckets.durations, np.int64) for _ in range(TASK_DURATION + 1)]
        self._histograms = (
            *durations,
            Histograms(buckets.seconds, np.float64),
            Histograms(buckets.bytes, np.float64),
        )
        self._sketches = Sketches()
        self._exemplars = AllExemplars(run_id, 1 + max(map(len, buckets)))
        self._summed: dict[int, Summed] = {}

    def __getstate__(self) -> dict[str, object]:
        """All but what is put together again when it is asked for."""
        return {**self.__dict__, "_summed": {}}

    def observe(self, observations: Sequence[Observation], ends: Ends, times: int) -> None:
        """Count values of tries that `ends` names; `times` -1 takes earlier observations of the same values back.

        Each kind's are in the order of `ends`.
        """
        buckets = [self._histograms[o.kind].observe(o.groups, o.values, times) for o in observations]
        places = np.concatenate([o.groups * _KINDS + o.kind for o in observations])
        values = np.concatenate([shown(o.values) for o in observations])
        ends = ends.only(np.concatenate([o.of for o in observations]))
        self._sketches.observe(places, values, times)
        self._exemplars.observe(places, np.concatenate(buckets), ends, values, times)
        for place in distinct(places).tolist():
            self._summed.pop(place, None)

    def fix(self) -> None:
        """Nothing is taken back from now on."""
        self._sketches.fix()
        self._exemplars.fix()

    def at(self, kind: int, group: int) -> Summed:
        """What was observed of one kind in one group."""
        place = group * _KINDS + kind
        summed = self._summed.get(place)
        if summed is None:
            found = self._histograms[kind].at(group), self._sketches.at(place), self._exemplars.at(place)
            summed = self._summed[place] = Summed(*found)
        return summed


def shown(values: Ints | Floats) -> Floats:
    """Give values in the unit in which they are shown: durations, which are integers, in seconds."""
    return np.asarray(values / MICROSECONDS if values.dtype == np.int64 else values, np.float64)
