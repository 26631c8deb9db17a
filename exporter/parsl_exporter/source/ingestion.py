"""Brings the model of a source up to date with its database: everything at first, then what is new."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from parsl_exporter.model.runs import Runs
from parsl_exporter.readers.base import Reader
from parsl_exporter.source.clock import Clock
from parsl_exporter.source.first_read import read_first
from parsl_exporter.source.locks import Baton
from parsl_exporter.source.options import SourceOptions
from parsl_exporter.source.reading import Reading


class Counts(NamedTuple):
    """The exporter's own counts of what the models of a source could not take as it came."""

    rejected: Counter[tuple[str, str]]
    late: Counter[str]
    overflowed: int

    def plus(self, runs: Runs) -> Counts:
        """The same with those of another model."""
        return Counts(self.rejected + runs.rejected, self.late + runs.late, self.overflowed + runs.overflowed)


class Ingestion:
    """One reading of a source after the other. `rows_read` counts by table, of all readings.

    `caught_up`: everything that was there has been read; `behind`: there was more than one poll may read.
    """

    def __init__(
        self,
        reader: Reader,
        options: SourceOptions,
        *,
        baton: Baton,
        clock: Clock,
        stopping: Callable[[], bool],
    ) -> None:
        self.rows_read: Counter[str] = Counter()
        self._reader = reader
        self._options = options
        self._baton = baton
        self._clock = clock
        self._stopping = stopping
        self._before = Counts(Counter(), Counter(), 0)
        self._begin()

    @property
    def runs(self) -> Runs:
        """The model."""
        return self.reading.runs

    @property
    def counts(self) -> Counts:
        """What could not be taken as it came, of all readings."""
        return self._before.plus(self.runs)

    def _begin(self) -> None:
        self.caught_up = self.behind = False
        self.reading = Reading(
            self._reader,
            self._options,
            baton=self._baton,
            clock=self._clock,
            rows_read=self.rows_read,
            stopping=self._stopping,
        )

    def begin_anew(self) -> None:
        """Forget what was read: the next update reads everything."""
        self._before = self.counts
        self._begin()
        self._reader.look_again()

    def update(self, now: float, show: Callable[[], None]) -> bool:
        """Read what is there; say whether anything may be new. `show` is called now and then in a first read.

        May raise what a reader raises, and goes on from there the next time.
        """
        reading = self.reading
        changed = reading.reader.changed()
        reading.finish_batch()
        if not self.caught_up:
            if not read_first(reading, show=show):
                return False
            self.caught_up = True
        elif changed:
            self.behind = not reading.read_new()
            if self.behind:
                self._reader.look_again()
        if changed or reading.runs.unsettled(now):
            reading.steps.settle(now)
        if changed:
            reading.read_again()
            reading.steps.settle(now)
        return changed
