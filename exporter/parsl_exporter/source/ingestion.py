"""Brings the model of a source up to date with its database: everything at first, then what is new."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from parsl_exporter.base.logs import event
from parsl_exporter.model.runs import Runs
from parsl_exporter.source.first_read import read_first
from parsl_exporter.source.reading import Reading

_log = logging.getLogger(__name__)


class Counts(NamedTuple):
    """The exporter's own counts of what its models could not take as it came."""

    rejected: Counter[tuple[str, str]]
    late: Counter[str]
    overflowed: int


class Ingestion:
    """One reading of a source after the other, each made by `begin`.

    `caught_up`: everything that was there has been read; `behind`: there was more than one poll may read.
    `resumed`: what was read before comes from a checkpoint.
    """

    def __init__(self, begin: Callable[[], Reading]) -> None:
        self._begin = begin
        self._before = Counts(Counter(), Counter(), 0)
        self._make()

    def _make(self) -> None:
        self.reading = self._begin()
        self.caught_up = self.behind = self.resumed = False
        self._unwatched: tuple[float, Mapping[str, float]] | None = None

    def kept(self) -> dict[str, Any] | None:
        """Give what there is to know of it, not a copy; None while there is nothing whole to keep."""
        reading = self.reading.kept() if self.caught_up else None
        return None if reading is None else {"reading": reading, "before": tuple(self._before)}

    def resume(self, kept: Mapping[str, Any], *, unwatched_since: float | None) -> None:
        """Go on from what another one has `kept`: the next update reads what has come since.

        `unwatched_since`: when that was, if the other one may have shown what came later.
        """
        self._before = Counts(*kept["before"])
        self.reading.resume(kept["reading"])
        self.resumed = True
        if unwatched_since is not None:
            self._unwatched = unwatched_since, self.runs.clocks()

    def begin_anew(self) -> None:
        """Forget what was read: the next update reads everything."""
        self._before = self.counts
        self._make()
        self.reading.reader.look_again()

    @property
    def runs(self) -> Runs:
        """The model."""
        return self.reading.runs

    @property
    def counts(self) -> Counts:
        """What could not be taken as it came, of all readings."""
        before, runs = self._before, self.runs
        overflowed = before.overflowed + runs.overflowed
        return Counts(before.rejected + runs.rejected, before.late + runs.late, overflowed)

    def update(self, now: float, show: Callable[[], None]) -> bool:
        """Read what is there; say whether anything may be new. `show` is called now and then in a first read.

        May raise what a reader raises, and goes on from there the next time.
        """
        reading = self.reading
        changed = reading.reader.changed()
        reading.finish_batch()
        if not self.caught_up:
            if not (self._read_on(show) if self.resumed else read_first(reading, show=show)):
                return False
            self.caught_up = True
        elif changed:
            self.behind = not reading.read_new()
            if self.behind:
                reading.reader.look_again()
        if changed:
            # What is to be read again is known only then; nothing closes without it, however late it could be read.
            reading.steps.settle(now, close=False)
            reading.read_again()
        if changed or reading.runs.unsettled(now):
            reading.steps.settle(now)
        if self._unwatched is not None:
            reading.steps.close_unwatched(*self._unwatched, now)
            self._unwatched = None
        return changed

    def _read_on(self, show: Callable[[], None]) -> bool:
        """Read all that has come since the checkpoint; give whether it came to the end."""
        begin = self.reading.steady()
        while not self.reading.read_new():
            if self.reading.stopping():
                return False
            show()
        about = {"source": self.reading.options.name, "runs": len(self.runs.runs)}
        seconds = round(self.reading.steady() - begin, 3)
        event(_log, logging.INFO, "goes on from its checkpoint", **about, seconds=seconds)
        return True
