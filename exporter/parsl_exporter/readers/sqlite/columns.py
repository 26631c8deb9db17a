"""Reads many rows of SQLite in columns: a few long texts instead of an object a value.

`sqlite3` makes an object of every value, and gives the interpreter lock back at every row. It costs a quarter to
have SQLite put a column of names, numbers or stamps together (`group_concat` follows the order of the scan) and take
it apart in bulk. Floats would lose digits as texts: samples come row by row. Of a manager's snapshots only the last
one counts.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Collection, Mapping, Sequence
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
    ends_of,
    naive_stamps,
    paired,
)
from parsl_exporter.base.tables import NODE, RESOURCE, STATUS, TASK, TOO_LARGE, TRY, Row, Table
from parsl_exporter.readers.batch import Batch, InOrder, Position, RunColumns, in_order_of_texts, stand_in
from parsl_exporter.readers.pace import BatchSize
from parsl_exporter.readers.sqlite.faults import TooLarge
from parsl_exporter.readers.sqlite.texts import TEXTS, integers, late_enough, names, stamp

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


class _Slice(NamedTuple):
    """The rows of one run from rowid `first` to `last`; all rows there if it is the only one.

    `rows`: how many they are; if it is not known, how many they are at most.
    """

    run_id: object
    first: int
    last: int
    rows: int
    known: bool = True

    def where(self) -> tuple[str, tuple[object, ...]]:
        """The condition, and its parameters."""
        return "rowid BETWEEN ? AND ? AND run_id IS ?", (self.first, self.last, self.run_id)


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

        Of managers all rows come unless `in_order` says of the least and the greatest stamp of each run that the latter
        is the newest.

        How many is a matter of how fast the file can be read. That others need the processor, too, does not count: on
        a busy host smaller reads would cost more, and end no sooner.
        """
        if table.name in TEXTS:
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
        whole = _Slice(run_id, rowid, position.rowid, position.rowid - rowid + 1, known=False)
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
        between = self._reader.runs_between(table, whole.first, whole.last)
        runs = [_Slice(*run) for run in between if run[0] not in skip]
        found = self._found_of(table, runs)
        # A run_id that is no UTF-8 is not found by what it is read as.
        if found.size < sum(run.rows for run in runs):
            all_rows = self._reader.rows_where(
                table, "rowid BETWEEN ? AND ? ORDER BY rowid", (whole.first, whole.last)
            )
            rows = [row for row in all_rows if row[1] not in skip]
            return _Found([], rows, len(rows))
        return found

    def _found_of(self, table: Table, parts: Sequence[_Slice]) -> _Found:
        columns: list[RunColumns] = []
        rows: list[Row] = []
        size = 0
        for part in parts:
            count, fitting, others = self._found_in(table, part)
            if fitting is not None and isinstance(part.run_id, str):
                columns.append(RunColumns(part.run_id, fitting, part.first, part.last))
            rows += others
            size += count
        return _Found(columns, rows, size)

    def _found_in(self, table: Table, part: _Slice) -> tuple[int, Columns | None, list[Row]]:
        """How many rows a slice has, and these in columns and as rows: all as rows where one does not fit."""
        count, alone, values = self._fitting(table, part)
        if self._all_fit(table, part, count):
            if not count:
                return 0, None, []
            if table is NODE:
                last = self._last_of_managers(part, values, count)
                if last is not None:
                    return count, None, last
            elif (columns := self._parsed(table, part, count - alone, values)) is not None:
                # Last: of a row whose history is written between the two reads both bring something, and not none.
                apart = self._rows(table, part, TEXTS[table.name].alone) if alone else []
                return count - alone + len(apart), columns, apart
        rows = self._rows(table, part)
        return len(rows), None, rows

    def _fitting(self, table: Table, part: _Slice) -> tuple[int, int, list[Any]]:
        """How many rows of a slice fit, how many of them are to be read alone, and the texts of the others."""
        if not isinstance(part.run_id, str) or not part.run_id:
            return 0, 0, []
        fits, texts, alone = TEXTS[table.name]
        where, parameters = part.where()
        count, apart, *values = self._reader.fetch(
            f'SELECT count(*), {f"sum({alone})" if alone else "0"}, {", ".join(texts)} FROM "{table.name}"'
            f" NOT INDEXED WHERE {where} AND {fits}",
            parameters,
        )[0]
        return count, apart or 0, values

    def _all_fit(self, table: Table, part: _Slice, fitting: int) -> bool:
        """Say whether a slice has so many rows. Raises _Mixed when some are of another run."""
        if part.known or fitting == part.rows:
            return fitting == part.rows
        count, strangers = self._reader.fetch(
            f'SELECT count(*), sum(run_id IS NOT ?) FROM "{table.name}" NOT INDEXED WHERE rowid BETWEEN ? AND ?',
            (part.run_id, part.first, part.last),
        )[0]
        if strangers:
            raise _Mixed
        return bool(count == fitting)

    # --- tasks and tries ------------------------------------------------------------------------------------

    def _parsed(self, table: Table, part: _Slice, count: int, values: list[Any]) -> Columns | None:
        if not all(isinstance(value, str) for value in values):
            return None
        task_ids = integers(values[0], count)
        if table is TASK:
            apps = names(values[1], count)
            return None if task_ids is None or apps is None else TaskColumns(task_ids, apps)
        try_ids = integers(values[1], count)
        if task_ids is None or try_ids is None:
            return None
        if table is TRY:
            executors, blocks, hosts = (names(value, count) for value in values[2:])
            if executors is None or blocks is None or hosts is None:
                return None
            none = Named(np.zeros(count, np.int32), [None])
            return TryColumns(task_ids, try_ids, executors, blocks, hosts, none)
        at = naive_stamps(values[-1], count)
        if at is None or int(at.min()) < EARLIEST_US or int(at.max()) >= LATEST_US:
            return None
        if table is STATUS:
            states = names(values[2], count)
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
        alone = TEXTS[table.name].alone
        where, parameters = _Slice(of_run.run_id, of_run.first, of_run.last, 0).where()
        rows = self._reader.fetch(
            f'SELECT rowid FROM "{table.name}" NOT INDEXED WHERE {where}{f" AND NOT ({alone})" if alone else ""}',
            parameters,
        )
        return np.array([row[0] for row in rows], np.int64)

    # --- managers -------------------------------------------------------------------------------------------

    def _last_of_managers(self, part: _Slice, values: list[Any], count: int) -> list[Row] | None:
        """Of each manager the last row, and the first and the last with active=1; None when all rows are needed.

        Before the last, where an earlier one is newer, comes an inactive one with that stamp. Rows of one manager on
        two hosts are as those of two.
        """
        uid_text, host_text, stamps, beats, rowid_text, active_text = values
        uids, hosts, at = names(uid_text, count), names(host_text, count), naive_stamps(stamps, count)
        rowids, active = integers(rowid_text, count), integers(active_text, count)
        if uids is None or hosts is None or at is None or rowids is None or active is None:
            return None
        if int(at.min()) < EARLIEST_US or not late_enough(beats):
            return None
        least, greatest = (stamp(stamps, int(place)) for place in (at.argmin(), at.argmax()))
        if not self._in_order(least, greatest, str(part.run_id)):
            return None
        managers = paired(uids.codes, hosts.codes)
        order = np.argsort(managers, kind="stable")
        newest: dict[int, str] = {}
        for first, last in zip(*ends_of(managers[order]), strict=True):
            rows = order[first : last + 1]
            newest[int(rowids[rows[-1]])] = stamp(stamps, int(rows[at[rows].argmax()]))
        working = order[active[order] != 0]
        chosen = rowids[working[np.concatenate(ends_of(managers[working]))]]
        return self._last_rows(newest, newest.keys() | set(chosen.tolist()))

    def _last_rows(self, newest: Mapping[int, str], chosen: Collection[int]) -> list[Row] | None:
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
