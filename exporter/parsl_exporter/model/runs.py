"""The run model of one database: all its runs, and which of them still matter."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import tzinfo
from fnmatch import fnmatchcase
from itertools import groupby
from typing import NamedTuple

import numpy as np

from parsl_exporter.columns import Columns, Ints, Mask, SampleColumns, StatusColumns, TaskColumns, TryColumns
from parsl_exporter.model.failures import DEPENDENCY_ERROR
from parsl_exporter.model.intake import ONE_BY_ONE, OfRun, columns_of
from parsl_exporter.model.names import OTHER, Names, name
from parsl_exporter.model.offsets import Offset, zone_name
from parsl_exporter.model.run import Limits, Run, Waiting
from parsl_exporter.model.stamps import MICROSECONDS, Readings, Stamps
from parsl_exporter.model.states import STATES, WORKER_STATES
from parsl_exporter.model.sums import Buckets
from parsl_exporter.model.take import Labels, Taken, name_tries, take
from parsl_exporter.model.worker_zones import WorkerZones
from parsl_exporter.model.writers import SUBMIT
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
    """Folds rows of one database into runs. Pure: the times at which rows are taken are passed in.

    `now`: seconds of a clock that never steps; `wall`: UTC epoch seconds. `wall_us` is that of the rows taken last.
    `passing`: rows that waited are being taken, and those that go on waiting hold up no others; `last_call`: nor do
    they wait for what else this poll may bring. `blocks_later`: not all block rows have been taken yet.
    `only`: the runs that are of interest, where not all are; `others` are those that were found beside them.
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
        only: Collection[str] = (),
    ) -> None:
        self.stamps = self._stamps = Stamps(zone)
        self.wall_us = 0
        self.last_call = self.passing = False
        self.blocks_later = True
        self._workers = WorkerZones(worker_zones)
        self._zones = [(pattern, Stamps(own)) for pattern, own in run_zones]
        self._stamps_of: dict[str, Stamps] = {}
        self.names = Names()
        self.runs: dict[str, Run] = {}
        self.late: Counter[str] = Counter()
        self.rejected: Counter[tuple[str, str]] = Counter()
        self.first_rejected: dict[tuple[str, str], Row] = {}
        self.folded = 0
        self.aside: defaultdict[str, list[Waiting]] = defaultdict(list)
        self.ended: set[str] = set()
        self.abandoned: set[str] = set()
        self.awakened: set[str] = set()
        self.others: dict[str, None] = {}
        self.ready = False
        self._only = frozenset(only)
        self._buckets = buckets
        self._limits = limits
        self._reasons = {reason.rpartition(".")[2] for reason in failure_reasons} | {DEPENDENCY_ERROR}
        self._labels = Labels(self.names, self.label, self.failure_label)
        self._folds: set[tuple[str, str]] = set()
        self._refused: set[int] = set()

    # --- rows in --------------------------------------------------------------------------------------------

    def take(self, table: Table, rows: Sequence[Row], now: float, wall: float) -> None:
        """Take rows of one table, in the order of their insertion and any split; each row once."""
        self.wall_us = round(wall * MICROSECONDS)
        if table is WORKFLOW and self._zones:
            for row in rows:
                self._stamps_of[row[1]] = self._stamps_on(row[_HOST])
        if table.name not in ONE_BY_ONE:
            for run_id, columns, places in columns_of(table, rows, self._stamps, self.reject):
                self._take(run_id, columns, places, now)
            return
        for _, part in groupby(rows, lambda row: id(self._own(row[1]))):
            same_zone = list(part)
            self.stamps = self._own(same_zone[0][1])
            ONE_BY_ONE[table.name](self, same_zone, now)
        self.stamps = self._stamps

    def _own(self, run_id: object) -> Stamps:
        """What reads the stamps of a run's submit side."""
        return self._stamps_of.get(run_id, self._stamps) if isinstance(run_id, str) else self._stamps

    def ambiguous(self, run_id: str, columns: Columns) -> bool:
        """Say whether the order of insertion tells how some of these stamps are to be read."""
        if not isinstance(columns, (StatusColumns, SampleColumns)):
            return False
        zones = (self._own(run_id), *self._workers.zones())
        return any(bool((stamps.marked_all(columns.at) < 0).any()) for stamps in zones)

    def take_columns(
        self, run_id: str, columns: Columns, places: Ints | int, now: float, wall: float
    ) -> None:
        """Take rows of one run and table, stamps in naive microseconds, each from 1970 on in any zone.

        `places` are theirs in the order of insertion, or that of the last where no stamp is `ambiguous`.
        """
        self.wall_us = round(wall * MICROSECONDS)
        self._take(run_id, columns, places, now)

    def _take(self, run_id: str, columns: Columns, places: Ints | int, now: float) -> None:
        run = self.run(run_id, now)
        if run is None:
            return
        run.changed = True
        if isinstance(columns, (TaskColumns, TryColumns)):
            self._took(run, columns, take(run, columns, self._labels, now, self.wall_us))
            return
        if not self.last_call:  # which takes what came before
            run.seen = now
        finished = run.finished(columns.task_ids)
        if finished.any():
            self.aside[run_id].append(Waiting(columns.only(finished), _only(places, finished)))
            if run.published and not self.last_call:
                self.late[TABLE_OF[type(columns)].name] += int(np.count_nonzero(finished))
            columns, places = columns.only(~finished), _only(places, ~finished)
        if len(columns.task_ids):
            for part, of_part, stamps in self._by_zone(run, columns, places):
                if stamps is None:
                    self._wait(run, part, of_part, now)
                else:
                    self._take_stamped(run, part, of_part, stamps, now)

    def _took(self, run: Run, columns: Columns, taken: Taken) -> None:
        if taken.aside.any():
            self.aside[run.run_id].append(Waiting(columns.only(taken.aside), 0))
        if run.published and not self.last_call:
            late = taken.late + int(np.count_nonzero(taken.aside))
            self.late[TABLE_OF[type(columns)].name] += late

    # --- stamps, by writer ----------------------------------------------------------------------------------

    def _by_zone(
        self, run: Run, columns: StatusColumns | SampleColumns, places: Ints | int
    ) -> Iterator[tuple[StatusColumns | SampleColumns, Ints | int, Stamps | None]]:
        """Part rows by what reads their stamps; None: they have to wait."""
        own = self._own(run.run_id)
        if not self._workers:
            yield columns, places, own
            return
        workers = _by_workers(columns)
        if not workers.all():
            yield columns.only(~workers), _only(places, ~workers), own
        executors = run.executors_of(columns.task_ids, columns.try_ids)
        last_call = self.last_call or not self.blocks_later
        for code in np.unique(executors[workers]).tolist():
            of = workers & (executors == code)
            name = run.names.texts[code] if code >= 0 else None
            yield (
                columns.only(of),
                _only(places, of),
                self._workers.stamps(run, name, own, last_call=last_call),
            )

    def _wait(self, run: Run, columns: StatusColumns | SampleColumns, places: Ints | int, now: float) -> None:
        """Keep rows whose stamps cannot be read yet, and note what tries they name."""
        run.waiting.append(Waiting(columns, places))
        name_tries(run, columns.task_ids, columns.try_ids)
        if not self.last_call:
            run.seen = now
            self.heard(run, 0)

    def _take_stamped(
        self,
        run: Run,
        columns: StatusColumns | SampleColumns,
        places: Ints | int,
        stamps: Stamps,
        now: float,
    ) -> None:
        at = stamps.marked_all(columns.at)
        watched = self.watched_from(run, stamps, int(at[0]))
        if int(at.min()) < 0 or int(at.max()) >= watched:
            at, waits = self._placed(run, columns, at, places, stamps, watched)
            if waits.any():
                self._wait(run, columns.only(waits), _only(places, waits), now)
                columns, at = columns.only(~waits), at[~waits]
        if len(at):
            past = at[at <= self.wall_us]
            self.heard(run, int(past.max(initial=0)))
            self._took(run, columns, take(run, columns._replace(at=at), self._labels, now, self.wall_us))

    def _placed(
        self,
        run: Run,
        columns: StatusColumns | SampleColumns,
        marked: Ints,
        places: Ints | int,
        stamps: Stamps,
        watched: int,
    ) -> tuple[Ints, Mask]:
        """Give stamps that are not plain, each read in its writer's order of insertion, and which rows have to wait.

        They wait for the try row that names the writer, and behind others that wait.
        """
        at, waits = marked.copy(), np.full(len(marked), False)
        table = TABLE_OF[type(columns)].name
        workers = _by_workers(columns)
        executors = run.executors_of(columns.task_ids, columns.try_ids)
        others_wait = any(type(columns) is type(waiting.columns) for waiting in run.waiting)
        for i in np.flatnonzero((marked < 0) | (marked >= watched)).tolist():
            twice = marked[i] < 0
            writer = run.names.texts[executors[i]] if workers[i] and executors[i] >= 0 else SUBMIT
            unknown = bool(workers[i]) and executors[i] < 0
            if unknown:
                waits[i] = not self.last_call or (twice and not run.over)
            else:
                waits[i] = twice and others_wait and not self.passing
            if waits[i]:
                others_wait = True
                continue
            first = abs(int(marked[i]))
            readings = Readings(first, stamps.again(int(columns.at[i])) if twice else first)
            place = places if isinstance(places, int) else int(places[i])
            at[i] = first if unknown else run.writers.read(table, writer, place, readings)
        return at, waits

    def take_waiting(self, now: float, *, last_call: bool) -> None:
        """Take the rows whose stamps could not be read before: those that can be now, at the `last_call` of a poll.

        Rows without a try row go on waiting until their run is over.
        """
        self.last_call, self.passing = last_call, True
        try:
            for run in list(self.runs.values()):
                waiting, run.waiting = run.waiting, []
                for columns, places in sorted(waiting, key=lambda part: int(np.min(part.places))):
                    self._take(run.run_id, columns, places, now)
        finally:
            self.last_call = self.passing = False

    def took(self, run: Run, us: int) -> None:
        """Note the stamp of a block row that was taken."""
        run.newest_us = max(run.newest_us, us)
        self.heard(run, us)

    def heard(self, run: Run, us: int) -> None:
        """Note when a row was taken: now, but in a first read the newest stamp that is not later than now."""
        if self.ready:
            if not self.last_call:  # which takes what came before
                run.heard_us = self.wall_us
        elif us <= self.wall_us:
            run.heard_us = max(run.heard_us, us)

    def watched_from(self, run: Run, stamps: Stamps, us: int) -> int:
        """Give from when on the writers of a run are watched; `us` is one of its stamps."""
        watched = run.watched.get(id(stamps))
        if watched is None:
            begin_us = min(abs(us), self.wall_us)
            watched = run.watched[id(stamps)] = stamps.watched_from(begin_us, self.wall_us)
        return watched

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
            if self._only and run_id not in self._only:
                self.others[run_id] = None
                return None
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

    def failure_label(self, run: Run, failure: str | None) -> str | None:
        """The `reason` label of an exception class; what is folded is noted."""
        if failure is None or failure in self._reasons:
            return failure
        run.fold_class(name(failure))
        return OTHER

    # --- what has to be read again --------------------------------------------------------------------------

    def late_tasks(self) -> list[TaskKey]:
        """Finished tasks of which more rows have come: their earlier rows are needed to count those truly."""
        return [
            TaskKey(run_id, task_id)
            for run_id, parts in self.aside.items()
            for task_id in np.unique(np.concatenate([part.columns.task_ids for part in parts])).tolist()
        ]

    def late_tries(self, key: TaskKey) -> set[int]:
        """The try_ids that the later rows of a finished task give."""
        return {
            try_id
            for part, _ in self.aside[key.run_id]
            if not isinstance(part, TaskColumns)
            for try_id in part.try_ids[part.task_ids == key.task_id].tolist()
        }

    def revive(self, history: Mapping[str, Sequence[Row]], now: float) -> None:
        """Take the earlier rows (table name -> rows) of all late tasks, then the rows that were set aside."""
        aside, self.aside = self.aside, defaultdict(list)
        past: defaultdict[str, list[OfRun]] = defaultdict(list)
        for table in TASK_TABLES:
            for of_run in columns_of(table, history.get(table.name, ()), self._stamps, lambda *_: None):
                past[of_run.run_id].append(of_run)
        self.last_call = self.passing = True
        try:
            for run_id, parts in aside.items():
                run = self.runs.get(run_id)
                if run is not None:
                    self._revive(run, past[run_id], parts, now)
        finally:
            self.last_call = self.passing = False

    def _revive(self, run: Run, past: Sequence[OfRun], parts: Sequence[Waiting], now: float) -> None:
        task_ids = np.unique(np.concatenate([part.columns.task_ids for part in parts]))
        run.tasks.take_back(task_ids)
        newest_us, newest_of, heard_us = run.newest_us, run.newest_of.copy(), run.heard_us
        for _, columns, places in past:
            self._take(run.run_id, columns, places, run.seen)
        run.newest_us, run.newest_of, run.heard_us = newest_us, newest_of, heard_us
        run.come_back(task_ids)
        for columns, places in parts:
            self._take(run.run_id, columns, places, now)

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
                own = self._own(run.run_id)
                read_by = self._workers.read_by(run, offset.executor, own)
                yield offset, zone_name(read_by.offset_us(run.newest_us) + offset.us)

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
        self.take_waiting(now, last_call=True)
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
        now = max((run.seen for run in self.runs.values()), default=0.0)
        self.take_waiting(now, last_call=False)
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
        self.ready = self.blocks_later = True

    def expire(self, now: float) -> None:
        """Drop the runs whose time is over."""
        for run_id, run in list(self.runs.items()):
            if self._past(run, now):
                del self.runs[run_id]
                self._workers.forget(run_id)
                (self.abandoned if run.over_since is None else self.ended).add(run_id)

    def let_go(self, run_ids: Iterable[str]) -> None:
        """Drop runs that are over before their time."""
        for run_id in run_ids:
            if self.runs.pop(run_id, None) is not None:
                self.ended.add(run_id)

    def _past(self, run: Run, now: float) -> bool:
        if run.over_since is None:
            return now - run.seen > self._limits.abandon_after
        return now - run.over_since > self._limits.retention


def _only(places: Ints | int, rows: Mask) -> Ints | int:
    return places if isinstance(places, int) else places[rows]


def _by_workers(columns: StatusColumns | SampleColumns) -> Mask:
    """Say of each row whether it was written where its try ran."""
    if isinstance(columns, SampleColumns):
        return np.full(len(columns.task_ids), True)
    told = [value in _WORKER_STATES for value in columns.states.values]
    return np.array(told, np.bool_)[columns.states.codes]


_WORKER_STATES = frozenset(STATES[state] for state in WORKER_STATES)
