"""One reading of a database from its beginning: its model, how far it has come, and what it reads next.

The position in a table moves only when the model has taken the batch.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import tzinfo
from typing import NamedTuple

from parsl_exporter.baton import Baton
from parsl_exporter.errors import ExporterError
from parsl_exporter.logs import event
from parsl_exporter.model.groups import Buckets
from parsl_exporter.model.nameless import Nameless
from parsl_exporter.model.run import Limits
from parsl_exporter.model.runs import Runs, TaskKey
from parsl_exporter.read.position import START, Batch, Position
from parsl_exporter.read.reader import Reader
from parsl_exporter.tables import RESOURCE, STATUS, TABLES, TASK, TRY, WORKFLOW, Row, Table

_ASKED_AT_ONCE = 500
"""Tries whose rows are read again in one transaction."""
_LONGEST = 2.0
"""Seconds of reading after which what was read is shown, though there is more: a writer may be faster."""
_TASK_TABLES = (TASK, TRY, STATUS, RESOURCE)

_log = logging.getLogger(__name__)


class SourceOptions(NamedTuple):
    """How one source is read and shown. `zone` None is the exporter's local zone; `whole` is a dump.

    `run_zones`: patterns of submit hosts and the zones that their runs' stamps have instead; `worker_zones`: patterns
    of executors and the zones of what their workers stamp.
    """

    name: str
    zone: tzinfo | None
    buckets: Buckets
    limits: Limits
    runs: int
    failure_reasons: tuple[str, ...]
    hidden: frozenset[str]
    whole: bool = False
    run_zones: tuple[tuple[str, tzinfo], ...] = ()
    worker_zones: tuple[tuple[str, tzinfo], ...] = ()


class _Taken(NamedTuple):
    """A batch that the model has taken, but whose late rows may not all be counted yet."""

    table: Table
    size: int
    position: Position


class Reading:
    """Reads rows into a model of its own. `rows_read` is counted up by table; `backlog` is rows not read yet.

    `turn` is to be held while the reader reads. Every method may raise what a reader raises; called again, each
    goes on where it was.
    """

    def __init__(
        self,
        reader: Reader,
        options: SourceOptions,
        *,
        baton: Baton,
        steady: Callable[[], float],
        wall: Callable[[], float],
        rows_read: Counter[str],
        stopping: Callable[[], bool],
    ) -> None:
        self.reader = reader
        self.options = options
        self.baton = baton
        self.turn: AbstractContextManager[None] = nullcontext() if reader.remote else baton
        self.steady = steady
        self.wall = wall
        self.stopping = stopping
        self.runs = Runs(
            zone=options.zone,
            buckets=options.buckets,
            limits=options.limits,
            failure_reasons=options.failure_reasons,
            run_zones=options.run_zones,
            worker_zones=options.worker_zones,
        )
        self.positions: dict[str, Position] = {table.name: START for table in TABLES}
        self.backlog: dict[str, int] = {}
        self._rows_read = rows_read
        self._taken: _Taken | None = None
        self._nameless = Nameless()

    @property
    def untouched(self) -> bool:
        """Say whether no row has been read yet."""
        return all(position == START for position in self.positions.values())

    # --- batches --------------------------------------------------------------------------------------------

    def batch(self, table: Table) -> Batch:
        """Read the next rows of a table into the model."""
        with self.turn:
            batch = self.reader.tail(table, self.positions[table.name])
        self.fold(table, batch.rows)
        self.took(table, len(batch.rows), batch.position)
        return batch

    def took(self, table: Table, count: int, position: Position) -> None:
        """The model has taken the next `count` rows of a table, up to `position`."""
        self._taken = _Taken(table, count, position)
        self.finish_batch()

    def fold(self, table: Table, rows: Sequence[Row]) -> None:
        """Have the model take rows; what they name for the first time is then to be asked for by key."""
        if not rows:
            return
        if table is not WORKFLOW and (zoneless := self.runs.without_zone(rows)):
            with self.turn:
                workflows = self.reader.workflows(zoneless)
            self.fold(WORKFLOW, workflows)
        with self.baton:
            self.runs.take(table, rows, self.steady(), self.wall())
            if self.reader.keyed and table in (STATUS, RESOURCE):
                self._nameless.add(self.runs, rows)

    def _name(self) -> None:
        """Read the task and try rows that are to be asked for by key, as far as they are there."""
        nameless = self._nameless
        for table, keys in ((TASK, nameless.tasks), (TRY, nameless.tries)):
            if keys:
                with self.turn:
                    rows = (
                        self.reader.tasks(sorted(nameless.tasks))
                        if table is TASK
                        else self.reader.tries(sorted(nameless.tries), self.positions[TRY.name])
                    )
                self.fold(table, rows)
                self._rows_read[table.name] += len(rows)
        nameless.asked(self.runs)

    def finish_batch(self) -> None:
        """Count the late rows of the batch that was taken; begun again when a lock came between."""
        if self._taken is None:
            return
        table, count, position = self._taken
        self._name()
        for key in self.runs.late_tasks():
            self._revive(key)
        self._rows_read[table.name] += count
        self.positions[table.name] = position
        self._taken = None

    def _revive(self, key: TaskKey) -> None:
        tries = {
            row[3] for table, row in self.runs.aside[key] if table is not TASK and isinstance(row[3], int)
        }
        with self.turn:
            history = self.reader.history(key.run_id, key.task_id, self.positions, tries)
        with self.baton:
            self.runs.revive(key, history, _TASK_TABLES, self.steady())

    # --- what a poll reads ----------------------------------------------------------------------------------

    def read_new(self, tables: Sequence[Table] = TABLES) -> bool:
        """Read tables to their ends, and the runs that were dropped as abandoned and have written again.

        Gives False when there was more than a few seconds' worth in a table: the rest is for the next call.
        """
        until = self.steady() + _LONGEST
        left = list(tables)
        while left and not self.stopping():
            left = [table for table in left if self.batch(table).more]
            if self.steady() > until:
                break
        self.backlog = {table.name: self._left(table) if table in left else 0 for table in TABLES}
        misread = self.runs.misread_runs()
        for run_id in list(self.runs.awakened):
            why = (
                "its workers' first block came late"
                if run_id in misread
                else "it was taken for abandoned, but writes"
            )
            self._read_run(run_id, why)
        return not left

    def _left(self, table: Table) -> int:
        with self.turn:
            return max(0, self.reader.last_rowid(table) - self.positions[table.name].rowid)

    def read_again(self) -> None:
        """Read rows that Parsl updates in place: of runs, and of tries whose host must still come."""
        with self.turn:
            workflows = self.reader.workflows(self.runs.known_runs())
        self._nameless.again()
        self._name()
        keys = list(self.runs.incomplete_tries())
        for i in range(0, len(keys), _ASKED_AT_ONCE):
            with self.turn:
                rows = self.reader.tries(keys[i : i + _ASKED_AT_ONCE], self.positions[TRY.name])
            self.fold(TRY, rows)
        self.fold(WORKFLOW, workflows)

    def _read_run(self, run_id: str, why: str) -> None:
        runs = self.runs
        runs.abandoned.discard(run_id)
        try:
            for table in TABLES:
                upto, after, more = self.positions[table.name], 0, True
                while more and not self.stopping():
                    with self.turn:
                        batch = self.reader.of_run(table, run_id, after, upto)
                    self.fold(table, batch.rows)
                    self._name()
                    after, more = batch.position.rowid, batch.more
        except ExporterError:
            runs.runs.pop(run_id, None)
            runs.abandoned.add(run_id)
            raise
        runs.awakened.discard(run_id)
        event(
            _log,
            logging.INFO,
            f"a run is read again: {why}",
            source=self.options.name,
            run_id=run_id,
        )
