"""Reads Parsl's SQLite database without harm: read-only, in short transactions, never changing anything.

Each method is one short read transaction at most. A reader's SHARED lock makes Parsl's writer wait, so all rows
of a batch are fetched at once and the transaction has ended when the method returns. Sources:
sqlite.org/lockingv3.html, sqlite.org/pragma.html (data_version, schema_version), sqlite.org/uri.html.
"""

from __future__ import annotations

import json
import math
import os
import re
import sqlite3
import stat
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from parsl_exporter.errors import ExporterError, SourceFault, SourceReplaced
from parsl_exporter.read.position import START, Batch, Position, position_of
from parsl_exporter.read.sqlite_faults import (
    LONGEST_VALUE,
    TooLarge,
    fault_of,
    refuse_closed_wal,
    refuse_last_descriptors,
)
from parsl_exporter.tables import BY_NAME, TABLES, TOO_LARGE, TRY, WORKFLOW, Row, Table, lacking

DEADLINE = 5.0
"""Seconds that one statement may take before it is stopped."""
LONGEST_READ = 0.01
"""Seconds that a read transaction should take: batches grow and shrink towards it."""
_WITHOUT_ROWID = re.compile(r"WITHOUT\s+ROWID[^)]*$", re.IGNORECASE)
_STEPS = 20_000
_FEWEST, _MOST, _AT_FIRST = 10, 10_000, 500
_AT_ONCE = 500
"""Rows that are fetched between two looks at the clock."""
_CUT_OFF = 0.03
"""Seconds after which a batch ends where it is, so that rows larger than those before hold no lock for long."""
_MOST_TRIES = 1_000
_KEYS_AT_ONCE = 500


class SqliteReader:
    """One database file. Not for two threads at once.

    `rows`, `longest` and `read_seconds` tell what was read since they were last set to 0.
    """

    dialect = "sqlite"
    remote = False
    keyed = False

    def __init__(self, path: Path, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self.longest = 0.0
        self.read_seconds = 0.0
        self._monotonic = monotonic
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._readable: tuple[int, int] | None = None
        self._data_version: int | None = None
        self._schema_version: int | None = None
        self._columns: dict[str, str] = {}
        self._schema: dict[str, frozenset[str]] = {}
        self._limits = dict.fromkeys(BY_NAME, _AT_FIRST)
        self._deadline = 0.0

    @property
    def database(self) -> str:
        """The file's path."""
        return str(self.path)

    # --- the file -------------------------------------------------------------------------------------------

    def changed(self) -> bool:
        """Say whether anything was committed since the last call that said so; opens the file when needed.

        Costs one stat and one PRAGMA when nothing was. Raises SourceReplaced when the path leads to another
        file than before, SourceFault when it leads to none that can be read.
        """
        found = self._stat()
        file = found.st_dev, found.st_ino
        if file != self._file:
            self.close()
        if self._readable is not None and file != self._readable:
            self._readable = None
            raise SourceReplaced(f"{self.path}: replaced by another file; reading it anew")
        if self._connection is None:
            self._open(owner=found.st_uid)
            self._file = file
        version = self.fetch("PRAGMA data_version")[0][0]
        if version == self._data_version:
            return False
        self._introspect()
        self._data_version = version
        self._readable = file
        return True

    def look_again(self) -> None:
        """Have `changed` say yes the next time: what it announced could not be read."""
        self._data_version = None

    def close(self) -> None:
        """Let the file go; the next call of `changed` opens it again."""
        connection, self._connection = self._connection, None
        self._data_version = self._schema_version = None
        if connection is not None:
            connection.close()

    def _stat(self) -> os.stat_result:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            self.close()
            dangling = self.path.is_symlink()
            raise SourceFault(
                "missing",
                f"{self.path}: {'a link that leads nowhere' if dangling else 'no such file'}; "
                "Parsl makes it when a run with monitoring starts",
            ) from None
        except OSError as error:
            self.close()
            raise SourceFault(
                "unreadable",
                f"{self.path}: {error.strerror or error}; check the path and this user's access to it",
            ) from None
        if not stat.S_ISREG(found.st_mode):
            self.close()
            kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
            raise SourceFault("not_regular", f"{self.path}: {kind}; give the path of a monitoring.db")
        return found

    def _open(self, owner: int) -> None:
        if not os.access(self.path, os.R_OK, effective_ids=True):
            raise SourceFault(
                "unreadable", f"{self.path}: permission denied; give this user read access to it"
            )
        if os.geteuid() not in (0, owner):
            refuse_closed_wal(self.path)
        refuse_last_descriptors(self.path)
        uri = f"file:{quote(os.fsencode(self.path))}?mode=ro"
        try:
            connection = sqlite3.connect(
                uri, uri=True, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=64
            )
        except sqlite3.Error as error:
            raise self._fault(error) from None
        connection.set_progress_handler(self._past_deadline, _STEPS)
        if sys.version_info >= (3, 11):
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
        self._connection = connection

    def _past_deadline(self) -> bool:
        return self._monotonic() > self._deadline

    def _introspect(self) -> None:
        version = self.fetch("PRAGMA schema_version")[0][0]
        if version == self._schema_version:
            return
        schema: dict[str, frozenset[str]] = {}
        for name, kind, sql in self.fetch(
            "SELECT name, type, sql FROM sqlite_master WHERE type IN ('table', 'view')"
        ):
            if name not in BY_NAME:
                continue
            virtual = str(sql or "").upper().lstrip().startswith("CREATE VIRTUAL")
            columns = frozenset(str(row[1]) for row in self.fetch(f'PRAGMA table_info("{name}")'))
            if kind != "table" or virtual:
                found = f"is a {'virtual table' if virtual else kind}"
            elif "rowid" in {c.lower() for c in columns} or _WITHOUT_ROWID.search(sql):
                found = "has no rowid of SQLite's own"
            else:
                schema[name] = columns
                continue
            raise SourceFault("schema", f"{self.path}: {name} {found}, no table that Parsl made")
        if not schema:
            raise SourceFault(
                "schema", f"{self.path}: has none of Parsl's tables yet; Parsl makes them when a run starts"
            )
        faults = lacking(schema)
        if faults:
            raise SourceFault(
                "schema", f"{self.path}: {'; '.join(faults)} (the schema of Parsl 1.1 or later is needed)"
            )
        self._columns = {
            table.name: ", ".join(
                ["rowid", *(f'"{c}"' if c in schema[table.name] else "NULL" for c in table.columns)]
            )
            for table in TABLES
        }
        self._schema = schema
        self._schema_version = version

    def absent(self, table: Table) -> frozenset[str]:
        """Give the columns that this database's schema lacks, and that are read as NULL."""
        return frozenset(table.columns) - self._schema[table.name]

    # --- rows -----------------------------------------------------------------------------------------------

    def tail(self, table: Table, after: Position, *, skip: Collection[str] = ()) -> Batch:
        """Give the next rows past `after`, as many as a short transaction allows.

        Rows of runs in `skip` are left out. Raises SourceReplaced when the row at `after` is not there any more.
        """
        if skip:
            return self._tail_without(table, after, skip)
        limit = self._limits[table.name]
        begin = self._monotonic()
        rows = self._rows(table, "rowid >= ? ORDER BY rowid LIMIT ?", (after.rowid, limit + 1), _CUT_OFF)
        taken = self._monotonic() - begin
        self._adapt(table, limit, taken, len(rows))
        more = len(rows) > limit or taken > _CUT_OFF
        if after.rowid:
            here = rows[0] if rows else None
            if (
                here is None
                or here[0] != after.rowid
                or (after.identity is not None and here[1 : 1 + table.identity] != after.identity)
            ):
                raise self._rows_gone(table)
            del rows[0]
        return Batch(rows, position_of(table, rows[-1]) if rows else after, more)

    def _rows_gone(self, table: Table) -> SourceReplaced:
        return SourceReplaced(f"{self.path}: rows of {table.name} were deleted or replaced; reading it anew")

    def _tail_without(self, table: Table, after: Position, skip: Collection[str]) -> Batch:
        limit = self._limits[table.name] * 4
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
        self._adapt(table, limit // 4, self._monotonic() - begin, limit)
        if not rows or rows[-1][0] != end:
            raise self._rows_gone(table)
        position = position_of(table, rows[-1])
        if rows[-1][1] in skip:
            del rows[-1]
        return Batch(rows, position, more=count == limit)

    def of_run(self, table: Table, run_id: str, after: int, upto: Position) -> Batch:
        """Give the rows of one run past rowid `after` and up to `upto`, in bounded slices."""
        limit = self._limits[table.name] * 4
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

    def between(self, table: Table, after: int, upto: int) -> list[Row]:
        """Give the rows past rowid `after` and up to `upto`, in order; the caller bounds how many those are."""
        return self._rows(table, "rowid > ? AND rowid <= ? ORDER BY rowid", (after, upto))

    def last_rowid(self, table: Table) -> int:
        """Give the position of the table's newest row; 0 when it is empty."""
        return int(self.fetch(f'SELECT max(rowid) FROM "{table.name}"')[0][0] or 0)

    def stamp_at(self, table: Table, position: Position) -> object:
        """Give the stamp of the row at a position, as the database has it; None when it is not there."""
        if table.stamp not in self._schema[table.name]:
            return None
        rows = self.fetch(f'SELECT {table.stamp} FROM "{table.name}" WHERE rowid = ?', (position.rowid,))
        return rows[0][0] if rows else None

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

    def tasks(self, keys: Sequence[tuple[str, int]]) -> list[Row]:
        """Give nothing: task rows come from `tail`."""
        del keys
        return []

    def tries(self, keys: Sequence[tuple[str, int, int]], upto: Position) -> list[Row]:
        """Give the try rows of these (run_id, task_id, try_id), of the first few hundred at most, up to `upto`."""
        keys = keys[:_KEYS_AT_ONCE]
        columns = self._columns[TRY.name].replace("rowid", '"try".rowid').replace(' "', ' "try"."')
        return self.fetch(
            f'SELECT {columns} FROM json_each(?) AS k CROSS JOIN "try" ON'
            " \"try\".try_id = json_extract(k.value, '$[2]') AND \"try\".task_id = json_extract(k.value, '$[1]')"
            ' AND "try".run_id = json_extract(k.value, \'$[0]\') WHERE "try".rowid <= ?',
            (json.dumps(keys), upto.rowid),
        )

    def history(
        self, run_id: str, task_id: int, upto: Mapping[str, Position], known_tries: Collection[int]
    ) -> dict[str, list[Row]]:
        """Give the rows of one task up to the given positions, by table. All look-ups go by primary key.

        `known_tries`: try_ids that later rows gave; keys of try and resource begin with try_id.
        """
        found: dict[str, list[Row]] = {}
        for name in ("task", "status"):
            found[name] = self._rows(
                BY_NAME[name],
                "task_id = ? AND run_id = ? AND rowid <= ?",
                (task_id, run_id, upto[name].rowid),
            )
        last = max((*known_tries, *(r[3] for r in found["status"] if isinstance(r[3], int))), default=0)
        tries = json.dumps(list(range(min(last + 1, _MOST_TRIES))))
        for name in ("try", "resource"):
            found[name] = self._rows(
                BY_NAME[name],
                "try_id IN (SELECT value FROM json_each(?)) AND task_id = ? AND run_id = ? AND rowid <= ?",
                (tries, task_id, run_id, upto[name].rowid),
            )
        return found

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

    # --- one statement --------------------------------------------------------------------------------------

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

    def fetch(self, sql: str, parameters: Sequence[Any] = (), cut_off: float = math.inf) -> list[Row]:
        """Give the rows of one statement, which is one read transaction. Raises what `ExporterError` lists.

        They are all, unless it took longer than `cut_off` seconds.
        """
        connection = self._connection
        if connection is None:
            raise SourceFault("io", f"{self.path}: not open")
        begin = self._monotonic()
        self._deadline = begin + DEADLINE
        try:
            cursor = connection.execute(sql, parameters)
            rows = part = cursor.fetchmany(_AT_ONCE)
            while len(part) == _AT_ONCE and self._monotonic() - begin <= cut_off:
                part = cursor.fetchmany(_AT_ONCE)
                rows += part
            cursor.close()
            return rows
        except sqlite3.Error as error:
            if "decode" not in str(error).lower():
                raise self._fault(error) from None
        finally:
            self._took(self._monotonic() - begin)
        return self._fetch_lenient(connection, sql, parameters)

    def _fetch_lenient(
        self, connection: sqlite3.Connection, sql: str, parameters: Sequence[Any]
    ) -> list[Row]:
        """The same, for rows with text that is not UTF-8: what is not stands as backslash escapes."""
        begin = self._monotonic()
        connection.text_factory = lambda raw: raw.decode("utf-8", "backslashreplace")
        try:
            return connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise self._fault(error) from None
        finally:
            connection.text_factory = str
            self._took(self._monotonic() - begin)

    def _took(self, seconds: float) -> None:
        self.read_seconds += seconds
        self.longest = max(self.longest, seconds)

    def _adapt(self, table: Table, limit: int, taken: float, count: int) -> None:
        if taken > LONGEST_READ:
            limit = int(limit * LONGEST_READ / taken)
        elif count >= limit and taken < LONGEST_READ / 2:
            limit *= 2
        self._limits[table.name] = min(_MOST, max(_FEWEST, limit))

    def _fault(self, error: Exception) -> ExporterError:
        fault = fault_of(error, self.path, deadline=DEADLINE)
        if isinstance(fault, SourceFault) and not isinstance(fault, TooLarge):
            if fault.reason == "timeout":
                self._limits = dict.fromkeys(BY_NAME, _FEWEST)
            else:
                self.close()
        return fault


__all__ = ["DEADLINE", "LONGEST_READ", "START", "SqliteReader"]
