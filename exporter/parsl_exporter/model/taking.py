"""Rows in: which run they belong to, how their stamps are read, and which have to wait for others.

Where an hour comes twice, or workers have a zone of their own, a stamp says what it means only together with what its
writer wrote before (`writers.py`) or with its executor (`worker_zones.py`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import tzinfo
from hashlib import blake2b
from itertools import groupby
from typing import Any

import numpy as np

from parsl_exporter.base.columns import (
    Columns,
    Ints,
    Mask,
    SampleColumns,
    StatusColumns,
    TaskColumns,
    TryColumns,
    any_of,
    distinct,
    indices,
)
from parsl_exporter.base.tables import RESOURCE, STATUS, TASK, TOO_LARGE, TRY, WORKFLOW, Row, Table
from parsl_exporter.model.failures import DEPENDENCY_ERROR
from parsl_exporter.model.intake import ONE_BY_ONE, columns_of
from parsl_exporter.model.names import OTHER, Names, name
from parsl_exporter.model.observations import Buckets
from parsl_exporter.model.run import Limits, Run, Waiting
from parsl_exporter.model.run_zones import RunZones
from parsl_exporter.model.states import STATES, WORKER_STATES
from parsl_exporter.model.take import Labels, Taken, name_tries, take
from parsl_exporter.model.timestamps import MICROSECONDS, Readings, Stamps
from parsl_exporter.model.worker_zones import WorkerZones
from parsl_exporter.model.writers import SUBMIT

TASK_TABLES = (TASK, TRY, STATUS, RESOURCE)
TABLE_OF: dict[type[Columns], Table] = {
    TaskColumns: TASK,
    TryColumns: TRY,
    StatusColumns: STATUS,
    SampleColumns: RESOURCE,
}
_REMEMBERED = 10_000


class Taking:
    """The runs of one database and the rows that they take. Pure: the times at which rows come are passed in.

    `wall_us` is that of the rows taken last. `passing`: rows that waited are being taken, and those that go on waiting
    hold up no others; `last_call`: nor do they wait for what else this poll may bring. `blocks_later`: not all block
    rows have been taken yet. `only`: the runs that are of interest, where not all are, and `beginnings` how their
    ids may begin; `others` are those that were found beside them. `keyed`: task and try rows are to be asked for by key
    (`missing`).
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
        beginnings: Collection[str] = (),
        keyed: bool = False,
    ) -> None:
        self._zones = RunZones(zone, run_zones)
        self.wall_us = 0
        self.last_call = self.passing = False
        self.blocks_later = True
        self._workers = WorkerZones(worker_zones)
        self._other_stamps = [*self._zones.others, *self._workers.zones()]
        self.names = Names()
        self.runs: dict[str, Run] = {}
        self.late: Counter[str] = Counter()
        self.rejected: Counter[tuple[str, str]] = Counter()
        self.first_rejected: dict[tuple[str, str], Row] = {}
        self.overflowed = 0
        self.aside: defaultdict[str, list[Waiting]] = defaultdict(list)
        self.ended: set[str] = set()
        self.abandoned: set[str] = set()
        self.awakened: set[str] = set()
        self.others: dict[str, None] = {}
        self.ready = False
        self._only = frozenset(only)
        self._beginnings = tuple(beginnings)
        self._keyed = keyed
        self._buckets = buckets
        self._limits = limits
        self._reasons = {reason.rpartition(".")[2] for reason in failure_reasons} | {DEPENDENCY_ERROR}
        self._labels = Labels(self.names, self.label, self.failure_label)
        self._overflows: set[tuple[str, str]] = set()
        self._refused: set[bytes] = set()

    def take(self, table: Table, rows: Sequence[Row], now: float, wall: float) -> None:
        """Take rows of one table, in the order of their insertion and any split; each row once."""
        self.wall_us = round(wall * MICROSECONDS)
        if table is WORKFLOW:
            self._zones.learn(rows)
        if table.name not in ONE_BY_ONE:
            for run_id, columns, places in columns_of(
                table, rows, self._zones.default, self.reject, self._other_stamps
            ):
                self._take(run_id, columns, places, now)
            return
        for _, part in groupby(rows, lambda row: id(self._zones.stamps(row[1]))):
            same_zone = list(part)
            ONE_BY_ONE[table.name](self, self._zones.stamps(same_zone[0][1]), same_zone, now)

    def ambiguous(self, run_id: str, columns: Columns) -> bool:
        """Say whether the order of insertion tells how some of these stamps are to be read."""
        if not isinstance(columns, (StatusColumns, SampleColumns)):
            return False
        zones = (self._zones.stamps(run_id), *self._workers.zones())
        return any(any_of(stamps.marked_all(columns.at) < 0) for stamps in zones)

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
        run.changed = run.changed or not self.passing  # rows that go on waiting show nothing new
        if isinstance(columns, (TaskColumns, TryColumns)):
            self._took(run, columns, take(run, columns, self._labels, now, self.wall_us))
            return
        if not self.last_call:  # which takes what came before
            run.seen = now
        finished = run.finished(columns.task_ids)
        if any_of(finished):
            run.changed = True
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
        run.changed = True
        if any_of(taken.aside):
            self.aside[run.run_id].append(Waiting(columns.only(taken.aside), 0))
        if run.published and not self.last_call:
            late = taken.late + int(np.count_nonzero(taken.aside))
            self.late[TABLE_OF[type(columns)].name] += late

    def _by_zone(
        self, run: Run, columns: StatusColumns | SampleColumns, places: Ints | int
    ) -> Iterator[tuple[StatusColumns | SampleColumns, Ints | int, Stamps | None]]:
        """Part rows by what reads their stamps; None: they have to wait."""
        own = self._zones.stamps(run.run_id)
        if not self._workers:
            yield columns, places, own
            return
        workers = _by_workers(columns)
        if not workers.all():
            yield columns.only(~workers), _only(places, ~workers), own
        executors = run.executors_of(columns.task_ids, columns.try_ids)
        last_call = self.last_call or not self.blocks_later
        for code in distinct(executors[workers]).tolist():
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
            if any_of(waits):
                self._wait(run, columns.only(waits), _only(places, waits), now)
                columns, at = columns.only(~waits), at[~waits]
        if len(at):
            self.heard(run, 0 if self.ready else int(at[at <= self.wall_us].max(initial=0)))
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
        for i in indices((marked < 0) | (marked >= watched)).tolist():
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
                if not run.waiting:
                    continue
                waiting, run.waiting = run.waiting, []
                for columns, places in _as_inserted(waiting):
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
        watched = run.watched.get(stamps.name)
        if watched is None:
            begin_us = min(abs(us), self.wall_us)
            watched = run.watched[stamps.name] = stamps.watched_from(begin_us, self.wall_us)
        return watched

    def in_order(self, least: str, greatest: str, wall: float, run_id: str | None = None) -> bool:
        """Say what `RunZones.in_order` does."""
        return self._zones.in_order(least, greatest, wall, run_id)

    def without_zone(self, run_ids: Iterable[str]) -> list[str]:
        """Give those of these runs whose zone is not known: their workflow rows must be taken before other rows."""
        return self._zones.unknown(run_ids)

    def without_workflow(self, run_ids: Iterable[str]) -> None:
        """Let those of these runs have the zone of the others whose workflow rows have been sought and not taken."""
        self._zones.settle(run_ids)

    def run(self, run_id: str, now: float) -> Run | None:
        """The run of that id, made when first seen; None when its rows are of no interest any more."""
        run = self.runs.get(run_id)
        if run is None:
            if (self._only or self._beginnings) and not self._chosen(run_id):
                self.others[run_id] = None
                return None
            if run_id in self.ended:
                return None
            if run_id in self.abandoned:
                self.awakened.add(run_id)
                return None
            run = self.runs[run_id] = Run(run_id, self._buckets, self._limits)
            run.seen = now
            run.keyed = self._keyed
        return run

    def _chosen(self, run_id: str) -> bool:
        return run_id in self._only or run_id.startswith(self._beginnings)

    def reject(self, table: Table, reason: str, row: Row) -> None:
        """Count a row that cannot be used."""
        if table is WORKFLOW and not self._refused_first(row):
            return
        key = (table.name, "size" if row[1] is TOO_LARGE else reason)
        self.rejected[key] += 1
        self.first_rejected.setdefault(key, row)

    def _refused_first(self, row: Row) -> bool:
        """Say whether a workflow row is refused for the first time: those of open runs are read at each poll."""
        seen = blake2b(repr(row).encode(), digest_size=16).digest()
        if seen in self._refused:
            return False
        if len(self._refused) < _REMEMBERED:
            self._refused.add(seen)
        return True

    def label(self, run: Run, app: str) -> str:
        """The label under which an app of a run is counted; what a limit folds is noted."""
        label, folded = run.app_label(app)
        if folded:
            self.overflow((run.run_id, app))
        return label

    def overflow(self, value: tuple[str, str]) -> None:
        """Count a value that a limit folded into `_other`, once each as far as can be remembered."""
        if value not in self._overflows:
            self.overflowed += 1
            if len(self._overflows) < _REMEMBERED:
                self._overflows.add(value)

    def failure_label(self, run: Run, failure: str | None) -> str | None:
        """The `reason` label of an exception class; what is folded is noted."""
        if failure is None or failure in self._reasons:
            return failure
        run.fold_class(name(failure))
        return OTHER


def _as_inserted(waiting: Sequence[Waiting]) -> Iterator[Waiting]:
    """Put the rows of each table together in the order of their insertion: parts of one batch lie between others."""
    for kind in (StatusColumns, SampleColumns):
        columns: list[Any] = [part.columns for part in waiting if isinstance(part.columns, kind)]
        if columns:
            given = [part.places for part in waiting if isinstance(part.columns, kind)]
            counts = (len(part.task_ids) for part in columns)
            places = np.concatenate([np.broadcast_to(of, n) for of, n in zip(given, counts, strict=True)])
            order = np.argsort(places, kind="stable")
            yield Waiting(kind.joined(columns).only(order), places[order])


def _only(places: Ints | int, rows: Mask) -> Ints | int:
    return places if isinstance(places, int) else places[rows]


def _by_workers(columns: StatusColumns | SampleColumns) -> Mask:
    """Say of each row whether it was written where its try ran."""
    if isinstance(columns, SampleColumns):
        return np.full(len(columns.task_ids), True)
    told = [value in _WORKER_STATES for value in columns.states.values]
    return np.array(told, np.bool_)[columns.states.codes]


_WORKER_STATES = frozenset(STATES[state] for state in WORKER_STATES)
