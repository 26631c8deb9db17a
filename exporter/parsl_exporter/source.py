"""One database: its reader and its model, joined.

`poll` brings the model up to date and redraws what changed. The position in a table moves only when the model has
taken the batch. Nothing of a run is published before the source has caught up once.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import NamedTuple

from parsl_exporter.baton import Baton
from parsl_exporter.errors import ExporterError, SourceBusy, SourceFault, SourceReplaced
from parsl_exporter.logs import RepeatedFault, event
from parsl_exporter.metrics.run_families import View
from parsl_exporter.metrics.share import Drawing, Drawn, Share
from parsl_exporter.metrics.source_families import SourceFacts
from parsl_exporter.model.groups import Buckets
from parsl_exporter.model.lifetimes import mark_gone
from parsl_exporter.model.run import Limits, Run
from parsl_exporter.model.runs import Runs, TaskKey
from parsl_exporter.read.position import START, Batch, Position
from parsl_exporter.read.sqlite import SqliteReader
from parsl_exporter.tables import BLOCK, NODE, RESOURCE, STATUS, TABLES, TASK, TRY, WORKFLOW, Table

LOCKED_PATIENCE = 10.0
"""Seconds for which a locked database is no failed poll."""
_RETRY_LOCKED = 0.05
_RETRY_INTERNAL = 60.0
_REPLACED_AT_MOST = 5
"""How often a dump begins anew because the database was replaced under it."""
_HELD_TASKS = 10_000
"""Live tasks that a first read holds before it looks for finished ones."""
_DRAWING_SHARE = 0.1
"""The part of the time that may go into drawing."""
_SHOW_PROGRESS = 1.0
_TASK_TABLES = (TASK, TRY, STATUS, RESOURCE)
_DATED = (STATUS, RESOURCE, BLOCK, NODE)

_log = logging.getLogger(__name__)


class Clock(NamedTuple):
    """`wall`: UTC epoch seconds, may step. `steady`: seconds that only go forward."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic


class SourceOptions(NamedTuple):
    """How one source is read and shown. `zone` None is the exporter's local zone."""

    name: str
    zone: tzinfo | None
    buckets: Buckets
    limits: Limits
    runs: int
    failure_reasons: tuple[str, ...]
    hidden: frozenset[str]
    whole: bool = False


class Condition(NamedTuple):
    """The source in words: `state` is up, reading or down."""

    state: str
    message: str


class _Reading:
    """The model of one reading of the database from its beginning, and how far it has come."""

    def __init__(self, options: SourceOptions) -> None:
        self.runs = Runs(
            zone=options.zone,
            buckets=options.buckets,
            limits=options.limits,
            failure_reasons=options.failure_reasons,
        )
        self.positions: dict[str, Position] = {table.name: START for table in TABLES}
        self.taken: tuple[Table, Batch] | None = None
        self.drawing = Drawing(options.name, runs=options.runs)


class Source:
    """One database. `poll`, `share` and `condition` may be called from different threads, `poll` from one.

    `series_left` says how many series this source's runs may have now; `started` is when the process did.
    """

    def __init__(
        self,
        reader: SqliteReader,
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
        self._reading = _Reading(options)
        self._caught_up = False
        self._up = False
        self._message = "not read yet"
        self._busy_since: float | None = None
        self._rows_when_busy = 0
        self._stale_at = float("inf")
        self._unexpected = ""
        self._last_success = 0.0
        self._poll_duration = 0.0
        self._longest = 0.0
        self._rows_read: Counter[str] = Counter()
        self._backlog: dict[str, int] = {}
        self._errors: Counter[str] = Counter()
        self._before: _Before = _Before(Counter(), Counter(), 0)
        self._reported: set[tuple[str, str]] = set()
        self._drawn_runs: tuple[Drawn, ...] = ()
        self._next_drawing = 0.0
        self._next_progress = 0.0
        self.share: Share = Share((), self._draw_itself())

    @property
    def series(self) -> int:
        """The number of series published of the source's runs."""
        return sum(drawn.series for drawn in self._drawn_runs)

    @property
    def condition(self) -> Condition:
        """What to tell a person of this source."""
        if self._up and not self.ready:
            return Condition("reading", self._message)
        return Condition("up" if self._up else "down", self._message)

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
            self._faults.failed("replaced", str(replaced), source=self.name)
            again = _RETRY_LOCKED if self._caught_up else 0.0
            self._begin_anew()
        except SourceFault as fault:
            self._fail(fault.reason, str(fault))
        except Exception as error:
            again = self._failed_unexpectedly(error)
        else:
            self._succeed()
        if not self._caught_up and begin > self._stale_at:
            self._drawn_runs = ()
        self._longest = self._reader.longest
        self._poll_duration = self._clock.steady() - begin
        with self._baton:
            self.share = Share(self._drawn_runs, self._draw_itself())
        return again

    def read_whole(self) -> None:
        """Read once, and wait for a lock as long as a poll would. Raises SourceFault when it cannot be read."""
        begin = self._clock.steady()
        replaced = 0
        while True:
            try:
                self._read(self._clock.steady())
            except SourceBusy as busy:
                now = self._clock.steady()
                if self._locked_for(now) > LOCKED_PATIENCE:
                    raise self._still_locked(busy, now) from None
                self._reader.look_again()
                time.sleep(_RETRY_LOCKED)
            except SourceReplaced as again:
                replaced += 1
                if replaced > _REPLACED_AT_MOST:
                    raise SourceFault("io", str(again)) from None
                self._begin_anew()
            else:
                break
        self._succeed()
        self._longest = self._reader.longest
        self._poll_duration = self._clock.steady() - begin
        self.share = Share(self._drawn_runs, self._draw_itself())

    # --- how a poll ends ------------------------------------------------------------------------------------

    def _succeed(self) -> None:
        self._busy_since = None
        self._up = self.attempted = True
        self._message = "up to date"
        self._last_success = self._clock.wall()
        for reason in ("replaced", *SourceFault.REASONS):
            self._faults.ended(reason, source=self.name)

    def _locked(self, now: float, busy: SourceBusy) -> float:
        self._reader.look_again()
        if self._locked_for(now) < LOCKED_PATIENCE:
            return _RETRY_LOCKED
        since = self._busy_since
        self._fail("locked", str(self._still_locked(busy, now)))
        self._busy_since = since
        return 0.0

    def _locked_for(self, now: float) -> float:
        """The seconds for which no row could be read for a lock."""
        if self._busy_since is None or self.rows != self._rows_when_busy:
            self._busy_since, self._rows_when_busy = now, self.rows
        return now - self._busy_since

    def _still_locked(self, busy: SourceBusy, now: float) -> SourceFault:
        return SourceFault(
            "locked",
            f"{busy} for {self._locked_for(now):.0f} s, or its file system cannot lock (NFS without a lock"
            " service); trying on",
        )

    def _failed_unexpectedly(self, error: Exception) -> float:
        """What was counted may be counted in part: all is read anew, not so often that it costs much."""
        what = f"unexpected {type(error).__name__}: {error}"
        if what != self._unexpected:
            self._unexpected = what
            _log.error("source %s: unexpected error", self.name, exc_info=error)
        self._begin_anew()
        self._fail("internal", f"{what}; please report it with the log")
        return _RETRY_INTERNAL

    def _fail(self, reason: str, message: str) -> None:
        self._busy_since = None
        self._reader.look_again()
        self._errors[reason] += 1
        self._up = False
        self.attempted = True
        self._message = message
        self._faults.failed(reason, message, source=self.name, reason=reason)

    def _begin_anew(self) -> None:
        runs = self._reading.runs
        self._before = self._before.plus(runs, self._reading.drawing)
        self._reading = _Reading(self._options)
        self._caught_up = False
        self._stale_at = self._clock.steady() + self._options.limits.retention
        self._reported.clear()
        self._reader.look_again()

    # --- reading --------------------------------------------------------------------------------------------

    def _read(self, now: float) -> None:
        reading = self._reading
        try:
            self._update(reading, now)
        finally:
            # Also of a database that cannot be read: what is over goes when its time has come.
            if self._caught_up:
                self._draw(reading, now)

    def _update(self, reading: _Reading, now: float) -> None:
        with self._baton:
            changed = self._reader.changed()
        self._finish_batch(reading)
        if not self._caught_up:
            self._first_read(reading)
            if self._stopping():
                return
            self._caught_up = True
            self.ready = True
        elif changed:
            try:
                self._read_new(reading)
            except BaseException:
                self._reader.look_again()
                raise
        with self._baton:
            reading.runs.settle(now)
        if changed:
            self._read_again(reading)
            with self._baton:
                reading.runs.settle(now)
        self._report_rejected(reading.runs)

    def _batch(self, reading: _Reading, table: Table, *, skip: frozenset[str] = frozenset()) -> Batch:
        with self._baton:
            batch = self._reader.tail(table, reading.positions[table.name], skip=skip)
        self._take(reading, table, batch)
        return batch

    def _take(self, reading: _Reading, table: Table, batch: Batch) -> None:
        if batch.rows:
            with self._baton:
                reading.runs.take(table, batch.rows, self._clock.steady())
        reading.taken = table, batch
        self._finish_batch(reading)

    def _finish_batch(self, reading: _Reading) -> None:
        """Count the late rows of the batch that was taken; begun again when a lock came between."""
        if reading.taken is None:
            return
        table, batch = reading.taken
        for key in reading.runs.late_tasks():
            self._revive(reading, key)
        self._rows_read[table.name] += len(batch.rows)
        reading.positions[table.name] = batch.position
        reading.taken = None

    def _revive(self, reading: _Reading, key: TaskKey) -> None:
        runs = reading.runs
        tries = {row[3] for table, row in runs.aside[key] if table is not TASK and isinstance(row[3], int)}
        with self._baton:
            history = self._reader.history(key.run_id, key.task_id, reading.positions, tries)
            runs.revive(key, history, _TASK_TABLES, self._clock.steady())

    def _read_new(self, reading: _Reading) -> None:
        for table in TABLES:
            while self._batch(reading, table).more and not self._stopping():
                pass
            self._backlog[table.name] = 0
        for run_id in list(reading.runs.awakened):
            self._read_run(reading, run_id)

    def _read_again(self, reading: _Reading) -> None:
        """Read rows that Parsl updates in place: of runs without an end, of tries whose host must still come."""
        runs = reading.runs
        with self._baton:
            rows = self._reader.workflows(runs.open_runs())
            runs.take(WORKFLOW, rows, self._clock.steady())
        keys = list(runs.incomplete_tries())
        if keys:
            with self._baton:
                rows = [
                    row for row in self._reader.tries(keys) if row[0] <= reading.positions[TRY.name].rowid
                ]
                runs.take(TRY, rows, self._clock.steady())

    def _read_run(self, reading: _Reading, run_id: str) -> None:
        """Read one run whole: it was dropped as abandoned and has written again."""
        runs = reading.runs
        runs.abandoned.discard(run_id)
        try:
            for table in TABLES:
                upto, after, more = reading.positions[table.name].rowid, 0, True
                while more and not self._stopping():
                    with self._baton:
                        batch = self._reader.of_run(table, run_id, after, upto)
                        runs.take(table, batch.rows, self._clock.steady())
                    after, more = batch.position.rowid, batch.more
        except ExporterError:
            runs.runs.pop(run_id, None)
            runs.abandoned.add(run_id)
            raise
        runs.awakened.discard(run_id)
        event(_log, logging.INFO, "a run taken for abandoned writes again", source=self.name, run_id=run_id)

    def _first_read(self, reading: _Reading) -> None:
        """Read everything there is, the tables advancing together in time, so that few tasks are held at once."""
        runs = reading.runs
        begin = self._clock.steady()
        while self._batch(reading, WORKFLOW).more:
            pass
        skip = self._skip(runs)
        ends: dict[str, int] = {}
        for table in TABLES:
            with self._baton:
                ends[table.name] = self._reader.last_rowid(table)
        cursors = {table.name: 0 for table in TABLES if table is not WORKFLOW}
        tables = {table.name: table for table in TABLES}
        held = _HELD_TASKS
        while cursors and not self._stopping():
            table = tables[min(cursors, key=lambda name: cursors[name])]
            batch = self._batch(reading, table, skip=skip)
            if not batch.more:
                del cursors[table.name]
            else:
                reached = self._reached(runs, table, batch.position)
                cursors[table.name] = max(cursors[table.name], reached)
            if runs.live_tasks() > held:
                horizon = min(
                    cursors.get(STATUS.name, float("inf")), cursors.get(RESOURCE.name, float("inf"))
                )
                with self._baton:
                    runs.settle_history(horizon)
                held = 2 * runs.live_tasks() + _HELD_TASKS
            self._show_progress(reading, ends)
        if self._stopping():
            return
        self._read_new(reading)
        with self._baton:
            runs.finish_first_read(self._clock.steady(), self._clock.wall(), whole=self._options.whole)
        event(
            _log,
            logging.INFO,
            "caught up",
            source=self.name,
            runs=len(runs.runs),
            rows=sum(self._rows_read.values()),
            seconds=round(self._clock.steady() - begin, 3),
        )

    def _skip(self, runs: Runs) -> frozenset[str]:
        """Leave out the runs that are past their time: the ids whose rows need not be read."""
        if self._options.whole:
            return frozenset()
        wall = self._clock.wall()
        runs.skip_ended(wall)
        candidates = runs.maybe_abandoned(wall)
        if candidates:
            since = datetime.fromtimestamp(wall - self._options.limits.abandon_after, self._options.zone)
            stamp = since.strftime("%Y-%m-%d %H:%M:%S.%f")
            writers: set[str] = set()
            for table in _DATED:
                with self._baton:
                    writers |= self._reader.writers_since(table, stamp)
            runs.skip_abandoned(set(candidates) - writers)
        return frozenset(runs.ended | runs.abandoned)

    def _reached(self, runs: Runs, table: Table, position: Position) -> int:
        """Microseconds of the stamp at a position; 0 when there is none."""
        with self._baton:
            stamp = self._reader.stamp_at(table, position)
        try:
            return runs.stamps.read(stamp)
        except ValueError:
            return 0

    # --- showing --------------------------------------------------------------------------------------------

    def _show_progress(self, reading: _Reading, ends: dict[str, int]) -> None:
        now = self._clock.steady()
        if now < self._next_progress:
            return
        self._next_progress = now + _SHOW_PROGRESS
        self._backlog = {name: max(0, end - reading.positions[name].rowid) for name, end in ends.items()}
        total = sum(ends.values())
        left = sum(self._backlog.values())
        self._up = True
        self._message = f"first read: {total - left} of {total} rows"
        with self._baton:
            self.share = Share(self._drawn_runs, self._draw_itself())

    def _draw(self, reading: _Reading, now: float) -> None:
        if now < self._next_drawing:
            return
        begin = self._clock.steady()
        wall = self._clock.wall()
        retention = float("inf") if self._options.whole else self._options.limits.retention
        with self._baton:
            if not self._options.whole:
                reading.runs.expire(now)
            views = [self._view(run, now, wall, retention) for run in reading.runs.runs.values()]
            self._drawn_runs = reading.drawing.runs(views, self._series_left() + self.series)
        self._next_drawing = now + (self._clock.steady() - begin) / _DRAWING_SHARE

    def _view(self, run: Run, now: float, wall: float, retention: float) -> View:
        if run.changed or run.forget_at <= now:
            mark_gone(run, now, retention, None if run.published else wall)
        return View(run, self._options.failure_reasons, self._options.hidden, now - retention)

    def _draw_itself(self) -> Drawn:
        runs, before = self._reading.runs, self._before
        facts = SourceFacts(
            dialect=self._reader.dialect,
            database=str(self._reader.path),
            up=self._up,
            ready=self.ready,
            last_success=self._last_success,
            poll_duration=self._poll_duration,
            longest_read=self._longest,
            rows_read=self._rows_read,
            backlog=self._backlog,
            errors=self._errors,
            rejected=before.rejected + runs.rejected,
            late=before.late + runs.late,
            series=self.series,
            folded=before.folded + runs.folded + self._reading.drawing.folds,
        )
        return self._reading.drawing.itself(facts, self._started)

    def _report_rejected(self, runs: Runs) -> None:
        for key, row in runs.first_rejected.items():
            if key not in self._reported:
                self._reported.add(key)
                table, reason = key
                event(
                    _log,
                    logging.WARNING,
                    "row skipped; more of the kind are only counted",
                    source=self.name,
                    table=table,
                    reason=reason,
                    rowid=row[0],
                    row=repr(row[1:])[:300],
                )


class _Before(NamedTuple):
    """The exporter's own counts of earlier readings of the same source."""

    rejected: Counter[tuple[str, str]]
    late: Counter[str]
    folded: int

    def plus(self, runs: Runs, drawing: Drawing) -> _Before:
        return _Before(
            self.rejected + runs.rejected, self.late + runs.late, self.folded + runs.folded + drawing.folds
        )


__all__ = ["Clock", "Condition", "Source", "SourceOptions"]
