"""Reads many rows of SQLite as a few long texts: one step of the statement instead of one a row.

`sqlite3` makes an object of every value, and gives the interpreter lock back at every row. A first read of
millions of rows does better to let SQLite put columns together (`group_concat` follows the order of the scan)
and take them apart in bulk; and of a manager's snapshots only the last one counts.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from parsl_exporter.read.position import Position, position_of
from parsl_exporter.read.sqlite import LONGEST_READ, SqliteReader
from parsl_exporter.read.sqlite_faults import TooLarge
from parsl_exporter.tables import NODE, STATUS, TOO_LARGE, Row, StatusColumns, Table

_FEWEST, _MOST = 1_000, 15_000
_LAST_ROWID = 2**63 - 1
_STAMP = 1 + NODE.columns.index("timestamp")


class StatusSlice(NamedTuple):
    """The next `size` status rows past rowid `after`, up to `position`.

    `columns` is None when they cannot be had as texts.
    """

    after: int
    position: Position
    size: int
    more: bool
    columns: StatusColumns | None


class NodeSlice(NamedTuple):
    """Of the next `size` node rows, up to `position`, those that tell what all of them do."""

    position: Position
    size: int
    more: bool
    rows: list[Row]


class SqliteColumns:
    """Slices of one database's tables. Not for two threads at once."""

    def __init__(self, reader: SqliteReader, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._reader = reader
        self._monotonic = monotonic
        self._limits = {STATUS.name: _FEWEST, NODE.name: _FEWEST}

    def between(self, table: Table, after: int, upto: int) -> list[Row]:
        """Give the rows past rowid `after` and up to `upto` one by one."""
        return self._reader.between(table, after, upto)

    def status(self, after: Position) -> StatusSlice:
        """Give the next status rows past `after`."""
        try:
            return self._status(after)
        except TooLarge:
            batch = self._reader.tail(STATUS, after)
        return StatusSlice(after.rowid, batch.position, len(batch.rows), batch.more, None)

    def _status(self, after: Position) -> StatusSlice:
        begin = self._monotonic()
        first = self._first(STATUS, after)
        if first is None:
            return StatusSlice(after.rowid, after, 0, more=False, columns=None)
        run_id = first[1]
        found = self._reader.fetch(
            "SELECT max(rowid), count(*),"
            " sum(run_id IS NOT ? OR typeof(task_id) <> 'integer' OR typeof(try_id) <> 'integer'),"
            " group_concat(task_id), group_concat(try_id), group_concat(task_status_name),"
            f" group_concat(timestamp, '') {self._slice(STATUS)}",
            (run_id, *self._bounds(STATUS, first[0])),
        )
        end, count, odd, *texts = found[0]
        ordinary = not odd and isinstance(run_id, str) and all(isinstance(t, str) for t in texts)
        columns = StatusColumns(run_id, count, end, *texts) if ordinary and run_id else None
        self._adapt(STATUS, count, self._monotonic() - begin)
        return StatusSlice(after.rowid, self._position(STATUS, end), count, more=True, columns=columns)

    def _first(self, table: Table, after: Position) -> Row | None:
        """The rowid and run_id of the next row."""
        sql = f"SELECT rowid, run_id FROM {table.name} WHERE rowid > ? ORDER BY rowid LIMIT 1"
        rows = self._reader.fetch(sql, (after.rowid,))
        return rows[0] if rows else None

    def _bounds(self, table: Table, first: int) -> tuple[int, int]:
        return first, min(first + self._limits[table.name] - 1, _LAST_ROWID)

    def _slice(self, table: Table) -> str:
        """The rows from one rowid to another, as a scan in their order; LIMIT would cost as much again."""
        return f"FROM {table.name} NOT INDEXED WHERE rowid BETWEEN ? AND ?"

    def managers(self, after: Position, in_order: Callable[[str, str], bool]) -> NodeSlice:
        """Give the next node rows past `after`: the last of each manager, or all when any is not as Parsl writes it.

        All, too, unless `in_order` says so of the least and the greatest of their stamps.
        """
        try:
            return self._managers(after, in_order)
        except TooLarge:
            batch = self._reader.tail(NODE, after)
        return NodeSlice(batch.position, len(batch.rows), batch.more, batch.rows)

    def _managers(self, after: Position, in_order: Callable[[str, str], bool]) -> NodeSlice:
        begin = self._monotonic()
        first = self._first(NODE, after)
        if first is None:
            return NodeSlice(after, 0, more=False, rows=[])
        found = self._reader.fetch(
            "SELECT max(rowid), count(*), max(timestamp), min(timestamp), min(last_heartbeat),"
            f" count(last_heartbeat), sum({_ODD}), group_concat(timestamp, ''), group_concat(last_heartbeat, '')"
            f" {self._slice(NODE)} GROUP BY run_id, uid",
            self._bounds(NODE, first[0]),
        )
        count = sum(row[1] for row in found)
        end = max(row[0] for row in found)
        self._adapt(NODE, count, self._monotonic() - begin)
        rows = self._chosen(found) if all(map(_ordinary, found)) else []
        if rows and not in_order(min(r[3] for r in found), max(r[2] for r in found)):
            rows = []
        if not rows or not all(map(_has_times, rows)):
            rows = self._reader.between(NODE, after.rowid, end)
        return NodeSlice(self._position(NODE, end), count, more=True, rows=rows)

    def _chosen(self, found: list[Row]) -> list[Row]:
        """The last row of each manager; before it, where an earlier one is newer, the same row with that stamp."""
        rows: list[Row] = []
        for last, _, newest, *_ in found:
            for row in self._reader.between(NODE, last - 1, last):
                if row[_STAMP] != newest:
                    rows.append((0, *row[1:_STAMP], newest, *row[_STAMP + 1 :]))
                rows.append(row)
        return rows

    def _adapt(self, table: Table, count: int, taken: float) -> None:
        limit = self._limits[table.name]
        if taken > LONGEST_READ:
            self._limits[table.name] = max(_FEWEST, int(limit * LONGEST_READ / taken))
        elif count >= limit and taken < LONGEST_READ / 2:
            self._limits[table.name] = min(_MOST, limit * 2)

    def _position(self, table: Table, end: Any) -> Position:
        rows = self._reader.between(table, end - 1, end)
        return position_of(table, rows[0]) if rows else Position(end)


def _has_times(row: Row) -> bool:
    """Say whether a node row could be read, and its times, digits where they should be, are in the calendar."""
    if row[1] is TOO_LARGE:
        return False
    try:
        for written in row[_STAMP : _STAMP + 2]:
            if written is not None:
                datetime.fromisoformat(written)
    except ValueError:
        return False
    return True


def _ordinary(found: Row) -> bool:
    """Say whether the rows of one manager are all as Parsl writes them."""
    _, count, _, earliest, earliest_beat, beats, odd, stamps, beat_stamps = found
    if odd or not _are_stamps(stamps, count) or (beats and not _are_stamps(beat_stamps, beats)):
        return False
    return bool(min(earliest, earliest_beat or earliest) > _EARLIEST)


def _are_stamps(texts: object, count: int) -> bool:
    """Say whether `texts` is so many stamps of Parsl's, one after the other."""
    return isinstance(texts, str) and len(texts) == count * _WIDTH and _STAMPS.fullmatch(texts) is not None


_WIDTH = 26
_STAMPS = re.compile(r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6})*")
_EARLIEST = "1970-01-02"  # of which no zone makes a time before 1970
_ODD = (
    "typeof(run_id) <> 'text' OR typeof(uid) <> 'text' OR uid = '' OR typeof(cpu_count) <> 'integer'"
    " OR typeof(total_memory) <> 'integer' OR typeof(active) <> 'integer' OR typeof(worker_count) <> 'integer'"
)
