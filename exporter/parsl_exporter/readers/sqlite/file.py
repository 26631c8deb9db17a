"""One SQLite file, read only: opened when it is there, looked at for changes, asked one short statement at a time.

Sources: sqlite.org/lockingv3.html, sqlite.org/pragma.html (data_version, schema_version), sqlite.org/uri.html.
"""

from __future__ import annotations

import math
import os
import re
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from parsl_exporter.base.errors import ExporterError, FaultReason, SourceFault, SourceReplaced
from parsl_exporter.base.tables import BY_NAME, TABLES, Row
from parsl_exporter.readers.absent import absence
from parsl_exporter.readers.pace import ReadTimes
from parsl_exporter.readers.schema import check_schema
from parsl_exporter.readers.sqlite.faults import (
    LONGEST_VALUE,
    TooLarge,
    fault_of,
    refuse_closed_wal,
    refuse_last_descriptors,
)

DEADLINE = 5.0
"""Seconds that one statement may take before it is stopped."""
_WITHOUT_ROWID = re.compile(r"WITHOUT\s+ROWID[^)]*$", re.IGNORECASE)
_STEPS = 20_000
_AT_ONCE = 500
"""Rows that are fetched between two looks at the clock."""


class SqliteFile:
    """One database file with Parsl's tables. Not for two threads at once."""

    def __init__(self, path: Path, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self.read_times = ReadTimes()
        self._monotonic = monotonic
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._readable: tuple[int, int] | None = None
        self._data_version: int | None = None
        self._schema_version: int | None = None
        self._columns: dict[str, str] = {}
        self._schema: dict[str, frozenset[str]] = {}
        self._deadline = 0.0
        self._stop_at = math.inf
        self._begin = self._longest = 0.0

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
            raise absence(self.path) from None
        except OSError as error:
            self.close()
            raise SourceFault(
                FaultReason.UNREADABLE,
                f"{self.path}: {error.strerror or error}; check the path and this user's access to it",
            ) from None
        if not stat.S_ISREG(found.st_mode):
            self.close()
            kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
            raise SourceFault(
                FaultReason.NOT_REGULAR, f"{self.path}: {kind}; give the path of a monitoring.db"
            )
        return found

    def _open(self, owner: int) -> None:
        if not os.access(self.path, os.R_OK, effective_ids=True):
            raise SourceFault(
                FaultReason.UNREADABLE, f"{self.path}: permission denied; give this user read access to it"
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
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
        self._connection = connection

    def _past_deadline(self) -> bool:
        now = self._monotonic()
        if now > self._stop_at:
            left = self._longest - (now - waited_for_processor() - self._begin)
            self._stop_at = now + left
            return left < 0
        return now > self._deadline

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
            raise SourceFault(FaultReason.SCHEMA, f"{self.path}: {name} {found}, no table that Parsl made")
        check_schema(schema, self.database, put_away="move the file away and start the run again")
        self._columns = {
            table.name: ", ".join(
                ["rowid", *(f'"{c}"' if c in schema[table.name] else "NULL" for c in table.columns)]
            )
            for table in TABLES
        }
        self._schema = schema
        self._schema_version = version

    @contextmanager
    def stopped_after(self, seconds: float) -> Iterator[Callable[[], float]]:
        """Have statements of the block stop and raise TimeoutError once they take longer than that together.

        Gives what tells how long they have taken.

        For how long this thread waits for a processor does not count: what is done would only be done again.
        """
        self._longest, self._begin = seconds, self._monotonic() - waited_for_processor()
        self._stop_at = self._monotonic() + seconds
        try:
            yield lambda: self._monotonic() - waited_for_processor() - self._begin
        finally:
            self._stop_at = math.inf

    # --- one statement --------------------------------------------------------------------------------------

    def fetch(self, sql: str, parameters: Sequence[Any] = (), cut_off: float = math.inf) -> list[Row]:
        """Give the rows of one statement, which is one read transaction. Raises what `ExporterError` lists.

        They are all, unless it took longer than `cut_off` seconds.
        """
        connection = self._connection
        if connection is None:
            raise SourceFault(FaultReason.IO, f"{self.path}: not open")
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
                raise self._stopped_or_fault(error) from None
        finally:
            self.read_times.add(self._monotonic() - begin)
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
            raise self._stopped_or_fault(error) from None
        finally:
            connection.text_factory = str
            self.read_times.add(self._monotonic() - begin)

    def _stopped_or_fault(self, error: sqlite3.Error) -> Exception:
        if self._stop_at < math.inf and "interrupted" in str(error):
            return TimeoutError()
        return self._fault(error)

    def _fault(self, error: Exception) -> ExporterError:
        fault = fault_of(error, self.path, deadline=DEADLINE)
        if isinstance(fault, SourceFault) and not isinstance(fault, TooLarge):
            if fault.reason == FaultReason.TIMEOUT:
                self._timed_out()
            else:
                self.close()
        return fault

    def _timed_out(self) -> None:
        """A statement was stopped at its deadline."""


def waited_for_processor() -> float:
    """The seconds for which this thread has been ready to run and waited for a processor; 0 where none are told.

    Source: "Scheduler Statistics" in the documentation of the Linux kernel.
    """
    try:
        file = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
    except OSError:
        return 0.0
    try:
        return int(os.read(file, 100).split()[1]) / 1e9
    finally:
        os.close(file)
