"""One reading of a database from its beginning: its model, how far it has come, and what it reads next.

The position in a table moves only when the model has taken the batch.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from parsl_exporter.base.columns import Ints
from parsl_exporter.base.logs import event
from parsl_exporter.base.tables import TABLES, TASK, TRY, WORKFLOW, Row, Table
from parsl_exporter.model.runs import Runs
from parsl_exporter.readers.base import Reader
from parsl_exporter.readers.batch import START, Batch, Position, RunColumns
from parsl_exporter.source.clock import Clock
from parsl_exporter.source.locks import Baton
from parsl_exporter.source.options import SourceOptions
from parsl_exporter.source.turns import in_turn

_ASKED_AT_ONCE = 500
"""Tries whose rows are read again in one transaction."""
_NAMED_AT_ONCE = 1_000
"""Tasks or tries whose rows are read by key at once."""
_LONGEST = 2.0
"""Seconds of reading after which what was read is shown, though there is more: a writer may be faster."""

_log = logging.getLogger(__name__)


def model_of(options: SourceOptions, *, keyed: bool) -> Runs:
    """Make an empty model; `keyed`: its task and try rows are to be asked for by key."""
    return Runs(
        zone=options.zone,
        buckets=options.buckets,
        limits=options.limits,
        failure_reasons=options.failure_reasons,
        run_zones=options.run_zones,
        worker_zones=options.worker_zones,
        only=options.only,
        beginnings=options.beginnings,
        keyed=keyed,
    )


class _Taken(NamedTuple):
    """A batch that the model has taken, but whose late rows may not all be counted yet."""

    table: Table
    size: int
    position: Position
    more: bool


class Reading:
    """Reads rows into a model of its own. `rows_read` is counted up by table; `backlog` is rows not read yet.

    `steps` are those of `runs` that take long, each in turn. Every method may raise what a reader raises; called again,
    each goes on where it was.
    """

    def __init__(
        self,
        reader: Reader,
        options: SourceOptions,
        *,
        baton: Baton,
        clock: Clock,
        rows_read: Counter[str],
        stopping: Callable[[], bool],
    ) -> None:
        self.reader = reader if reader.remote else in_turn(reader, baton)
        self.options = options
        self.steady = clock.steady
        self.wall = clock.wall
        self.stopping = stopping
        self.runs = model_of(options, keyed=reader.keyed)
        self.steps = in_turn(self.runs, baton)
        self.positions: dict[str, Position] = {table.name: START for table in TABLES}
        self.backlog: dict[str, int] = {}
        self._rows_read = rows_read
        self._taken: _Taken | None = None
        # Of a keyed reader: the tables whose rows are still to come without being asked for by key.
        self._listing = {TASK.name, TRY.name} if reader.keyed else set()
        self._ask_again = False
        self._workflows: list[Row] = []

    @property
    def untouched(self) -> bool:
        """Say whether no row has been read yet."""
        return all(position == START for position in self.positions.values())

    def kept(self) -> dict[str, Any] | None:
        """Give what there is to know of it, not a copy; None while a batch is not all counted."""
        if self._taken is not None:
            return None
        return {
            "reader": self.reader.kept(self.positions),
            "runs": self.runs.kept(),
            "backlog": self.backlog,
        }

    def resume(self, kept: Mapping[str, Any]) -> None:
        """Go on, where nothing was read yet, from what another one has `kept`."""
        self.runs.resume(kept["runs"])
        self.backlog = kept["backlog"]
        self.positions = self.reader.resume(kept["reader"])

    # --- batches --------------------------------------------------------------------------------------------

    def batch(self, table: Table, skip: Collection[str] = ()) -> Batch:
        """Read the next rows of a table into the model."""
        batch = self.reader.read(table, self.positions[table.name], skip=skip, in_order=self._in_order)
        self._take(table, batch)
        self._taken = _Taken(table, batch.size, batch.position, batch.more)
        self.finish_batch()
        return batch

    def _take(self, table: Table, batch: Batch) -> None:
        """Take a batch whole: all that may fail for a lock comes first, so that nothing is taken twice."""
        row_runs = [] if table is WORKFLOW else [row[1] for row in batch.rows if isinstance(row[1], str)]
        self._know_zones({*(of_run.run_id for of_run in batch.columns), *row_runs})
        places = [self._places(table, of_run) for of_run in batch.columns]
        for of_run, of_columns in zip(batch.columns, places, strict=True):
            self.steps.take_columns(of_run.run_id, of_run.columns, of_columns, self.steady(), self.wall())
        self._take_rows(table, batch.rows)

    def _places(self, table: Table, of_run: RunColumns) -> Ints | int:
        if not self.runs.ambiguous(of_run.run_id, of_run.columns):
            return of_run.last
        return self.reader.places(table, of_run)

    def _in_order(self, least: str, greatest: str, run_id: str | None = None) -> bool:
        return self.runs.in_order(least, greatest, self.wall(), run_id)

    def _know_zones(self, run_ids: Iterable[str]) -> None:
        """Read the workflow rows of runs whose zone is not known yet."""
        if zoneless := self.runs.without_zone(run_ids):
            self._take_rows(WORKFLOW, self.reader.workflows(zoneless))
            self.runs.without_workflow(zoneless)

    def _take_rows(self, table: Table, rows: Sequence[Row]) -> None:
        if rows:
            self.steps.take(table, rows, self.steady(), self.wall())

    def _name(self, *, again: bool = False) -> None:
        """Read the task and try rows that are to be asked for by key, as far as they are there.

        Those that `read` is still to bring are asked for when it has come to their end, all at once.
        """
        if not self.reader.keyed:
            return
        if self._listing:
            self.runs.note_missing()
            self._ask_again = True
            return
        tasks, tries = self.runs.missing(again=again or self._ask_again)
        self._ask_again = True
        for i in range(0, len(tasks), _NAMED_AT_ONCE):
            self._came(TASK, self.reader.tasks(tasks[i : i + _NAMED_AT_ONCE]))
        for i in range(0, len(tries), _NAMED_AT_ONCE):
            self._came(TRY, self.reader.tries(tries[i : i + _NAMED_AT_ONCE], self.positions[TRY.name]))
        self._ask_again = False

    def _came(self, table: Table, batch: Batch) -> None:
        self._take(table, batch)
        self._rows_read[table.name] += batch.size

    def finish_batch(self) -> None:
        """Count the late rows of the batch that was taken; begun again when a lock came between."""
        if self._taken is None:
            return
        table, count, position, more = self._taken
        if not more:
            self._listing.discard(table.name)
        if count or self._ask_again:
            self._name()
        self._revive()
        self._rows_read[table.name] += count
        self.positions[table.name] = position
        self._taken = None

    def _revive(self) -> None:
        """Read the earlier rows of finished tasks of which more have come."""
        history: dict[str, list[Row]] = {}
        late = self.runs.late_tasks()
        keys = list(late)
        for i in range(0, len(keys), _NAMED_AT_ONCE):
            rows = self.reader.history(keys[i : i + _NAMED_AT_ONCE], self.positions, late)
            for name, found in rows.items():
                history.setdefault(name, []).extend(found)
        if keys:
            self.steps.revive(history, self.steady())

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
        return max(0, self.reader.last_rowid(table) - self.positions[table.name].rowid)

    def read_again(self) -> None:
        """Read rows that Parsl updates in place: of runs, and of tries whose host must still come."""
        known = self.runs.known_runs()
        workflows = self.reader.workflows(known)
        self._name(again=True)
        keys = list(self.runs.incomplete_tries())
        for i in range(0, len(keys), _ASKED_AT_ONCE):
            self._take(TRY, self.reader.tries(keys[i : i + _ASKED_AT_ONCE], self.positions[TRY.name]))
        if workflows != self._workflows:
            self._take_rows(WORKFLOW, workflows)
            self._workflows = workflows
        self.runs.sought(known)

    def _read_run(self, run_id: str, why: str) -> None:
        with self.runs.taken_whole(run_id):
            for table in TABLES:
                upto, after, more = self.positions[table.name], 0, True
                while more and not self.stopping():
                    batch = self.reader.of_run(table, run_id, after, upto)
                    self._take(table, batch)
                    self._name()
                    after, more = batch.position.rowid, batch.more
        event(_log, logging.INFO, f"a run is read again: {why}", source=self.options.name, run_id=run_id)
