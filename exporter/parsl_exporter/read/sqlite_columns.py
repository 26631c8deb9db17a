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
from parsl_exporter.tables import NODE, STATUS, Row, StatusColumns, Table

_FEWEST, _MOST = 1_000, 15_000
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
        found = self._reader.fetch(
            "SELECT max(rowid), count(*), min(run_id), max(run_id), count(run_id),"
            " sum(typeof(task_id) <> 'integer' OR typeof(try_id) <> 'integer'), group_concat(task_id),"
            " group_concat(try_id), group_concat(task_status_name), group_concat(timestamp, '')"
            " FROM (SELECT rowid, * FROM status WHERE rowid > ? ORDER BY rowid LIMIT ?)",
            (after.rowid, self._limits[STATUS.name]),
        )
        end, count, low, high, named, odd, *texts = found[0]
        if end is None:
            return StatusSlice(after.rowid, after, 0, more=False, columns=None)
        ordinary = (
            named == count
            and not odd
            and isinstance(low, str)
            and low == high
            and all(isinstance(t, str) for t in texts)
        )
        columns = StatusColumns(low, count, *texts) if ordinary and low else None
        more = self._adapt(STATUS, count, self._monotonic() - begin)
        return StatusSlice(after.rowid, self._position(STATUS, end), count, more, columns)

    def managers(self, after: Position) -> NodeSlice:
        """Give the next node rows past `after`: the last of each manager, or all when any is not as Parsl writes it."""
        try:
            return self._managers(after)
        except TooLarge:
            batch = self._reader.tail(NODE, after)
        return NodeSlice(batch.position, len(batch.rows), batch.more, batch.rows)

    def _managers(self, after: Position) -> NodeSlice:
        begin = self._monotonic()
        limit = self._limits[NODE.name]
        slices = f"(SELECT rowid, {', '.join(NODE.columns)} FROM node WHERE rowid > ? ORDER BY rowid LIMIT ?)"
        found = self._reader.fetch(
            "SELECT max(rowid), count(*), max(timestamp), min(timestamp), min(last_heartbeat),"
            f" count(last_heartbeat), sum({_ODD}), group_concat(timestamp, ''), group_concat(last_heartbeat, '')"
            f" FROM {slices} GROUP BY run_id, uid",
            (after.rowid, limit),
        )
        if not found:
            return NodeSlice(after, 0, more=False, rows=[])
        count = sum(row[1] for row in found)
        end = max(row[0] for row in found)
        more = self._adapt(NODE, count, self._monotonic() - begin)
        rows = self._chosen(found) if all(map(_ordinary, found)) else []
        if not rows or not all(map(_has_times, rows)):
            rows = self._reader.between(NODE, after.rowid, end)
        return NodeSlice(self._position(NODE, end), count, more, rows)

    def _chosen(self, found: list[Row]) -> list[Row]:
        """The last row of each manager; before it, where an earlier one is newer, the same row with that stamp."""
        rows: list[Row] = []
        for last, _, newest, *_ in found:
            for row in self._reader.between(NODE, last - 1, last):
                if row[_STAMP] != newest:
                    rows.append((0, *row[1:_STAMP], newest, *row[_STAMP + 1 :]))
                rows.append(row)
        return rows

    def _adapt(self, table: Table, count: int, taken: float) -> bool:
        limit = self._limits[table.name]
        if taken > LONGEST_READ:
            self._limits[table.name] = max(_FEWEST, int(limit * LONGEST_READ / taken))
        elif count >= limit and taken < LONGEST_READ / 2:
            self._limits[table.name] = min(_MOST, limit * 2)
        return bool(count >= limit)

    def _position(self, table: Table, end: Any) -> Position:
        rows = self._reader.between(table, end - 1, end)
        return position_of(table, rows[0]) if rows else Position(end)


def _has_times(row: Row) -> bool:
    """Say whether the times of a node row, digits where they should be, are in the calendar."""
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
