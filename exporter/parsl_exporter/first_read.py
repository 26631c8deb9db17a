"""The first read of a database: everything that is there, the tables advancing together in time.

Read one after the other, every try would stay open until the last table is done. With numpy installed ordinary
tasks are read and folded in columns (`model/columns.py`, `read/sqlite_columns.py`), which is twice as fast.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby

from parsl_exporter.logs import event
from parsl_exporter.model.runs import Runs
from parsl_exporter.nothing_shown import nothing_shown
from parsl_exporter.read.position import Batch, Position
from parsl_exporter.read.reader import Reader
from parsl_exporter.read.sqlite import SqliteReader
from parsl_exporter.read.sqlite_columns import SqliteColumns, StatusSlice
from parsl_exporter.reading import Reading, SourceOptions
from parsl_exporter.tables import BLOCK, NODE, RESOURCE, STATUS, TABLES, WORKFLOW, Row, StatusColumns, Table

try:
    from parsl_exporter.model.columns import Columns
except ImportError:  # numpy is an extra
    Columns = None  # type: ignore[assignment,misc]  # the one name for both cases

_HELD_TASKS = 10_000
"""Live tasks that a first read holds before it looks for finished ones."""
_READS_AT_ONCE = 4
"""Short reads whose rows are folded together: folding in columns costs little more for many rows than for few."""
_ZONES_APART = timedelta(hours=26)
_DATED = (STATUS, RESOURCE, BLOCK, NODE)

_log = logging.getLogger(__name__)


def read_first(reading: Reading, *, wall: Callable[[], float], show: Callable[[], None]) -> bool:
    """Read everything; give whether it came to the end (False when the reading is stopping).

    `wall` gives UTC epoch seconds; `show` is called after each batch, with `reading.backlog` up to date. May
    raise what a reader raises, and goes on from there when it is called again.
    """
    begin = reading.steady()
    runs = reading.runs
    while reading.batch(WORKFLOW).more:
        pass
    first = _FirstRead(reading, skip_past(reading.reader, runs, reading.options, wall(), reading.turn))
    try:
        finished = first.read(show)
    finally:
        first.release()
    if not finished:
        return False
    # On a server a run's last rows may lie on pages already passed: that it has ended meanwhile is for the next poll.
    tables = [table for table in TABLES if not (reading.reader.keyed and table is WORKFLOW)]
    while not reading.read_new(tables) and not reading.stopping():
        show()
    with reading.baton:
        runs.finish_first_read(reading.steady(), wall(), whole=reading.options.whole)
    seconds = round(reading.steady() - begin, 3)
    why = nothing_shown(runs, reading.options.limits)
    note = {} if why is None else {"note": why}
    event(
        _log,
        logging.INFO,
        "caught up",
        source=reading.options.name,
        runs=len(runs.runs),
        seconds=seconds,
        **note,
    )
    return True


class _FirstRead:
    """The order in which the tables are read, and the two ways to read them."""

    def __init__(self, reading: Reading, skip: frozenset[str]) -> None:
        self._reading = reading
        self._skip = skip
        self._texts: SqliteColumns | None = None
        self._columns = None
        if isinstance(reading.reader, SqliteReader):
            self._texts = SqliteColumns(reading.reader, monotonic=reading.steady)
        if Columns is not None and self._texts is not None and not reading.options.run_zones:
            self._columns = Columns(reading.runs, reading.options.limits.close_after)
        self._ends: dict[str, int] = {}
        for table in TABLES:
            with reading.turn:
                self._ends[table.name] = reading.reader.last_rowid(table)

    def read(self, show: Callable[[], None]) -> bool:
        """Read all tables to their ends."""
        reading, runs = self._reading, self._reading.runs
        tables = {table.name: table for table in TABLES if table is not WORKFLOW}
        cursors = dict.fromkeys(tables, 0)
        held = _HELD_TASKS
        while cursors and not reading.stopping():
            table = tables[min(cursors, key=lambda name: cursors[name])]
            if self._batch(table):
                reached = self._reached(runs, table, reading.positions[table.name])
                cursors[table.name] = max(cursors[table.name], reached)
            else:
                del cursors[table.name]
            if self._live_tasks() > held:
                ahead = [cursors[t.name] for t in (STATUS, RESOURCE) if t.name in cursors]
                with reading.baton:
                    (self._columns.settle if self._columns else runs.settle_history)(
                        min(ahead, default=float("inf"))
                    )
                held = 2 * self._live_tasks() + _HELD_TASKS
            reading.backlog = {n: max(0, end - reading.positions[n].rowid) for n, end in self._ends.items()}
            show()
        return not cursors

    def release(self) -> None:
        """Have all tasks in the model itself, also when reading stopped half-way."""
        if self._columns is not None:
            with self._reading.baton:
                self._columns.release()

    def _live_tasks(self) -> int:
        return self._columns.live_tasks() if self._columns is not None else self._reading.runs.live_tasks()

    def _batch(self, table: Table) -> bool:
        """Read the next rows of a table; say whether there are more."""
        reading = self._reading
        if self._columns is not None and not self._skip and table is STATUS:
            return self._status_as_texts()
        if self._texts is not None and not self._skip and table is NODE:
            with reading.baton:
                nodes = self._texts.managers(reading.positions[NODE.name])
            with reading.baton:
                reading.runs.take(NODE, nodes.rows, reading.steady())
            reading.took(NODE, nodes.size, nodes.position)
            return nodes.more
        batch = self._rows(table)
        if self._columns is None:
            reading.fold(table, batch.rows)
        elif batch.rows:
            with reading.baton:
                self._columns.take(table, batch.rows, reading.steady())
        reading.took(table, len(batch.rows), batch.position)
        return batch.more

    def _rows(self, table: Table) -> Batch:
        reading = self._reading
        batch = Batch([], reading.positions[table.name], more=True)
        for _ in range(1 if reading.reader.remote else _READS_AT_ONCE):
            with reading.turn:
                found = reading.reader.tail(table, batch.position, skip=self._skip)
            batch = Batch(batch.rows + found.rows, found.position, found.more)
            if not batch.more:
                break
        return batch

    def _status_as_texts(self) -> bool:
        reading, texts, columns = self._reading, self._texts, self._columns
        assert columns is not None and texts is not None
        slices: list[StatusSlice] = []
        while not slices or (slices[-1].more and len(slices) < _READS_AT_ONCE):
            with reading.baton:
                slices.append(texts.status(slices[-1].position if slices else reading.positions[STATUS.name]))
        for _, group in groupby(slices, key=lambda one: one.columns and one.columns.run_id):
            parts = list(group)
            ordinary = [part.columns for part in parts if part.columns is not None]
            rows = partial(_one_by_one, texts, parts)
            with reading.baton:
                if ordinary:
                    columns.take_status(StatusColumns.joined(ordinary), rows, reading.steady())
                else:
                    columns.take(STATUS, rows(), reading.steady())
            reading.took(STATUS, sum(part.size for part in parts), parts[-1].position)
        return slices[-1].more

    def _reached(self, runs: Runs, table: Table, position: Position) -> int:
        """Microseconds of the stamp at a position; 0 when there is none."""
        with self._reading.turn:
            stamp = self._reading.reader.stamp_at(table, position)
        try:
            return runs.stamps.read(stamp)
        except ValueError:
            return 0


def _one_by_one(texts: SqliteColumns, parts: Sequence[StatusSlice]) -> list[Row]:
    return [row for part in parts for row in texts.between(STATUS, part.after, part.position.rowid)]


def skip_past(
    reader: Reader, runs: Runs, options: SourceOptions, wall: float, turn: AbstractContextManager[None]
) -> frozenset[str]:
    """Leave out the runs that are past their time, of those whose workflow rows were taken: give their ids.

    Their rows need not be read. `turn` is to be held while the reader reads.
    """
    if options.whole:
        return frozenset()
    runs.skip_ended(wall)
    candidates = runs.maybe_abandoned(wall)
    if candidates:
        since = datetime.fromtimestamp(wall - options.limits.abandon_after, options.zone)
        if options.run_zones:
            since -= _ZONES_APART
        stamp = since.strftime("%Y-%m-%d %H:%M:%S.%f")
        writers: set[str] = set()
        for table in _DATED:
            with turn:
                writers |= reader.writers_since(table, stamp)
        runs.skip_abandoned(set(candidates) - writers)
    return frozenset(runs.ended | runs.abandoned)
