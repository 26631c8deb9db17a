"""The run model of one database: all its runs, and which of them still matter."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import tzinfo
from fnmatch import fnmatchcase
from itertools import groupby
from typing import NamedTuple

import numpy as np

from parsl_exporter.columns import Columns, SampleColumns, StatusColumns, TaskColumns, TryColumns
from parsl_exporter.model.intake import ONE_BY_ONE, columns_of
from parsl_exporter.model.names import OTHER, Names
from parsl_exporter.model.run import DEPENDENCY_ERROR, Limits, Run
from parsl_exporter.model.stamps import MICROSECONDS, Stamps
from parsl_exporter.model.sums import Buckets
from parsl_exporter.model.take import Labels, take
from parsl_exporter.tables import RESOURCE, STATUS, TASK, TOO_LARGE, TRY, WORKFLOW, Row, Table

TASK_TABLES = (TASK, TRY, STATUS, RESOURCE)
TABLE_OF: dict[type[Columns], Table] = {
    TaskColumns: TASK,
    TryColumns: TRY,
    StatusColumns: STATUS,
    SampleColumns: RESOURCE,
}
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


class Runs:
    """Folds rows of one database into runs. Pure: `now` (seconds, a clock that never steps) is passed in."""

    def __init__(
        self,
        *,
        zone: tzinfo | None,
        buckets: Buckets,
        limits: Limits,
        failure_reasons: Collection[str],
        run_zones: Sequence[tuple[str, tzinfo]] = (),
    ) -> None:
        self.stamps = self._stamps = Stamps(zone)
        self._zones = [(pattern, Stamps(own)) for pattern, own in run_zones]
        self._stamps_of: dict[str, Stamps] = {}
        self.names = Names()
        self.runs: dict[str, Run] = {}
        self.late: Counter[str] = Counter()
        self.rejected: Counter[tuple[str, str]] = Counter()
        self.first_rejected: dict[tuple[str, str], Row] = {}
        self.folded = 0
        self.aside: defaultdict[str, list[Columns]] = defaultdict(list)
        self.ended: set[str] = set()
        self.abandoned: set[str] = set()
        self.awakened: set[str] = set()
        self.ready = False
        self._buckets = buckets
        self._limits = limits
        self._reasons = frozenset(failure_reasons) | {DEPENDENCY_ERROR}
        self._labels = Labels(self.names, self.label, self.failure_label)
        self._folds: set[tuple[str, str]] = set()
        self._refused: set[int] = set()

    # --- rows in --------------------------------------------------------------------------------------------

    def take(self, table: Table, rows: Sequence[Row], now: float) -> None:
        """Take rows of one table, in any order and any split; each row once."""
        if not self._zones:
            self._take(table, rows, now)
            return
        if table is WORKFLOW:
            for row in rows:
                self._stamps_of[row[1]] = self._stamps_on(row[_HOST])
        for _, part in groupby(rows, lambda row: id(self._stamps_of.get(row[1], self._stamps))):
            same_zone = list(part)
            self.stamps = self._stamps_of.get(same_zone[0][1], self._stamps)
            self._take(table, same_zone, now)
        self.stamps = self._stamps

    def _take(self, table: Table, rows: Sequence[Row], now: float) -> None:
        if table.name in ONE_BY_ONE:
            ONE_BY_ONE[table.name](self, rows, now)
            return
        for run_id, columns in columns_of(table, rows, self.stamps, self.reject):
            self._take_columns(run_id, columns, now)

    def take_columns(self, run_id: str, columns: Columns, now: float) -> None:
        """Take rows of one run and table whose stamps are naive microseconds, each from 1970 on in any zone."""
        if isinstance(columns, (StatusColumns, SampleColumns)):
            stamps = self._stamps_of.get(run_id, self._stamps)
            columns = columns._replace(at=stamps.utc(columns.at))
        self._take_columns(run_id, columns, now)

    def _take_columns(self, run_id: str, columns: Columns, now: float) -> None:
        run = self.run(run_id, now)
        if run is None:
            return
        run.seen_row(now)
        taken = take(run, columns, self._labels, now)
        if taken.aside.any():
            self.aside[run_id].append(columns.only(taken.aside))
        if run.published:
            self.late[TABLE_OF[type(columns)].name] += taken.late + int(np.count_nonzero(taken.aside))

    def _stamps_on(self, host: object) -> Stamps:
        return next((s for pattern, s in self._zones if fnmatchcase(str(host), pattern)), self._stamps)

    def without_zone(self, run_ids: Iterable[str]) -> list[str]:
        """Give those of these runs whose zone is not known: their workflow rows must be taken before other rows.

        Each is given once: a run without such a row has the zone of the others.
        """
        if not self._zones:
            return []
        missing = sorted(set(run_ids) - self._stamps_of.keys())
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

    # --- what has to be read again --------------------------------------------------------------------------

    def late_tasks(self) -> dict[tuple[str, int], set[int]]:
        """Finished tasks of which more rows have come, and the try_ids that those give.

        Their earlier rows are needed to count the later ones truly.
        """
        found: dict[tuple[str, int], set[int]] = {}
        for run_id, parts in self.aside.items():
            for part in parts:
                if isinstance(part, TaskColumns):
                    for task_id in np.unique(part.task_ids).tolist():
                        found.setdefault(TaskKey(run_id, task_id), set())
                    continue
                for task_id, try_id in np.unique(np.stack([part.task_ids, part.try_ids]), axis=1).T.tolist():
                    found.setdefault(TaskKey(run_id, task_id), set()).add(try_id)
        return found

    def revive(self, history: Mapping[str, Sequence[Row]], now: float) -> None:
        """Take the earlier rows (table name -> rows) of all late tasks, then the rows that were set aside."""
        aside, self.aside = self.aside, defaultdict(list)
        past: dict[str, list[Columns]] = {}
        for table in TASK_TABLES:
            of_run: defaultdict[str, list[Row]] = defaultdict(list)
            for row in history.get(table.name, ()):
                of_run[row[1]].append(row)
            for run_id, rows in of_run.items():
                stamps = self._stamps_of.get(run_id, self._stamps)
                for _, columns in columns_of(table, rows, stamps, lambda *_: None):
                    past.setdefault(run_id, []).append(columns)
        for run_id, parts in aside.items():
            run = self.runs.get(run_id)
            if run is None:
                continue
            task_ids = np.unique(np.concatenate([part.task_ids for part in parts]))
            run.tasks.take_back(task_ids)
            newest_us, seen = run.newest_us, run.seen
            for columns in past.get(run_id, ()):
                take(run, columns, self._labels, seen)
            run.newest_us = newest_us
            run.come_back(task_ids)
            for columns in parts:
                take(run, columns, self._labels, now)

    def missing(self, *, again: bool = False) -> tuple[list[TaskKey], list[TryKey]]:
        """Give the tasks and tries that rows name and whose own rows have not come, each once, or all `again`."""
        tasks: list[TaskKey] = []
        tries: list[TryKey] = []
        for run_id, run in self.runs.items():
            task_ids, keys = run.missing(again=again)
            tasks += [TaskKey(run_id, task_id) for task_id in task_ids]
            tries += [TryKey(run_id, *key) for key in keys]
        return tasks, tries

    def incomplete_tries(self) -> Iterable[TryKey]:
        """Tries whose row is updated after the status rows that announce it: to be read again by key."""
        for run in self.runs.values():
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
        for run in self.runs.values():
            run.settle(now)

    def unsettled(self, now: float) -> bool:
        """Say whether `settle` would bring anything up to date."""
        return any(run.unsettled(now) for run in self.runs.values())

    def shows_otherwise(self, now: float) -> bool:
        """Say whether anything shows otherwise than when it was last drawn, or has had its time."""
        return any(run.changed or run.forget_at <= now or self._past(run, now) for run in self.runs.values())

    def settle_history(self, unread: Collection[Table] = ()) -> None:
        """In a first read: let go of the tasks whose rows have all been read, but for tables with `unread` rows.

        Of a run whose rows are in order of time that is so up to the newest row of it in each of these tables. In
        which no row of a run has come, it may have none: then the newest of all runs' counts.
        """
        overall = {
            table: max((run.newest_of.get(table.name, 0) for run in self.runs.values()), default=0)
            for table in (STATUS, RESOURCE)
        }
        for run in self.runs.values():
            horizon = [run.newest_of.get(t.name, overall[t]) for t in (STATUS, RESOURCE) if t in unread]
            run.close_history(min((*horizon, run.last_us)))

    def live_tasks(self) -> int:
        """The number of tasks held in full."""
        return sum(len(run.tasks) for run in self.runs.values())

    def skip_ended(self, wall: float) -> None:
        """Before a first read: forget the runs that ended longer than the retention time before `wall`."""
        for run_id, run in list(self.runs.items()):
            end_us = run.info.end_us if run.info is not None else None
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
        for run in self.runs.values():
            if run.over_since is None:
                run.settle_first_read(now, wall, whole=whole)
        self.ready = True

    def expire(self, now: float) -> None:
        """Drop the runs whose time is over."""
        for run_id, run in list(self.runs.items()):
            if self._past(run, now):
                del self.runs[run_id]
                (self.abandoned if run.over_since is None else self.ended).add(run_id)

    def _past(self, run: Run, now: float) -> bool:
        if run.over_since is None:
            return now - run.seen > self._limits.abandon_after
        return now - run.over_since > self._limits.retention
