"""One reading of a database from its beginning: its model, how far it has come, and what it reads next.

The position in a table moves only when the model has taken the batch.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import tzinfo
from typing import NamedTuple

from parsl_exporter.baton import Baton
from parsl_exporter.errors import ExporterError
from parsl_exporter.logs import event
from parsl_exporter.model.groups import Buckets
from parsl_exporter.model.run import Limits
from parsl_exporter.model.runs import Runs, TaskKey
from parsl_exporter.read.position import START, Batch, Position
from parsl_exporter.read.sqlite import SqliteReader
from parsl_exporter.tables import RESOURCE, STATUS, TABLES, TASK, TRY, WORKFLOW, Row, Table

_ASKED_AT_ONCE = 500
"""Tries whose rows are read again in one transaction."""
_TASK_TABLES = (TASK, TRY, STATUS, RESOURCE)

_log = logging.getLogger(__name__)


class SourceOptions(NamedTuple):
    """How one source is read and shown. `zone` None is the exporter's local zone; `whole` is a dump."""

    name: str
    zone: tzinfo | None
    buckets: Buckets
    limits: Limits
    runs: int
    failure_reasons: tuple[str, ...]
    hidden: frozenset[str]
    whole: bool = False


class _Taken(NamedTuple):
    """A batch that the model has taken, but whose late rows may not all be counted yet."""

    table: Table
    size: int
    position: Position


class Reading:
    """Reads rows into a model of its own. `rows_read` is counted up by table; `backlog` is rows not read yet.

    Every method may raise what a reader raises; called again, each goes on where it was.
    """

    def __init__(
        self,
        reader: SqliteReader,
        options: SourceOptions,
        *,
        baton: Baton,
        steady: Callable[[], float],
        rows_read: Counter[str],
        stopping: Callable[[], bool],
    ) -> None:
        self.reader = reader
        self.options = options
        self.baton = baton
        self.steady = steady
        self.stopping = stopping
        self.runs = Runs(
            zone=options.zone,
            buckets=options.buckets,
            limits=options.limits,
            failure_reasons=options.failure_reasons,
        )
        self.positions: dict[str, Position] = {table.name: START for table in TABLES}
        self.backlog: dict[str, int] = {}
        self._rows_read = rows_read
        self._taken: _Taken | None = None

    @property
    def untouched(self) -> bool:
        """Say whether no row has been read yet."""
        return all(position == START for position in self.positions.values())

    # --- batches --------------------------------------------------------------------------------------------

    def batch(self, table: Table) -> Batch:
        """Read the next rows of a table into the model."""
        with self.baton:
            batch = self.reader.tail(table, self.positions[table.name])
        if batch.rows:
            with self.baton:
                self.runs.take(table, batch.rows, self.steady())
        self.took(table, len(batch.rows), batch.position)
        return batch

    def took(self, table: Table, count: int, position: Position) -> None:
        """The model has taken the next `count` rows of a table, up to `position`."""
        self._taken = _Taken(table, count, position)
        self.finish_batch()

    def finish_batch(self) -> None:
        """Count the late rows of the batch that was taken; begun again when a lock came between."""
        if self._taken is None:
            return
        table, count, position = self._taken
        for key in self.runs.late_tasks():
            self._revive(key)
        self._rows_read[table.name] += count
        self.positions[table.name] = position
        self._taken = None

    def _revive(self, key: TaskKey) -> None:
        tries = {
            row[3] for table, row in self.runs.aside[key] if table is not TASK and isinstance(row[3], int)
        }
        with self.baton:
            history = self.reader.history(key.run_id, key.task_id, self.positions, tries)
            self.runs.revive(key, history, _TASK_TABLES, self.steady())

    # --- what a poll reads ----------------------------------------------------------------------------------

    def read_new(self) -> None:
        """Read all tables to their ends, and the runs that were dropped as abandoned and have written again."""
        for table in TABLES:
            while self.batch(table).more and not self.stopping():
                pass
            self.backlog[table.name] = 0
        for run_id in list(self.runs.awakened):
            self._read_run(run_id)

    def read_again(self) -> None:
        """Read rows that Parsl updates in place: of runs, and of tries whose host must still come."""
        with self.baton:
            rows: Sequence[Row] = self.reader.workflows(self.runs.known_runs())
            self.runs.take(WORKFLOW, rows, self.steady())
        keys = list(self.runs.incomplete_tries())
        for i in range(0, len(keys), _ASKED_AT_ONCE):
            with self.baton:
                rows = self.reader.tries(keys[i : i + _ASKED_AT_ONCE])
                known = [row for row in rows if row[0] <= self.positions[TRY.name].rowid]
                self.runs.take(TRY, known, self.steady())

    def _read_run(self, run_id: str) -> None:
        runs = self.runs
        runs.abandoned.discard(run_id)
        try:
            for table in TABLES:
                upto, after, more = self.positions[table.name].rowid, 0, True
                while more and not self.stopping():
                    with self.baton:
                        batch = self.reader.of_run(table, run_id, after, upto)
                        runs.take(table, batch.rows, self.steady())
                    after, more = batch.position.rowid, batch.more
        except ExporterError:
            runs.runs.pop(run_id, None)
            runs.abandoned.add(run_id)
            raise
        runs.awakened.discard(run_id)
        event(
            _log,
            logging.INFO,
            "a run taken for abandoned writes again",
            source=self.options.name,
            run_id=run_id,
        )
