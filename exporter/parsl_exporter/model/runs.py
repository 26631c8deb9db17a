"""The run model of one database: all its runs, and which of them still matter."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import tzinfo
from fnmatch import fnmatchcase
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from parsl_exporter.model.groups import Buckets
from parsl_exporter.model.intake import INTAKES
from parsl_exporter.model.names import OTHER, Names
from parsl_exporter.model.offsets import Offset, zone_name
from parsl_exporter.model.run import Limits, Run
from parsl_exporter.model.stamps import MICROSECONDS, Stamps
from parsl_exporter.model.taking import Taking
from parsl_exporter.model.tasks import DEPENDENCY_ERROR, Task, Try
from parsl_exporter.model.worker_zones import WorkerZones, is_worker_row
from parsl_exporter.tables import BY_NAME, TOO_LARGE, WORKFLOW, Row, Table

_REMEMBERED = 10_000
_HOST = 1 + WORKFLOW.columns.index("host")


class TaskKey(NamedTuple):
    """One task of one run."""

    run_id: str
    task_id: int


class TryKey(NamedTuple):
    """One try of one task."""

    run_id: str
    task_id: int
    try_id: int


class Runs(Taking):
    """Folds rows of one database into runs. Pure: the times at which rows are taken are passed in.

    `now`: seconds of a clock that never steps; `wall`: UTC epoch seconds.
    """

    def __init__(
        self,
        *,
        zone: tzinfo | None,
        buckets: Buckets,
        limits: Limits,
        failure_reasons: Collection[str],
        run_zones: Sequence[tuple[str, tzinfo]] = (),
        worker_zones: Sequence[tuple[str, tzinfo]] = (),
    ) -> None:
        super().__init__(zone)
        self._stamps = self.stamps
        self._workers = WorkerZones(worker_zones)
        self._zones = [(pattern, Stamps(own)) for pattern, own in run_zones]
        self._stamps_of: dict[str, Stamps] = {}
        self.names = Names()
        self.runs: dict[str, Run] = {}
        self.late: Counter[str] = Counter()
        self.rejected: Counter[tuple[str, str]] = Counter()
        self.first_rejected: dict[tuple[str, str], Row] = {}
        self.folded = 0
        self.aside: defaultdict[TaskKey, list[tuple[Table, Row]]] = defaultdict(list)
        self.ended: set[str] = set()
        self.abandoned: set[str] = set()
        self.awakened: set[str] = set()
        self._buckets = buckets
        self._limits = limits
        self._reasons = frozenset(failure_reasons) | {DEPENDENCY_ERROR}
        self._folds: set[tuple[str, str]] = set()
        self._refused: set[int] = set()

    # --- rows in --------------------------------------------------------------------------------------------

    def take(self, table: Table, rows: Sequence[Row], now: float, wall: float) -> None:
        """Take rows of one table, in the order of their insertion and any split; each row once."""
        self.wall_us = round(wall * MICROSECONDS)
        self._take(table, rows, now)

    def _take(self, table: Table, rows: Sequence[Row], now: float) -> None:
        if not self._zones and not self._workers:
            INTAKES[table.name](self, rows, now)
            return
        if table is WORKFLOW:
            for row in rows:
                self._stamps_of[row[1]] = self._stamps_on(row[_HOST])
        for _, part in groupby(rows, lambda row: id(self._reads(table, row, now))):
            same_zone = list(part)
            stamps = self._reads(table, same_zone[0], now)
            if stamps is None:
                self._wait(table, same_zone, now)
                continue
            self.stamps = stamps
            INTAKES[table.name](self, same_zone, now)
        self.stamps = self._stamps

    def _wait(self, table: Table, rows: Sequence[Row], now: float) -> None:
        """Keep rows whose zone is not known yet, and note what tries they name."""
        for row in rows:
            run = self.runs[row[1]]
            run.waiting.setdefault(table.name, []).append(row)
            run.tasks.setdefault(row[2], Task()).tries.setdefault(row[3], Try())
            if not self.last_call:
                run.touch(now)
                self.heard(run, 0)

    def _reads(self, table: Table, row: Row, now: float) -> Stamps | None:
        """What reads the stamps of a row; None when it has to wait."""
        own = self._stamps_of.get(row[1], self._stamps)
        if not self._workers or not isinstance(row[1], str) or not row[1] or not is_worker_row(table, row):
            return own
        run = self.run(row[1], now)
        if run is None:
            return own
        return self._workers.stamps(run, table, row, own, last_call=self.last_call or not self.blocks_later)

    def take_waiting(self, now: float, *, last_call: bool) -> None:
        """Take the rows whose stamps could not be read before: those that can be now, at the `last_call` of a poll.

        Rows without a try row go on waiting until their run is over.
        """
        self.last_call, self.passing = last_call, True
        try:
            for run in self.runs.values():
                waiting, run.waiting = run.waiting, {}
                for name, rows in waiting.items():
                    self._take(BY_NAME[name], sorted(rows, key=itemgetter(0)), now)
        finally:
            self.last_call = self.passing = False

    def in_order(self, least: str, greatest: str, wall: float) -> bool:
        """Say whether of stamps between these the greatest is the newest in any zone, and not later than `wall`."""
        try:
            return not any(
                stamps.readings(greatest).again > wall * MICROSECONDS
                or stamps.repeats_between(least, greatest)
                for stamps in (self._stamps, *(own for _, own in self._zones))
            )
        except ValueError:
            return False

    def _stamps_on(self, host: object) -> Stamps:
        return next((s for pattern, s in self._zones if fnmatchcase(str(host), pattern)), self._stamps)

    def without_zone(self, rows: Sequence[Row]) -> list[str]:
        """Give the runs of these rows whose zone is not known: their workflow rows must be taken before the rows.

        Each is given once: a run without such a row has the zone of the others.
        """
        if not self._zones:
            return []
        missing = sorted({row[1] for row in rows if isinstance(row[1], str)} - self._stamps_of.keys())
        self._stamps_of.update(dict.fromkeys(missing, self._stamps))
        return missing

    def run(self, run_id: str, now: float) -> Run | None:
        """The run of that id, made when first seen; None when its rows are of no interest any more."""
        run = self.runs.get(run_id)
        if run is None:
            if run_id in self.ended:
                return None
            if run_id in self.abandoned:
                self.awakened.add(run_id)
                return None
            run = self.runs[run_id] = Run(run_id, self._buckets, self._limits)
            run.seen = now
        return run

    def reject(self, table: Table, reason: str, row: Row) -> None:
        """Count a row that cannot be used."""
        if table is WORKFLOW and not self._refused_first(row):
            return
        key = (table.name, "size" if row[1] is TOO_LARGE else reason)
        self.rejected[key] += 1
        self.first_rejected.setdefault(key, row)

    def _refused_first(self, row: Row) -> bool:
        """Say whether a workflow row is refused for the first time: those of open runs are read at each poll."""
        seen = hash(row)
        if seen in self._refused:
            return False
        if len(self._refused) < _REMEMBERED:
            self._refused.add(seen)
        return True

    def label(self, run: Run, app: str) -> str:
        """The label under which an app of a run is counted; what a limit folds is noted."""
        label, folded = run.app_label(app)
        if folded:
            self.fold((run.run_id, app))
        return label

    def fold(self, value: tuple[str, str]) -> None:
        """Count a value that a limit folded into `_other`, once each as far as can be remembered."""
        if value not in self._folds:
            self.folded += 1
            if len(self._folds) < _REMEMBERED:
                self._folds.add(value)

    def failure_label(self, failure: str | None) -> str | None:
        """The `reason` label of an exception class."""
        return failure if failure is None or failure in self._reasons else OTHER

    def set_aside(self, run: Run, task_id: int, table: Table, row: Row) -> None:
        """Keep a row of a finished task until its history has been read again (`late_tasks`, `revive`)."""
        self.aside[TaskKey(run.run_id, task_id)].append((table, row))
        if run.published:
            self.late[table.name] += 1

    # --- what has to be read again --------------------------------------------------------------------------

    def late_tasks(self) -> Iterable[TaskKey]:
        """Finished tasks of which more rows have come: their earlier rows are needed to count those truly."""
        return list(self.aside)

    def revive(
        self, key: TaskKey, history: Mapping[str, Sequence[Row]], tables: Sequence[Table], now: float
    ) -> None:
        """Take a late task's earlier rows (table name -> rows), then the rows that were set aside."""
        run = self.runs.get(key.run_id)
        aside = self.aside.pop(key, [])
        if run is None:
            return
        if key.task_id in run.retired:
            task = self._past(run, key.task_id, history, tables, now)
            if task is not None:
                run.revive(key.task_id, task)
        for table, row in aside:
            late = self.late[table.name]
            self._take(table, [row], now)
            self.late[table.name] = late

    def _past(
        self,
        run: Run,
        task_id: int,
        history: Mapping[str, Sequence[Row]],
        tables: Sequence[Table],
        now: float,
    ) -> Task | None:
        """A retired task as it was, its stamps read as they were then."""
        scratch = Runs(zone=None, buckets=self._buckets, limits=self._limits, failure_reasons=self._reasons)
        scratch.stamps = scratch._stamps = self._stamps_of.get(run.run_id, self._stamps)
        scratch._workers, scratch.wall_us = self._workers, self.wall_us
        scratch.runs[run.run_id] = past = Run(run.run_id, self._buckets, self._limits)
        past.apps, past.info = run.apps, run.info
        past.writers, past.watched, past.placed = run.writers, run.watched, run.placed
        for table in tables:
            scratch._take(table, history.get(table.name, ()), now)
        scratch.take_waiting(now, last_call=True)
        task = past.tasks.get(task_id)
        if task is not None and run.clock_ahead:
            for one in task.tries.values():
                one.alive = 0  # what it showed of its life is in its block already
        return task

    def misread_runs(self) -> list[str]:
        """Forget the runs some of whose rows were read in another zone than it turned out: to be read again whole."""
        misread = [run_id for run_id, run in self.runs.items() if self._workers.misread(run)]
        for run_id in misread:
            del self.runs[run_id]
        self.abandoned.update(misread)
        self.awakened.update(misread)
        return misread

    def offsets(self) -> Iterable[tuple[Offset, str]]:
        """Hosts whose stamps speak against the zone that they are read in, and the one that they seem to be in."""
        for run in self.runs.values():
            for offset in run.offsets.found():
                own = self._stamps_of.get(run.run_id, self._stamps)
                read_by = self._workers.read_by(run, offset.executor, own)
                yield offset, zone_name(read_by.offset_us(run.newest_us) + offset.us)

    def incomplete_tries(self) -> Iterable[TryKey]:
        """Tries whose row is updated after the status rows that announce it: to be read again by key."""
        for run in self.runs.values():
            if run.asking:
                for task_id, try_id in run.asks():
                    yield TryKey(run.run_id, task_id, try_id)

    def known_runs(self) -> list[str]:
        """Runs whose workflow row may change: of an ended one too, as Parsl may write its end twice.

        `DatabaseManager.close` writes an end of its own before the run's arrives (`parsl/monitoring/db_manager.py`).
        """
        return list(self.runs)

    # --- settling and letting go ----------------------------------------------------------------------------

    def settle(self, now: float) -> None:
        """Bring all facts up to date after a poll's rows were taken."""
        self.take_waiting(now, last_call=True)
        for run in self.runs.values():
            run.settle(now)
            run.place_cpu()

    def unsettled(self, now: float) -> bool:
        """Say whether `settle` would bring anything up to date."""
        return any(run.unsettled(now) for run in self.runs.values())

    def shows_otherwise(self, now: float) -> bool:
        """Say whether anything shows otherwise than when it was last drawn, or has had its time."""
        return any(
            run.changed or run.forget_at <= now or self._is_past(run, now) for run in self.runs.values()
        )

    def settle_history(self, horizon_us: float) -> None:
        """In a first read: let go of the tasks whose rows have all been read, up to `horizon_us` in time."""
        now = max((run.seen for run in self.runs.values()), default=0.0)
        self.take_waiting(now, last_call=False)
        for run in self.runs.values():
            run.close_history(min(horizon_us, run.last_us))

    def live_tasks(self) -> int:
        """The number of tasks held in full."""
        return sum(len(run.tasks) for run in self.runs.values())

    def skip_ended(self, wall: float) -> None:
        """Before a first read: forget the runs that ended longer than the retention time before `wall`."""
        for run_id, run in list(self.runs.items()):
            info = run.info
            end_us = None if info is None else info.end_again_us or info.end_us
            if end_us is not None and wall - end_us / MICROSECONDS > self._limits.retention:
                del self.runs[run_id]
                self.ended.add(run_id)

    def maybe_abandoned(self, wall: float) -> list[str]:
        """Before a first read: runs without an end that began long enough before `wall` to be abandoned."""
        oldest_us = (wall - self._limits.abandon_after) * MICROSECONDS
        return [r.run_id for r in self.runs.values() if not r.over and r.info and r.info.begin_us < oldest_us]

    def skip_abandoned(self, run_ids: Iterable[str]) -> None:
        """Before a first read: forget these runs until they write again."""
        for run_id in run_ids:
            if self.runs.pop(run_id, None) is not None:
                self.abandoned.add(run_id)

    def finish_first_read(self, now: float, wall: float, *, whole: bool = False) -> None:
        """Everything that was there has been taken: what is over closes, ages come from the stamps.

        `whole` is a dump: every ended try closes, whatever its age.
        """
        self.take_waiting(now, last_call=True)
        for run in self.runs.values():
            if run.over_since is None:
                run.settle_first_read(now, wall, whole=whole)
            if run.info is not None and run.info.end_us is not None:
                self.heard(run, run.info.end_us)  # which its status rows may have told only now
        self.ready = self.blocks_later = True

    def expire(self, now: float) -> None:
        """Drop the runs whose time is over."""
        for run_id, run in list(self.runs.items()):
            if self._is_past(run, now):
                del self.runs[run_id]
                self._workers.forget(run_id)
                (self.abandoned if run.over_since is None else self.ended).add(run_id)

    def _is_past(self, run: Run, now: float) -> bool:
        if run.over_since is None:
            return now - run.seen > self._limits.abandon_after
        return now - run.over_since > self._limits.retention
