"""Of each bucket of a histogram the try that ended last: the one through which a person finds a task."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple

import numpy as np

from parsl_exporter.base.columns import Codes, Floats, Ints
from parsl_exporter.model.greatest import Greatest
from parsl_exporter.model.names import OTHER

_NO_LINES: Ints = np.empty((0, 5), np.int64)


class Ends(NamedTuple):
    """Tries and when they ended, in microseconds; in order of that, of the task_id and of the try_id."""

    us: Ints
    task_ids: Ints
    try_ids: Ints

    def only(self, of: Ints) -> Ends:
        """Some of them, by index."""
        return Ends(self.us[of], self.task_ids[of], self.try_ids[of])


class Exemplar(NamedTuple):
    """A try and what was observed of it, in the unit in which that is shown; `us` is when it ended, UTC."""

    us: int
    task_id: int
    try_id: int
    run_id: str
    value: float


class Exemplars:
    """Those of the buckets of one histogram. They do not change any more."""

    def __init__(self, run_id: str, found: Ints) -> None:
        """`found`: a line for each, the bucket's index, `us`, task_id, try_id and the bits of the value."""
        self._run_id = run_id
        self._found = found

    @cached_property
    def by_bucket(self) -> Mapping[int, Exemplar]:
        """The exemplar of each bucket that has one, by the bucket's index."""
        values = self._found[:, -1].copy().view(np.float64).tolist()
        return {
            bucket: Exemplar(us, task_id, try_id, self._run_id, value)
            for (bucket, us, task_id, try_id, _), value in zip(self._found.tolist(), values, strict=True)
        }

    def plus(self, other: Exemplars) -> Exemplars:
        """Give those of both histograms put together."""
        both = {**self.by_bucket}
        for bucket, exemplar in other.by_bucket.items():
            both[bucket] = max(exemplar, both.get(bucket, exemplar))
        sum_ = Exemplars(OTHER, _NO_LINES)
        sum_.by_bucket = both
        return sum_


class AllExemplars:
    """The exemplars of many histograms, each at its place, of no more than `buckets` buckets each."""

    def __init__(self, run_id: str, buckets: int) -> None:
        self._run_id = run_id
        self._buckets = buckets
        self._last = Greatest(4)
        self._changed = True
        self._found = _NO_LINES
        self._begins: list[int] = []

    def __getstate__(self) -> dict[str, object]:
        """All but what is drawn anew."""
        return {**self.__dict__, "_changed": True, "_found": _NO_LINES, "_begins": []}

    def fix(self) -> None:
        """Nothing is taken back from now on."""
        self._last.fix()

    def observe(self, places: Codes, buckets: Ints, ends: Ends, values: Floats, times: int) -> None:
        """Take the tries that fell into buckets; `times` -1 takes earlier ones back.

        Those of one place are in the order of `Ends`.
        """
        if len(places):
            rows = places.astype(np.int64) * self._buckets + buckets
            self._last.enter(rows, *ends, (values + 0.0).view(np.int64), times=times, ascending=True)
            self._changed = True

    def at(self, place: int) -> Exemplars:
        """The exemplars of one place."""
        if self._changed:
            self._draw()
        if place + 1 >= len(self._begins):
            return Exemplars(self._run_id, _NO_LINES)
        return Exemplars(self._run_id, self._found[self._begins[place] : self._begins[place + 1]].copy())

    def _draw(self) -> None:
        self._found = self._last.known()
        self._changed = False
        if len(self._found):
            of, self._found[:, 0] = np.divmod(self._found[:, 0], self._buckets)
            self._begins = np.searchsorted(of, np.arange(int(of[-1]) + 2)).tolist()
