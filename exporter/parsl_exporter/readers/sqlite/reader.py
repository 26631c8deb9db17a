"""Reads Parsl's SQLite database without harm: read-only, in short transactions, never changing anything.

Each method is one short read transaction at most. A reader's SHARED lock makes Parsl's writer wait, so all rows
of a batch are fetched at once and the transaction has ended when the method returns. Sources:
sqlite.org/lockingv3.html, sqlite.org/pragma.html (data_version, schema_version), sqlite.org/uri.html.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from parsl_exporter.base.columns import Ints
from parsl_exporter.base.errors import SourceReplaced
from parsl_exporter.base.tables import BY_NAME, RESOURCE, STATUS, TASK, TOO_LARGE, TRY, WORKFLOW, Row, Table
from parsl_exporter.readers.batch import (
    START,
    Batch,
    InOrder,
    Position,
    RunColumns,
    in_order_of_texts,
    position_of,
)
from parsl_exporter.readers.pace import BatchSize
from parsl_exporter.readers.sqlite.columns import LAST_ROWID, SqliteColumns
from parsl_exporter.readers.sqlite.faults import TooLarge
from parsl_exporter.readers.sqlite.file import SqliteFile

LONGEST_READ = 0.01
"""Seconds that a read transaction should take: batches grow and shrink towards it."""
_FEWEST, _MOST, _AT_FIRST = 10, 10_000, 500
_CUT_OFF = 0.03
"""Seconds after which a batch ends where it is, so that rows larger than those before hold no lock for long."""
_MOST_TRIES = 1_000
_KEYS_AT_ONCE = 500
_LOOKED_AT = 16
"""Rows of a table that tell whether a database is the one that was read before."""


class SqliteReader(SqliteFile):
    """Parsl's tables in one database file: see `readers.base.Reader`. Not for two threads at once."""

    dialect = "sqlite"
    remote = False
    keyed = False

    def __init__(self, path: Path, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(path, monotonic=monotonic)
        self._sizes = {name: BatchSize(_FEWEST, _MOST, _AT_FIRST) for name in BY_NAME}
        self._in_columns = SqliteColumns(self)
        self._expected: Mapping[str, Any] | None = None

    # --- going on where another one was -------------------------------------------------------------------

    def kept(self, positions: Mapping[str, Position]) -> Mapping[str, Any]:
        """Give the positions, the file and its schema, and some of the rows that were read."""
        return {
            "file": self._readable,
            "schema": self._schema_version,
            "positions": {name: tuple(position) for name, position in positions.items()},
            "rows": self._some_rows(positions),
        }

    def resume(self, kept: Mapping[str, Any]) -> dict[str, Position]:
        """Go on from there, if the file is that one and all that was kept of it is as it was."""
        self._readable, self._expected = kept["file"], kept
        return {name: Position(*position) for name, position in kept["positions"].items()}

    def changed(self) -> bool:
        """Say whether anything was committed; SourceReplaced too when it is not the database that was kept."""
        changed = super().changed()
        if (kept := self._expected) is not None:
            same = (
                self._schema_version == kept["schema"] and self._some_rows(kept["positions"]) == kept["rows"]
            )
            self._expected = None
            if not same:
                raise SourceReplaced(f"{self.path}: rows are other ones than before; reading it anew")
        return changed

    def _some_rows(self, upto: Mapping[str, tuple[int, Row | None]]) -> dict[str, list[Row]]:
        """What is never updated of a few rows up to each position, from the first on."""
        found: dict[str, list[Row]] = {}
        for name, (last, _) in upto.items():
            rowids = {min(1, last), *(last * part // _LOOKED_AT for part in range(1, _LOOKED_AT + 1))}
            rows = self._rows(
                BY_NAME[name],
                "rowid IN (SELECT value FROM json_each(?)) ORDER BY rowid",
                (json.dumps(sorted(rowids)),),
            )
            found[name] = [row[: 1 + BY_NAME[name].identity] for row in rows]
        return found

    def absent(self, table: Table) -> frozenset[str]:
        """Give the columns that this database's schema lacks, and that are read as NULL."""
        return frozenset(table.columns) - self._schema[table.name]

    # --- rows -----------------------------------------------------------------------------------------------

    def read(
        self,
        table: Table,
        after: Position,
        *,
        skip: Collection[str] = (),
        in_order: InOrder = in_order_of_texts,
    ) -> Batch:
        """Give the next rows past `after`, in columns where they fit."""
        return self._in_columns.read(table, after, skip, in_order)

    def places(self, table: Table, of_run: RunColumns) -> Ints:
        """Give the rowids of rows that were read in columns, in their order."""
        return self._in_columns.places(table, of_run)

    def tail(self, table: Table, after: Position, *, skip: Collection[str] = ()) -> Batch:
        """Give the next rows past `after`, as many as a short transaction allows.

        Rows of runs in `skip` are left out. Raises SourceReplaced when the row at `after` is not there any more.
        """
        if skip:
            return self._tail_without(table, after, skip)
        limit = self._sizes[table.name].now
        begin = self._monotonic()
        rows = self._rows(table, "rowid >= ? ORDER BY rowid LIMIT ?", (after.rowid, limit + 1), _CUT_OFF)
        taken = self._monotonic() - begin
        self._adapt(table, taken, full=len(rows) >= limit)
        more = len(rows) > limit or taken > _CUT_OFF
        return self._past(table, after, rows, more=more)

    def few_after(self, table: Table, after: Position, most: int) -> Batch | None:
        """Give all rows past `after`, whose rowids are no more than `most` beyond it; None when one is.

        Raises SourceReplaced when the row at `after` is not there any more.
        """
        end = min(after.rowid + most, LAST_ROWID)
        rows = self._rows(
            table,
            f'rowid BETWEEN ?1 AND CASE WHEN (SELECT max(rowid) FROM "{table.name}") <= ?2 THEN ?2 END ORDER BY rowid',
            (after.rowid, end),
        )
        return self._past(table, after, rows, more=False) if rows else None

    def _past(self, table: Table, after: Position, rows: list[Row], *, more: bool) -> Batch:
        """The batch of rows from the one at `after` on, which has been read."""
        self._leave_out(table, after, rows)
        return Batch(rows, position_of(table, rows[-1]) if rows else after, more, size=len(rows))

    def first_after(self, table: Table, after: Position) -> Row | None:
        """Give the rowid and run_id of the next row past `after`; None when there is none.

        Raises SourceReplaced when the row at `after` is not there any more.
        """
        columns = ", ".join(f'"{column}"' for column in table.columns[: table.identity])
        rows = self.fetch(
            f'SELECT rowid, {columns} FROM "{table.name}" WHERE rowid >= ? ORDER BY rowid LIMIT ?',
            (after.rowid, 2 if after.rowid else 1),
        )
        self._leave_out(table, after, rows)
        return rows[0][:2] if rows else None

    def _leave_out(self, table: Table, after: Position, rows: list[Row]) -> None:
        """Take the row at `after` off rows that begin there; SourceReplaced when it is not there any more."""
        if not after.rowid:
            return
        here = rows.pop(0) if rows else (None,)
        identity = here[1 : 1 + table.identity]
        if here[0] != after.rowid or (after.identity is not None and identity != after.identity):
            raise self._rows_gone(table)

    def last_upto(self, table: Table, rowid: int) -> tuple[Position, int]:
        """Give the position of the last row up to a rowid, and the rowid of the table's newest row."""
        columns = ", ".join(f'"{column}"' for column in table.columns[: table.identity])
        rows = self.fetch(
            f'SELECT (SELECT max(rowid) FROM "{table.name}"), rowid, {columns} FROM "{table.name}"'
            " WHERE rowid <= ? ORDER BY rowid DESC LIMIT 1",
            (rowid,),
        )
        if not rows:
            raise self._rows_gone(table)
        newest, *row = rows[0]
        return position_of(table, tuple(row)), int(newest)

    def runs_between(self, table: Table, first: int, last: int) -> list[Row]:
        """Give run_id, first and last rowid and number of rows of each run from one rowid to another."""
        return self.fetch(
            f'SELECT run_id, min(rowid), max(rowid), count(*) FROM "{table.name}" NOT INDEXED'
            " WHERE rowid BETWEEN ? AND ? GROUP BY run_id ORDER BY 2",
            (first, last),
        )

    def rows_where(self, table: Table, condition: str, parameters: Sequence[Any]) -> list[Row]:
        """Give the rows that fulfil a condition; the caller bounds how many those are."""
        return self._rows(table, condition, parameters)

    def _rows_gone(self, table: Table) -> SourceReplaced:
        return SourceReplaced(f"{self.path}: rows of {table.name} were deleted or replaced; reading it anew")

    def _tail_without(self, table: Table, after: Position, skip: Collection[str]) -> Batch:
        limit = self._sizes[table.name].now * 4
        ends = self.fetch(
            f'SELECT max(rowid), count(*) FROM (SELECT rowid FROM "{table.name}" WHERE rowid > ?'
            " ORDER BY rowid LIMIT ?)",
            (after.rowid, limit),
        )
        end, count = ends[0]
        if end is None:
            return Batch([], after, more=False)
        begin = self._monotonic()
        rows = self._rows(
            table,
            "rowid > ? AND rowid <= ?"
            " AND (rowid = ? OR ifnull(run_id, '') NOT IN (SELECT value FROM json_each(?))) ORDER BY rowid",
            (after.rowid, end, end, json.dumps(list(skip))),
        )
        self._adapt(table, self._monotonic() - begin, full=True)
        if not rows or rows[-1][0] != end:
            raise self._rows_gone(table)
        position = position_of(table, rows[-1])
        if rows[-1][1] in skip:
            del rows[-1]
        return Batch(rows, position, more=count == limit, size=len(rows))

    def of_run(self, table: Table, run_id: str, after: int, upto: Position) -> Batch:
        """Give the rows of one run past rowid `after` and up to `upto`, in bounded slices."""
        limit = self._sizes[table.name].now * 4
        ends = self.fetch(
            f'SELECT max(rowid) FROM (SELECT rowid FROM "{table.name}" WHERE rowid > ? AND rowid <= ?'
            " ORDER BY rowid LIMIT ?)",
            (after, upto.rowid, limit),
        )
        end = ends[0][0]
        if end is None:
            return Batch([], upto, more=False)
        rows = self._rows(
            table, "rowid > ? AND rowid <= ? AND run_id = ? ORDER BY rowid", (after, end, run_id)
        )
        return Batch(rows, Position(end), more=end < upto.rowid)

    def last_rowid(self, table: Table) -> int:
        """Give the position of the table's newest row; 0 when it is empty."""
        return int(self.fetch(f'SELECT max(rowid) FROM "{table.name}"')[0][0] or 0)

    def workflows(self, run_ids: Sequence[str]) -> list[Row]:
        """Give the workflow rows of these runs."""
        rows: list[Row] = []
        for i in range(0, len(run_ids), _KEYS_AT_ONCE):
            rows += self._rows(
                WORKFLOW,
                "run_id IN (SELECT value FROM json_each(?))",
                (json.dumps(run_ids[i : i + _KEYS_AT_ONCE]),),
            )
        return rows

    def newest(self, table: Table, count: int) -> Iterator[Sequence[Row]]:
        """Give the last `count` rows, in batches."""
        after, more = Position(max(0, self.last_rowid(table) - count)), True
        while more:
            batch = self.tail(table, after._replace(identity=None))
            yield batch.rows
            after, more = batch.position, batch.more

    def tasks(self, keys: Sequence[tuple[str, int]]) -> Batch:
        """Give nothing: task rows come from `read`."""
        del keys
        return Batch([], START, more=False)

    def tries(self, keys: Sequence[tuple[str, int, int]], upto: Position) -> Batch:
        """Give the try rows of these (run_id, task_id, try_id), of the first few hundred at most, up to `upto`."""
        keys = keys[:_KEYS_AT_ONCE]
        columns = self._columns[TRY.name].replace("rowid", '"try".rowid').replace(' "', ' "try"."')
        rows = self.fetch(
            f'SELECT {columns} FROM json_each(?) AS k CROSS JOIN "try" ON'
            " \"try\".try_id = json_extract(k.value, '$[2]') AND \"try\".task_id = json_extract(k.value, '$[1]')"
            ' AND "try".run_id = json_extract(k.value, \'$[0]\') WHERE "try".rowid <= ?',
            (json.dumps(keys), upto.rowid),
        )
        return Batch(rows, START, more=False, size=len(rows))

    def history(
        self,
        keys: Sequence[tuple[str, int]],
        upto: Mapping[str, Position],
        known_tries: Mapping[tuple[str, int], Collection[int]],
    ) -> dict[str, list[Row]]:
        """Give the rows of these (run_id, task_id) up to the given positions, by table; look-ups go by primary key.

        `known_tries`: try_ids that later rows of each gave; keys of try and resource begin with try_id.
        """
        last = {key: max(known_tries[key], default=0) for key in keys}
        found: dict[str, list[Row]] = {}
        for table in (TASK, STATUS):
            found[table.name] = self._by_key(table, ("task_id", "run_id"), [k[::-1] for k in last], upto)
        for row in found[STATUS.name]:
            if isinstance(row[3], int):
                last[row[1], row[2]] = max(last[row[1], row[2]], row[3])
        tries = [
            (try_id, task_id, run_id)
            for (run_id, task_id), greatest in last.items()
            for try_id in range(min(greatest + 1, _MOST_TRIES))
        ]
        for table in (TRY, RESOURCE):
            found[table.name] = self._by_key(table, ("try_id", "task_id", "run_id"), tries, upto)
        return found

    def _by_key(
        self,
        table: Table,
        names: Sequence[str],
        keys: Sequence[tuple[Any, ...]],
        upto: Mapping[str, Position],
    ) -> list[Row]:
        """Give the rows whose columns `names` are as one of the keys has it, in short reads."""
        rows: list[Row] = []
        equal = " AND ".join(f"t.{name} = json_extract(k.value, '$[{i}]')" for i, name in enumerate(names))
        for i in range(0, len(keys), _KEYS_AT_ONCE):
            rows += self._rows(
                table,
                f'rowid IN (SELECT t.rowid FROM json_each(?) AS k CROSS JOIN "{table.name}" AS t ON {equal})'
                " AND rowid <= ?",
                (json.dumps(keys[i : i + _KEYS_AT_ONCE]), upto[table.name].rowid),
            )
        return rows

    def writers_since(self, table: Table, stamp: str) -> set[str]:
        """Give the runs that wrote rows stamped `stamp` (as text) or later, seen from the table's end backwards.

        Stops at the first slice whose rows are all older, as rows are inserted about in the order of time.
        """
        runs: set[str] = set()
        end = self.last_rowid(table) + 1
        while end > 0:
            rows = self.fetch(
                f"SELECT min(rowid), max({table.stamp}) FROM (SELECT rowid, {table.stamp} FROM {table.name}"
                " WHERE rowid < ? ORDER BY rowid DESC LIMIT ?)",
                (end, _MOST),
            )
            begin, newest = rows[0]
            if begin is None or not isinstance(newest, str) or newest < stamp:
                break
            found = self.fetch(
                f"SELECT DISTINCT run_id FROM {table.name} WHERE rowid >= ? AND rowid < ? AND {table.stamp} >= ?",
                (begin, end, stamp),
            )
            runs.update(str(row[0]) for row in found)
            end = begin
        return runs

    def _rows(
        self, table: Table, condition: str, parameters: Sequence[Any], cut_off: float = math.inf
    ) -> list[Row]:
        """Give the rows that fulfil the condition. One that holds too much stands as `TOO_LARGE` in its place."""
        chosen = f'FROM "{table.name}" WHERE {condition}'
        try:
            return self.fetch(f"SELECT {self._columns[table.name]} {chosen}", parameters, cut_off)
        except TooLarge:
            found = self.fetch(f"SELECT rowid {chosen}", parameters)
        return [row for (rowid,) in found for row in self._row(table, rowid)]

    def _row(self, table: Table, rowid: int) -> list[Row]:
        columns = self._columns[table.name]
        try:
            return self.fetch(f'SELECT {columns} FROM "{table.name}" WHERE rowid = ?', (rowid,))
        except TooLarge:
            return [(rowid, TOO_LARGE, *[None] * (len(table.columns) - 1))]

    def _adapt(self, table: Table, taken: float, *, full: bool) -> None:
        if taken > LONGEST_READ:
            self._sizes[table.name].scale(LONGEST_READ / taken)
        elif full and taken < LONGEST_READ / 2:
            self._sizes[table.name].scale(2)

    def _timed_out(self) -> None:
        for size in self._sizes.values():
            size.scale(0)
