"""One database: polled, its faults told, what is known of its runs published.

Nothing of a run is published before the source has caught up once.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from parsl_exporter.base.errors import ExporterError, FaultReason, SourceBusy, SourceFault, SourceReplaced
from parsl_exporter.base.logs import event
from parsl_exporter.metrics.snapshot import Snapshot
from parsl_exporter.metrics.source_families import SourceFacts
from parsl_exporter.model.report import SourceReport
from parsl_exporter.model.runs import Runs
from parsl_exporter.readers.base import Reader
from parsl_exporter.source.checkpoint import Checkpoint, Kept
from parsl_exporter.source.clock import Clock, OwnClock
from parsl_exporter.source.health import Health, Outcome
from parsl_exporter.source.ingestion import Ingestion
from parsl_exporter.source.locks import Baton
from parsl_exporter.source.nothing_shown import nothing_shown
from parsl_exporter.source.options import NO_LIMIT, SourceOptions
from parsl_exporter.source.patience import LOCKED_PATIENCE, RETRY_LOCKED, insist, locked
from parsl_exporter.source.reading import Reading
from parsl_exporter.source.reports import Reports
from parsl_exporter.source.showing import Showing

_GO_ON = 0.01
_RETRY_INTERNAL = 60.0
_SHOW_PROGRESS = 1.0

_log = logging.getLogger(__name__)


class Published(NamedTuple):
    """What other threads may see of a source, as it was at one moment.

    `ready`: it has caught up once; `tried`: a poll has succeeded or failed; `rows` read so far; `series` of its runs.
    `others`: the number of runs that are known and not shown. `last_success`: UTC epoch seconds, 0 before the first.
    `asked`: steady seconds at which the last poll began that has read all there was, or failed.
    """

    snapshot: Snapshot
    outcome: Outcome
    ready: bool
    tried: bool
    rows: int
    series: int
    others: int
    last_success: float
    asked: float

    def report(self, name: str, wall: float) -> SourceReport:
        """What to tell people at `wall` of the source of that name, and of its runs as they were when it was read."""
        runs = tuple(drawn.report for drawn in self.snapshot.runs if drawn.report is not None)
        as_of = self.last_success if self.outcome.state == "down" and self.last_success else wall
        return SourceReport(name, *self.outcome, self.rows, as_of, runs, self.others)


class Source:
    """One database, for one thread; others may look at `published`, which is replaced whole.

    `series_left` says how many series this source's runs may have now; `started` is when the process did. With a
    `checkpoint` it goes on from there at its first poll, and is kept there now and then.
    """

    def __init__(
        self,
        reader: Reader,
        options: SourceOptions,
        *,
        baton: Baton,
        clock: Clock,
        started: float,
        series_left: Callable[[], int],
        stopping: Callable[[], bool] = lambda: False,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.name = options.name
        self.read_times = reader.read_times
        self._reader = reader
        self._options = options
        self._own_clock = OwnClock(clock)
        self._clock = self._own_clock.clock
        self._process_started = started
        self._series_left = series_left
        self._baton = baton
        self._stopping = stopping
        self._checkpoint = checkpoint
        self._to_resume = checkpoint is not None
        self._health = Health(options.name, self._clock)
        self._reports = Reports(options.name)
        self._begin()
        self._unexpected = ""
        self._poll_duration = self._longest_read = 0.0
        self._next_progress = 0.0
        self._changed = True
        self._asked = -math.inf
        self.published = self._publication()

    def _begin(self) -> None:
        """As if nothing had ever been read or shown."""
        self._started = self._process_started
        self._rows_read: Counter[str] = Counter()
        self._ingestion = Ingestion(
            lambda: Reading(
                self._reader,
                self._options,
                baton=self._baton,
                clock=self._clock,
                rows_read=self._rows_read,
                stopping=self._stopping,
            )
        )
        self._showing = Showing(self._options, self._clock, self._baton)

    def close(self) -> None:
        """Let the database go; what is known of it is kept if that can be."""
        if self._checkpoint is not None and not self._checkpoint.rests and self._health.up:
            self._keep(at_end=True)
        self._reader.close()

    def poll(self) -> float:
        """Read what is new and publish it. Gives the seconds after which to come again; 0: at leisure.

        Never raises: what fails is logged, counted and shown, and what was published of runs stays.
        """
        if self._to_resume:
            self._resume()
        begin = self._clock.steady()
        self.read_times.longest = 0.0
        again = 0.0
        try:
            self._read(begin)
        except SourceBusy as busy:
            again = self._locked(begin, busy)
        except SourceReplaced as replaced:
            again = self._replaced(replaced)
        except SourceFault as fault:
            self._fail(fault.reason, str(fault))
        except Exception as error:
            again = self._failed_unexpectedly(error)
        else:
            self._succeed()
            again = _GO_ON if self._ingestion.behind else 0.0
        if not self._ingestion.caught_up:
            self._showing.outdate(begin)
        if again in (0.0, _RETRY_INTERNAL):
            self._asked = begin
        self._publish(begin)
        if self._checkpoint is not None and self._health.up and self._checkpoint.due(changed=self._changed):
            self._keep()
        return again

    def read_whole(self) -> Runs:
        """Read once, and give what was read; wait for a lock as long as a poll would.

        Raises SourceFault when it cannot be read.
        """
        begin = self._clock.steady()

        def attempt() -> None:
            self._reader.look_again()
            self._read(self._clock.steady())

        insist(attempt, self._clock.steady, rows=self._rows, anew=self._begin_anew)
        self._succeed()
        self._publish(begin)
        return self._ingestion.runs

    def _rows(self) -> int:
        return sum(self._rows_read.values())

    # --- how a poll ends ------------------------------------------------------------------------------------

    def _succeed(self) -> None:
        why = nothing_shown(self._ingestion.runs, self._options.limits)
        message = "up to date" if why is None else f"up to date, nothing to show: {why}"
        if self._ingestion.behind:
            message = f"behind: {sum(self._ingestion.reading.backlog.values()):,} rows to read"
        self._health.succeeded(message)

    def _locked(self, now: float, busy: SourceBusy) -> float:
        self._reader.look_again()
        seconds = self._health.lock.seconds(now, self._rows())
        if seconds < LOCKED_PATIENCE:
            return RETRY_LOCKED
        self._fail(FaultReason.LOCKED, f"{locked(busy, seconds)}; trying on")
        return 0.0

    def _replaced(self, replaced: SourceReplaced) -> float:
        """Once is a message; again before it has caught up is a failed poll, so that no loop is silent."""
        caught_up = self._ingestion.caught_up
        untouched = self._ingestion.reading.untouched
        if self._checkpoint is not None and self._ingestion.resumed and not caught_up:
            self._begin()
            self._reader.look_again()
            self._checkpoint.refuse(replaced)
            return RETRY_LOCKED
        self._begin_anew()
        if caught_up:
            event(_log, logging.WARNING, str(replaced), source=self.name)
        if caught_up or untouched:
            return RETRY_LOCKED
        self._fail(FaultReason.REPLACED, str(replaced))
        return 0.0

    def _failed_unexpectedly(self, error: Exception) -> float:
        """What was counted may be counted in part: all is read anew, not so often that it costs much."""
        self._begin_anew()  # first of all, as memory may be what is missing
        what = f"unexpected {type(error).__name__}: {error}"
        if what != self._unexpected:
            self._unexpected = what
            _log.error("source %s: unexpected error", self.name, exc_info=error)
        self._fail(FaultReason.INTERNAL, f"{what}; please report it with the log")
        return _RETRY_INTERNAL

    def _fail(self, reason: FaultReason, message: str) -> None:
        self._reader.look_again()
        self._health.failed(reason, message)

    def _begin_anew(self) -> None:
        self._ingestion.begin_anew()
        self._showing.begin_anew()
        self._reports.begin_anew()

    # --- reading and showing --------------------------------------------------------------------------------

    def _read(self, now: float) -> None:
        ingestion = self._ingestion
        try:
            if ingestion.update(now, self._show_progress):
                self._changed = True
                self._reports.rejected(ingestion.runs)
                self._reports.zones(ingestion.runs)
        except ExporterError:
            # Also of a database that cannot be read: what is over goes when its time has come.
            self._draw(now)
            raise
        self._draw(now)

    def _draw(self, now: float) -> None:
        ingestion, showing = self._ingestion, self._showing
        if not ingestion.caught_up:
            return
        self._health.ready = True
        if showing.draw(ingestion.runs, now, self._series_left()):
            self._changed = True
            self._reports.overflowed(ingestion.counts.overflowed + showing.overflowed)
            self._reports.dropped(showing.dropped, whole=self._options.whole)
            self._reports.runs(ingestion.runs)

    def _show_progress(self) -> None:
        now = self._clock.steady()
        if now < self._next_progress:
            return
        self._next_progress = now + _SHOW_PROGRESS
        reading = self._ingestion.reading
        left = sum(reading.backlog.values())
        done = sum(position.rowid for position in reading.positions.values())
        self._health.reading(f"first read: {done} of {done + left} rows")
        self.published = self._publication()

    # --- its checkpoint ---------------------------------------------------------------------------------------

    def _resume(self) -> None:
        """Go on from the checkpoint, if there is one that can be used."""
        assert self._checkpoint is not None
        self._to_resume = False
        try:
            kept = self._checkpoint.last(self._baton)
            if kept is None:
                return
            self._own_clock.go_on_from(kept.steady, kept.wall)
            self._started = kept.started
            self._rows_read.update(kept.rows_read)
            self._health.errors.update(kept.errors)
            self._showing.resume(kept.showing)
            self._ingestion.resume(kept.ingestion, unwatched_since=None if kept.at_end else kept.steady)
        except Exception as error:  # whatever it holds, all can be read
            self._begin()
            self._checkpoint.refuse(error)

    def _keep(self, *, at_end: bool = False) -> None:
        """Keep what is known, unless the database cannot be looked at just now: then the next poll is soon enough."""
        assert self._checkpoint is not None
        try:
            ingestion = self._ingestion.kept()
        except ExporterError:
            return
        if ingestion is not None:
            with self._baton:
                self._changed = not self._checkpoint.keep(
                    Kept(
                        self._clock.steady(),
                        self._clock.wall(),
                        at_end,
                        self._started,
                        dict(self._rows_read),
                        {str(reason): count for reason, count in self._health.errors.items()},
                        ingestion,
                        self._showing.kept(),
                    )
                )

    # --- publishing -----------------------------------------------------------------------------------------

    def _publish(self, begin: float) -> None:
        self._longest_read = self.read_times.longest
        self._poll_duration = self._clock.steady() - begin
        self.published = self._publication()

    def _publication(self) -> Published:
        health, ingestion, showing = self._health, self._ingestion, self._showing
        counts = ingestion.counts
        facts = SourceFacts(
            dialect=self._reader.dialect,
            database=self._reader.database,
            up=health.up,
            ready=health.ready,
            last_success=health.last_success,
            poll_duration=self._poll_duration,
            longest_read=self._longest_read,
            rows_read=dict(self._rows_read),
            backlog=dict(ingestion.reading.backlog),
            errors=dict(health.errors),
            rejected=counts.rejected,
            late=counts.late,
            series=showing.series,
            overflowed=counts.overflowed + showing.overflowed,
        )
        started = self._started if self._options.created else None
        snapshot = Snapshot(self.name, showing.runs, facts, started)
        runs = ingestion.runs
        shown = sum(drawn.report is not None for drawn in showing.runs)
        return Published(
            snapshot,
            health.outcome,
            health.ready,
            health.tried,
            self._rows(),
            showing.series,
            max(0, len(runs.runs) + len(runs.ended) + len(runs.abandoned) - shown),
            health.last_success,
            self._asked,
        )


def read_once(reader: Reader, options: SourceOptions, clock: Clock) -> tuple[Runs, Published]:
    """Read a database whole and let it go; give what was read, and what is to be seen of it.

    Nothing else reads in this process. Raises SourceFault when it cannot be read; a locked one is waited for, for 10 s.
    """
    source = Source(
        reader, options, baton=Baton(), clock=clock, started=clock.wall(), series_left=lambda: NO_LIMIT
    )
    try:
        return source.read_whole(), source.published
    finally:
        source.close()


__all__ = ["Published", "Source", "read_once"]
