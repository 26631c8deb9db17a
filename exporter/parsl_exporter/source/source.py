"""One database: polled, its faults told, what is known of its runs drawn.

Nothing of a run is published before the source has caught up once.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from parsl_exporter.base.errors import ExporterError, FaultReason, SourceBusy, SourceFault, SourceReplaced
from parsl_exporter.base.logs import RepeatedFault, event
from parsl_exporter.metrics.renderer import Renderer
from parsl_exporter.metrics.run_samples import View
from parsl_exporter.metrics.snapshot import Rendered, Snapshot
from parsl_exporter.metrics.source_families import SourceFacts
from parsl_exporter.model.run import Run
from parsl_exporter.model.runs import Runs
from parsl_exporter.model.staleness import mark_gone
from parsl_exporter.readers.base import Reader
from parsl_exporter.source.clock import Clock
from parsl_exporter.source.first_read import read_first
from parsl_exporter.source.ingestion import Reading
from parsl_exporter.source.locks import Baton
from parsl_exporter.source.nothing_shown import nothing_shown
from parsl_exporter.source.options import SourceOptions
from parsl_exporter.source.reports import Reports

LOCKED_PATIENCE = 10.0
"""Seconds for which a locked database is no failed poll."""
_RETRY_LOCKED = 0.05
_GO_ON = 0.01
_RETRY_INTERNAL = 60.0
_REPLACED_AT_MOST = 5
"""How often a dump begins anew because the database was replaced under it."""
_DRAWING_SHARE = 0.1
"""The part of the time that may go into drawing."""
_SHOW_PROGRESS = 1.0

_log = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """The source in words: `state` is up, reading or down."""

    state: str
    message: str


def locked(busy: SourceBusy, seconds: float) -> SourceFault:
    """What to say of a lock that has lasted for longer than `LOCKED_PATIENCE`."""
    return SourceFault(
        FaultReason.LOCKED,
        f"{busy} for {seconds:.0f} s, or its file system cannot lock (NFS without a lock service); trying on",
    )


class Source:
    """One database. `poll`, `share` and `condition` may be called from different threads, `poll` from one.

    `series_left` says how many series this source's runs may have now; `started` is when the process did.
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
    ) -> None:
        self.name = options.name
        self.attempted = False
        self.ready = False
        self._reader = reader
        self._options = options
        self._baton = baton
        self._clock = clock
        self._started = started
        self._series_left = series_left
        self._stopping = stopping
        self._faults = RepeatedFault(_log, clock.steady)
        self._rows_read: Counter[str] = Counter()
        self._reading = self._begin_reading()
        self._renderer = Renderer(options.name, runs=options.runs, created=options.created)
        self._caught_up = False
        self._behind = False
        self._up = False
        self._message = "not read yet"
        self._busy_since: float | None = None
        self._rows_when_busy = 0
        self._stale_at = float("inf")
        self._unexpected = ""
        self._last_success = 0.0
        self._poll_duration = 0.0
        self._longest = 0.0
        self._errors: Counter[str] = Counter()
        self._before: _Before = _Before(Counter(), Counter(), 0)
        self._reports = Reports(options.name)
        self._drawn_runs: tuple[Rendered, ...] = ()
        self._next_renderer = 0.0
        self._next_progress = 0.0
        self._drawn = False
        self.snapshot: Snapshot = self._share()

    @property
    def series(self) -> int:
        """The number of series published of the source's runs."""
        return sum(drawn.series for drawn in self._drawn_runs)

    @property
    def condition(self) -> Outcome:
        """What to tell a person of this source."""
        if self._up and not self.ready:
            return Outcome("reading", self._message)
        return Outcome("up" if self._up else "down", self._message)

    @property
    def longest_read(self) -> float:
        """Seconds of the longest read transaction of the last poll."""
        return self._longest

    @property
    def read_seconds(self) -> float:
        """Seconds spent in read transactions so far."""
        return self._reader.read_seconds

    @property
    def rows(self) -> int:
        """Rows read so far."""
        return sum(self._rows_read.values())

    def close(self) -> None:
        """Let the database go."""
        self._reader.close()

    def poll(self) -> float:
        """Read what is new and publish it. Gives the seconds after which to come again; 0: at leisure.

        Never raises: what fails is logged, counted and shown, and the last share stays published.
        """
        begin = self._clock.steady()
        self._reader.longest = 0.0
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
            again = _GO_ON if self._behind else 0.0
        if not self._caught_up and begin > self._stale_at:
            self._drawn_runs = ()
        self._publish(begin)
        return again

    def read_whole(self) -> Runs:
        """Read once, and give what was read; wait for a lock as long as a poll would.

        Raises SourceFault when it cannot be read.
        """
        begin = self._clock.steady()
        replaced = 0
        while True:
            try:
                self._read(self._clock.steady())
            except SourceBusy as busy:
                now = self._clock.steady()
                if self._locked_for(now) > LOCKED_PATIENCE:
                    raise locked(busy, self._locked_for(now)) from None
                self._reader.look_again()
                time.sleep(_RETRY_LOCKED)
            except SourceReplaced as again:
                replaced += 1
                if replaced > _REPLACED_AT_MOST:
                    raise SourceFault(FaultReason.REPLACED, str(again)) from None
                self._begin_anew()
            else:
                break
        self._succeed()
        self._publish(begin)
        return self._reading.runs

    def _publish(self, begin: float) -> None:
        self._longest = self._reader.longest
        self._poll_duration = self._clock.steady() - begin
        self.snapshot = self._share()

    # --- how a poll ends ------------------------------------------------------------------------------------

    def _succeed(self) -> None:
        self._busy_since = None
        self._up = self.attempted = True
        why = nothing_shown(self._reading.runs, self._options.limits)
        self._message = "up to date" if why is None else f"up to date, nothing to show: {why}"
        if self._behind:
            self._message = f"behind: {sum(self._reading.backlog.values()):,} rows to read"
        self._last_success = self._clock.wall()
        for reason in FaultReason:
            self._faults.ended(reason, source=self.name)

    def _locked(self, now: float, busy: SourceBusy) -> float:
        self._reader.look_again()
        if self._locked_for(now) < LOCKED_PATIENCE:
            return _RETRY_LOCKED
        since = self._busy_since
        self._fail(FaultReason.LOCKED, str(locked(busy, self._locked_for(now))))
        self._busy_since = since
        return 0.0

    def _locked_for(self, now: float) -> float:
        """The seconds for which no row could be read for a lock."""
        if self._busy_since is None or self.rows != self._rows_when_busy:
            self._busy_since, self._rows_when_busy = now, self.rows
        return now - self._busy_since

    def _replaced(self, replaced: SourceReplaced) -> float:
        """Once is a message; again before it has caught up is a failed poll, so that no loop is silent."""
        caught_up = self._caught_up
        untouched = self._reading.untouched
        self._begin_anew()
        if caught_up:
            event(_log, logging.WARNING, str(replaced), source=self.name)
        if caught_up or untouched:
            return _RETRY_LOCKED
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
        self._busy_since = None
        self._reader.look_again()
        self._errors[reason] += 1
        self._up = False
        self.attempted = True
        self._message = message
        self._faults.failed(reason, message, source=self.name, reason=reason)

    def _begin_reading(self) -> Reading:
        return Reading(
            self._reader,
            self._options,
            baton=self._baton,
            steady=self._clock.steady,
            wall=self._clock.wall,
            rows_read=self._rows_read,
            stopping=self._stopping,
        )

    def _begin_anew(self) -> None:
        runs = self._reading.runs
        self._before = self._before.plus(runs, self._renderer)
        self._reading = self._begin_reading()
        self._renderer = Renderer(self._options.name, runs=self._options.runs, created=self._options.created)
        self._caught_up = self._drawn = self._behind = False
        self._stale_at = self._clock.steady() + self._options.limits.retention
        self._reports.begin_anew()
        self._reader.look_again()

    # --- reading --------------------------------------------------------------------------------------------

    def _read(self, now: float) -> None:
        reading = self._reading
        try:
            self._update(reading, now)
        except ExporterError:
            # Also of a database that cannot be read: what is over goes when its time has come.
            if self._caught_up:
                self._draw(reading, now)
            raise
        if self._caught_up:
            self._draw(reading, now)

    def _update(self, reading: Reading, now: float) -> None:
        with reading.turn:
            changed = self._reader.changed()
        reading.finish_batch()
        if not self._caught_up:
            if not read_first(reading, show=lambda: self._show_progress(reading)):
                return
            self._caught_up = True
            self.ready = True
        elif changed:
            self._behind = not reading.read_new()
            if self._behind:
                self._reader.look_again()
        if changed or reading.runs.unsettled(now):
            with self._baton:
                reading.runs.settle(now)
        if changed:
            reading.read_again()
            with self._baton:
                reading.runs.settle(now)
            self._reports.rejected(reading.runs)
            self._reports.zones(reading.runs)

    # --- showing --------------------------------------------------------------------------------------------

    def _show_progress(self, reading: Reading) -> None:
        now = self._clock.steady()
        if now < self._next_progress:
            return
        self._next_progress = now + _SHOW_PROGRESS
        left = sum(reading.backlog.values())
        done = sum(position.rowid for position in reading.positions.values())
        self._up = True
        self._message = f"first read: {done} of {done + left} rows"
        self.snapshot = self._share()

    def _draw(self, reading: Reading, now: float) -> None:
        if now < self._next_renderer or (self._drawn and not reading.runs.shows_otherwise(now)):
            return
        begin = self._clock.steady()
        wall = self._clock.wall()
        retention = float("inf") if self._options.whole else self._options.limits.retention
        with self._baton:
            if not self._options.whole:
                reading.runs.expire(now)
            runs = [run for run in reading.runs.runs.values() if run.info is not None or run.sought]
            views = [self._view(run, now, wall, retention) for run in runs]
            self._drawn_runs = self._renderer.runs(views, self._series_left() + self.series)
            reading.runs.let_go(self._renderer.dropped)
        self._drawn = True
        self._reports.overflowed(self._overflowed)
        self._reports.dropped(len(self._renderer.dropped), whole=self._options.whole)
        self._reports.runs(reading.runs)
        self._next_renderer = now + (self._clock.steady() - begin) / _DRAWING_SHARE

    def _view(self, run: Run, now: float, wall: float, retention: float) -> View:
        if run.changed or run.forget_at <= now:
            mark_gone(run, now, retention, None if run.published else wall)
        return View(run, self._options.hidden, now - retention)

    def _share(self) -> Snapshot:
        runs, before = self._reading.runs, self._before
        facts = SourceFacts(
            dialect=self._reader.dialect,
            database=self._reader.database,
            up=self._up,
            ready=self.ready,
            last_success=self._last_success,
            poll_duration=self._poll_duration,
            longest_read=self._longest,
            rows_read=dict(self._rows_read),
            backlog=dict(self._reading.backlog),
            errors=dict(self._errors),
            rejected=before.rejected + runs.rejected,
            late=before.late + runs.late,
            series=self.series,
            overflowed=self._overflowed,
        )
        return Snapshot(self.name, self._drawn_runs, facts, self._started if self._options.created else None)

    @property
    def _overflowed(self) -> int:
        return self._before.overflowed + self._reading.runs.overflowed + self._renderer.overflowed


class _Before(NamedTuple):
    """The exporter's own counts of earlier readings of the same source."""

    rejected: Counter[tuple[str, str]]
    late: Counter[str]
    overflowed: int

    def plus(self, runs: Runs, renderer: Renderer) -> _Before:
        return _Before(
            self.rejected + runs.rejected,
            self.late + runs.late,
            self.overflowed + runs.overflowed + renderer.overflowed,
        )


__all__ = ["Source"]
