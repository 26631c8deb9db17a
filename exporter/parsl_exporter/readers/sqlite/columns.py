"""Reads many rows of SQLite in columns: a few long texts instead of an object a value.

`sqlite3` makes an object of every value, and gives the interpreter lock back at every row. It costs a quarter to
have SQLite put a column of names, numbers or stamps together (`group_concat` follows the order of the scan) and take
it apart in bulk. Floats would lose digits as texts: samples come row by row. Of a manager's snapshots only the last
one counts.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Collection, Sequence
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from parsl_exporter.base.columns import (
    EARLIEST_US,
    LATEST_US,
    TOO_MUCH,
    Columns,
    Floats,
    Ints,
    Named,
    SampleColumns,
    StatusColumns,
    TaskColumns,
    TryColumns,
    naive_stamps,
)
from parsl_exporter.base.tables import NODE, RESOURCE, STATUS, TASK, TOO_LARGE, TRY, Row, Table
from parsl_exporter.readers.batch import Batch, InOrder, Position, RunColumns, in_order_of_texts, stand_in
from parsl_exporter.readers.pace import BatchSize
from parsl_exporter.readers.sqlite.faults import TooLarge

if TYPE_CHECKING:
    from parsl_exporter.readers.sqlite.reader import SqliteReader

_AT_ONCE = 10_000
"""Rows of one read: about 5 ms, and no text of them as long as `LONGEST_VALUE`."""
_FEWEST = 500
_FEW = 64
"""Rows past a position that cost less one by one, in one statement, than in columns."""
_LONGEST_READ = 0.03
"""Seconds after which a read is stopped and begun again with fewer rows."""
LAST_ROWID = 2**63 - 1
"""The greatest that SQLite has."""
_STAMP = 1 + NODE.columns.index("timestamp")
_SEPARATOR = "\x1e"
_INTEGERS = "typeof(task_id) <> 'integer' OR task_id < 0"
_NO_STAMP = "typeof(timestamp) <> 'text' OR length(timestamp) <> 26"
_TRY_INTEGERS = f"{_INTEGERS} OR typeof(try_id) <> 'integer' OR try_id < 0"


def _name(column: str) -> str:
    """A column of names as one text; NULL is as good as the empty text."""
    return f"group_concat(ifnull({column}, ''), char(30))"


def _no_name(column: str) -> str:
    return f"typeof({column}) NOT IN ('text', 'null')"


class _Texts(NamedTuple):
    """How a table's rows become columns: `odd` says of a row that it does not fit; `texts` are aggregates.

    Rows where `alone` holds are read one by one.
    """

    odd: str
    texts: tuple[str, ...]
    alone: str = ""


_NAMES = ("task_executor", "block_id", "hostname")
_TEXTS = {
    TASK.name: _Texts(
        f"{_INTEGERS} OR {_no_name('task_func_name')}", ("group_concat(task_id)", _name("task_func_name"))
    ),
    TRY.name: _Texts(
        f"{_TRY_INTEGERS} OR {' OR '.join(map(_no_name, _NAMES))}",
        ("group_concat(task_id)", "group_concat(try_id)", *map(_name, _NAMES)),
        alone="ifnull(task_fail_history, '') <> ''",
    ),
    STATUS.name: _Texts(
        f"{_TRY_INTEGERS} OR {_NO_STAMP} OR {_no_name('task_status_name')}",
        (
            "group_concat(task_id)",
            "group_concat(try_id)",
            _name("task_status_name"),
            "group_concat(timestamp, '')",
        ),
    ),
    RESOURCE.name: _Texts(
        f"{_TRY_INTEGERS} OR {_NO_STAMP}",
        ("group_concat(task_id)", "group_concat(try_id)", "group_concat(timestamp, '')"),
    ),
}


class _Slice(NamedTuple):
    """The rows from rowid `first` to `last`, of all runs or, if `among`, only those of one run."""

    run_id: object
    first: int
    last: int
    among: bool = True

    def where(self) -> tuple[str, tuple[object, ...]]:
        """The condition, and its parameters."""
        if self.among:
            return "rowid BETWEEN ? AND ? AND run_id IS ?", (self.first, self.last, self.run_id)
        return "rowid BETWEEN ? AND ?", (self.first, self.last)

    def strangers(self) -> tuple[str, tuple[object, ...]]:
        """How many of the rows are of other runs than `run_id`, as an aggregate, and its parameters."""
        return ("0", ()) if self.among else ("sum(run_id IS NOT ?)", (self.run_id,))


class _Found(NamedTuple):
    """What a read brings."""

    columns: list[RunColumns]
    rows: list[Row]
    size: int


class _Mixed(Exception):
    """A slice has rows of several runs."""


class SqliteColumns:
    """Reads the growing tables of one database. Not for two threads at once.

    A poll that finds no more than `few` rows of a table has them one by one.
    """

    def __init__(self, reader: SqliteReader) -> None:
        self._reader = reader
        self.size = BatchSize(_FEWEST, _AT_ONCE)
        self.few = _FEW
        self._in_order: InOrder = in_order_of_texts

    def read(self, table: Table, after: Position, skip: Collection[str], in_order: InOrder) -> Batch:
        """Give the next rows past `after`, in columns where they fit. Raises what `SqliteReader.tail` does.

        Of managers all rows come unless `in_order` says of the least and the greatest stamp of each that the latter is
        the newest.

        How many is a matter of how fast the file can be read. That others need the processor, too, does not count: on
        a busy host smaller reads would cost more, and end no sooner.
        """
        if table is NODE or table.name in _TEXTS:
            self._in_order = in_order
            if self.few and after.rowid and not skip:
                few = self._reader.few_after(table, after, self.few)
                if few is not None:
                    return few
            with suppress(TooLarge):
                first = self._reader.first_after(table, after)
                if first is None:
                    return Batch([], after, more=False)
                enough = True
                while enough:
                    try:
                        return self._slice(table, first, frozenset(skip))
                    except TimeoutError:
                        enough = self.size.scale(1 / 4)
        return self._reader.tail(table, after, skip=skip)

    def _slice(self, table: Table, first: Row, skip: frozenset[str]) -> Batch:
        rowid, run_id = first
        position, newest = self._reader.last_upto(table, min(rowid + self.size.now - 1, LAST_ROWID))
        more, part = position.rowid < newest, position.rowid / newest if newest > 0 else 1.0
        whole = _Slice(run_id, rowid, position.rowid, among=False)
        if position.rowid - rowid < self.size.least:
            found = self._found(table, whole, skip)
        else:
            with self._reader.stopped_after(_LONGEST_READ) as taken:
                found = self._found(table, whole, skip)
                if taken() < _LONGEST_READ / 4:
                    self.size.scale(2)
        return Batch(found.rows, position, more, found.columns, found.size, part)

    def _found(self, table: Table, whole: _Slice, skip: frozenset[str]) -> _Found:
        if not skip:
            with suppress(_Mixed):
                return self._found_of(table, [whole])
        runs = [
            run for run in self._reader.runs_between(table, whole.first, whole.last) if run[0] not in skip
        ]
        found = self._found_of(table, [_Slice(*run) for *run, _ in runs])
        # A run_id that is no UTF-8 is not found by what it is read as.
        if found.size < sum(count for *_, count in runs):
            rows = [row for row in self._rows(table, whole) if row[1] not in skip]
            return _Found([], rows, len(rows))
        return found

    def _found_of(self, table: Table, parts: Sequence[_Slice]) -> _Found:
        columns: list[RunColumns] = []
        rows: list[Row] = []
        size = 0
        for part in parts:
            if table is NODE:
                count, others = self._managers(part)
            else:
                count, fitting, others = self._columns(table, part)
                if fitting is not None and isinstance(part.run_id, str):
                    columns.append(RunColumns(part.run_id, fitting, part.first, part.last))
                count += len(others)
            rows += others
            size += count
        return _Found(columns, rows, size)

    # --- tasks and tries ------------------------------------------------------------------------------------

    def _columns(self, table: Table, part: _Slice) -> tuple[int, Columns | None, list[Row]]:
        """The rows of a slice in columns, as far as they fit and how many those are, and the others."""
        odd, texts, alone = _TEXTS[table.name]
        where, parameters = part.where()
        foreign, run_id = part.strangers()
        found = self._reader.fetch(
            f'SELECT count(*), {foreign}, sum({odd}), {", ".join(texts)} FROM "{table.name}" NOT INDEXED'
            f" WHERE {where}{f' AND NOT ({alone})' if alone else ''}",
            (*run_id, *parameters),
        )
        count, strangers, misfits, *values = found[0]
        if strangers:
            raise _Mixed
        # Last: of a row whose history is written between the two reads both bring something, and not none.
        others = self._rows(table, part, alone) if alone and count <= part.last - part.first else []
        if not count:
            return 0, None, others
        columns = None
        if not misfits and isinstance(part.run_id, str) and part.run_id:
            columns = self._parsed(table, part, count, values)
        if columns is None:
            return 0, None, self._rows(table, part)
        return count, columns, others

    def _parsed(self, table: Table, part: _Slice, count: int, values: list[Any]) -> Columns | None:
        if not all(isinstance(value, str) for value in values):
            return None
        task_ids = _integers(values[0], count)
        if table is TASK:
            apps = _names(values[1], count)
            return None if task_ids is None or apps is None else TaskColumns(task_ids, apps)
        try_ids = _integers(values[1], count)
        if task_ids is None or try_ids is None:
            return None
        if table is TRY:
            executors, blocks, hosts = (_names(value, count) for value in values[2:])
            if executors is None or blocks is None or hosts is None:
                return None
            none = Named(np.zeros(count, np.int32), [None])
            return TryColumns(task_ids, try_ids, executors, blocks, hosts, none)
        at = naive_stamps(values[-1], count)
        if at is None or int(at.min()) < EARLIEST_US or int(at.max()) >= LATEST_US:
            return None
        if table is STATUS:
            states = _names(values[2], count)
            return None if states is None else StatusColumns(task_ids, try_ids, at, states)
        numbers = self._samples(part, count)
        return None if numbers is None else SampleColumns(task_ids, try_ids, at, numbers)

    def _samples(self, part: _Slice, count: int) -> Floats | None:
        """The values of resource samples, a row for each column that `tables.RESOURCE` has after the stamp."""
        columns = RESOURCE.columns[4:]
        absent = self._reader.absent(RESOURCE)
        present = [column for column in columns if column not in absent]
        where, parameters = part.where()
        rows = self._reader.fetch(
            f"SELECT {', '.join(present)} FROM resource NOT INDEXED WHERE {where}", parameters
        )
        try:
            flat = np.frombuffer(array("d", chain.from_iterable(rows)), np.float64)
        except (TypeError, OverflowError):  # NULL, or no number
            return None
        values: Floats = flat.reshape(-1, len(present)).T
        if values.shape[1] != count or not (np.abs(values) < TOO_MUCH).all():
            return None
        if not absent:
            return values
        whole = np.full((len(columns), count), np.nan)
        whole[[columns.index(column) for column in present]] = values
        return whole

    def _rows(self, table: Table, part: _Slice, condition: str = "1") -> list[Row]:
        where, parameters = part.where()
        return self._reader.rows_where(table, f"{where} AND ({condition}) ORDER BY rowid", parameters)

    def places(self, table: Table, of_run: RunColumns) -> Ints:
        """Give the rowids of rows that were read in columns, in their order."""
        alone = _TEXTS[table.name].alone
        where, parameters = _Slice(of_run.run_id, of_run.first, of_run.last).where()
        rows = self._reader.fetch(
            f'SELECT rowid FROM "{table.name}" NOT INDEXED WHERE {where}{f" AND NOT ({alone})" if alone else ""}',
            parameters,
        )
        return np.array([row[0] for row in rows], np.int64)

    # --- managers -------------------------------------------------------------------------------------------

    def _managers(self, part: _Slice) -> tuple[int, list[Row]]:
        """How many rows there are, and of each manager the last, and the first and the last with active=1.

        Before the last, where an earlier one is newer, comes an inactive one with that stamp.

        All rows when any is not as Parsl writes it. Rows of one manager on two hosts are as those of two.
        """
        if not isinstance(part.run_id, str) or not part.run_id:
            rows = self._rows(NODE, part)
            return len(rows), rows
        where, parameters = part.where()
        foreign, run_id = part.strangers()
        managers = self._reader.fetch(
            "SELECT max(rowid), count(*), max(timestamp), min(timestamp), min(last_heartbeat),"
            f" count(last_heartbeat), sum({_ODD}), group_concat(timestamp, ''), group_concat(last_heartbeat, ''),"
            f" min(CASE WHEN active <> 0 THEN rowid END), max(CASE WHEN active <> 0 THEN rowid END), {foreign}"
            f" FROM node NOT INDEXED WHERE {where} GROUP BY uid, hostname",
            (*run_id, *parameters),
        )
        if any(row[-1] for row in managers):
            raise _Mixed
        last = None
        if not managers:
            return 0, []
        if all(map(_ordinary, managers)) and self._in_order(
            min(row[3] for row in managers), max(row[2] for row in managers)
        ):
            last = self._last_rows(managers)
        count = sum(row[1] for row in managers)
        return count, self._rows(NODE, part) if last is None else last

    def _last_rows(self, managers: Sequence[Row]) -> list[Row] | None:
        newest = {row[0]: row[2] for row in managers}
        chosen = {
            rowid for last, *_, first, latest, _ in managers for rowid in (last, first, latest) if rowid
        }
        rows: list[Row] = []
        for row in self._reader.rows_where(
            NODE, "rowid IN (SELECT value FROM json_each(?)) ORDER BY rowid", (json.dumps(list(chosen)),)
        ):
            if row[1] is TOO_LARGE:
                return None
            if row[_STAMP] != newest.get(row[0], row[_STAMP]):
                rows.append(stand_in(row, newest[row[0]]))
            rows.append(row)
        return rows


def _integers(text: str, count: int) -> Ints | None:
    numbers = np.fromstring(text, np.int64, sep=",")
    return numbers if len(numbers) == count else None


def _names(text: str, count: int) -> Named | None:
    names = text.split(_SEPARATOR)
    return Named.of(names) if len(names) == count else None


def _ordinary(found: Row) -> bool:
    """Say whether the rows of one manager are all as Parsl writes them."""
    _, count, _, earliest, earliest_beat, beats, odd, stamps, beat_stamps, *_ = found
    if odd or naive_stamps(stamps, count) is None or (beats and naive_stamps(beat_stamps, beats) is None):
        return False
    return bool(min(earliest, earliest_beat or earliest) > _EARLIEST)


_EARLIEST = "1970-01-02"  # of which no zone makes a time before 1970
_ODD = (
    "typeof(uid) <> 'text' OR uid = '' OR typeof(cpu_count) <> 'integer'"
    " OR typeof(total_memory) <> 'integer' OR typeof(active) <> 'integer' OR typeof(worker_count) <> 'integer'"
    " OR typeof(timestamp) <> 'text' OR typeof(last_heartbeat) NOT IN ('text', 'null')"
)
