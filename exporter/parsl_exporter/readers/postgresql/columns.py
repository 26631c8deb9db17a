"""Reads rows of PostgreSQL in columns: the server puts those of a run together, and NumPy takes them apart.

A column of numbers or stamps comes as one byte string of values in PostgreSQL's binary format, one of names as one
text. That costs the client a twentieth of the same values row by row, and the server less as well. Of a manager's
snapshots only the last one counts. Where any row of a visit is not as Parsl writes it, all come as rows. Source:
postgresql.org/docs, "Binary String Functions" and the `send` functions of the types.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

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
)
from parsl_exporter.base.tables import NODE, RESOURCE, STATUS, TASK, TRY, Row, Table
from parsl_exporter.readers.batch import InOrder, RunColumns, in_order_of_texts, stand_in
from parsl_exporter.readers.postgresql import statements
from parsl_exporter.readers.postgresql.catalog import Catalog
from parsl_exporter.readers.postgresql.heap import NO_PLACES, Places
from parsl_exporter.readers.postgresql.session import Session

_EPOCH = datetime(1970, 1, 1)
_EPOCH_OF_SERVER_US = (datetime(2000, 1, 1) - _EPOCH) // timedelta(microseconds=1)


class Found(NamedTuple):
    """What a visit found: rows in columns and others, how many rows those are or stand for, and where all are."""

    columns: list[RunColumns]
    rows: list[Row]
    size: int
    places: Places


class _Strange(Exception):
    """A row is not as Parsl writes it."""


class PostgresColumns:
    """Reads ranges of places of tables with a session. `ours` is the condition of rows that are to be taken."""

    def __init__(self, session: Session, catalog: Catalog, ours: str) -> None:
        self._session = session
        self._catalog = catalog
        self._ours = ours
        self._kinds: Mapping[str, Mapping[str, int]] = {}
        self._statements: dict[tuple[str, object], str | None] = {}

    def read(self, table: Table, ranges: statements.Ranges, skip: Sequence[str], in_order: InOrder) -> Found:
        """Give the rows in these ranges, but for those of runs in `skip`; `in_order` as `Reader.read` has it."""
        if not ranges:
            return Found([], [], 0, NO_PLACES)
        parameters = {"oid": self._catalog.oid(table), "skip": skip, **statements.bounds(ranges)}
        condition = f"{self._ours} AND s.run_id <> ALL(%(skip)s)" if skip else self._ours
        sql = self._statement(statements.in_columns, table, condition)
        if sql is not None:
            try:
                return self._in_columns(table, self._session.fetch(sql, parameters, binary=True), in_order)
            except _Strange:
                pass
        return self._in_rows(table, condition, parameters)

    def by_key(self, table: Table, names: Sequence[str], keys: Sequence[tuple[Any, ...]]) -> Found:
        """Give the rows of keys, each a run_id and the integers `names`."""
        parameters = {"oid": self._catalog.oid(table), **statements.key_parameters(names, keys)}
        sql = self._statement(statements.in_columns_by_key, table, tuple(names))
        if sql is not None:
            try:
                return self._in_columns(table, self._session.fetch(sql, parameters, binary=True))
            except _Strange:
                pass
        sql = statements.by_key(table, self._catalog.columns[table.name], names)
        rows = [row[:-1] for row in self._session.fetch(sql, parameters)]
        return Found([], rows, len(rows), NO_PLACES)

    def _statement(
        self, make: Callable[[Table, Mapping[str, int], Any], str | None], table: Table, choice: object
    ) -> str | None:
        """A statement, made once as long as the tables stay what they are."""
        if self._kinds is not self._catalog.kinds:
            self._kinds, self._statements = self._catalog.kinds, {}
        key = (table.name, choice)
        if key not in self._statements:
            self._statements[key] = make(table, self._kinds[table.name], choice)
        return self._statements[key]

    def _in_rows(self, table: Table, condition: str, parameters: Mapping[str, Any]) -> Found:
        sql = statements.of_places(table, self._catalog.columns[table.name], condition)
        found = self._session.fetch(sql, parameters)
        if not found:
            return Found([], [], 0, NO_PLACES)
        self._catalog.check_file(table, found[0][-1])
        width = 1 + len(table.columns)
        at = np.array([int.from_bytes(row[width], "big") for row in found], np.int64)
        rows = [row[:width] for row in found if row[width + 2]]
        return Found([], rows, len(rows), Places(at, np.array([row[width + 1] for row in found], np.int64)))

    def _in_columns(self, table: Table, found: Sequence[Row], in_order: InOrder = in_order_of_texts) -> Found:
        """Take apart what a statement of `in_columns` gave: of each group its key, then its values."""
        if not found:
            return Found([], [], 0, NO_PLACES)
        self._catalog.check_file(table, found[0][0])
        taken = [row for row in found if row[1]]
        size = sum(row[2] for row in taken)
        places = Places(
            _places(b"".join(row[3] for row in found)),
            np.frombuffer(b"".join(row[4] for row in found), ">i4").astype(np.int64),
        )
        groups = [row[5:] for row in taken]
        if any(not group[0] for group in groups):
            raise _Strange
        if table is NODE:
            return Found([], _managers([row[2] for row in taken], groups, in_order), size, places)
        parse = _PARSERS[table.name]
        columns = [RunColumns(row[5], parse(row[2], row[6:])) for row in taken]
        return Found(columns, [], size, places)


def _places(raw: bytes) -> Ints:
    parts = np.frombuffer(raw, np.dtype([("page", ">u4"), ("item", ">u2")]))
    pages: Ints = parts["page"].astype(np.int64)
    return pages << 16 | parts["item"].astype(np.int64)


# --- tasks and tries ----------------------------------------------------------------------------------------


def _integers(raw: bytes | None, count: int) -> Ints:
    """Values of int8send; none where one was NULL."""
    if raw is None or len(raw) != 8 * count:
        raise _Strange
    return np.frombuffer(raw, ">i8").astype(np.int64)


def _ids(raw: bytes | None, count: int) -> Ints:
    ids = _integers(raw, count)
    if ids.min() < 0:
        raise _Strange
    return ids


def _stamps(raw: bytes | None, count: int) -> Ints:
    """Naive microseconds of values of timestamp_send."""
    at = _integers(raw, count)
    # Infinity is the greatest and the least number.
    if at.min() < EARLIEST_US - _EPOCH_OF_SERVER_US or at.max() >= LATEST_US - _EPOCH_OF_SERVER_US:
        raise _Strange
    return at + _EPOCH_OF_SERVER_US


def _names(text: str, count: int) -> Named:
    names = text.split(statements.SEPARATOR)
    if len(names) != count:
        raise _Strange
    return Named.of(names)


def _tasks(count: int, values: Sequence[Any]) -> Columns:
    return TaskColumns(_ids(values[0], count), _names(values[1], count))


def _tries(count: int, values: Sequence[Any]) -> Columns:
    task_ids, try_ids = _ids(values[0], count), _ids(values[1], count)
    executors, blocks, hosts, histories = (_names(value, count) for value in values[2:])
    # What was cut off might belong to the name of a class.
    if any(
        len(str(history)) >= statements.HISTORY and "(" not in str(history) for history in histories.values
    ):
        raise _Strange
    return TryColumns(task_ids, try_ids, executors, blocks, hosts, histories)


def _status(count: int, values: Sequence[Any]) -> Columns:
    task_ids, try_ids = _ids(values[0], count), _ids(values[1], count)
    return StatusColumns(task_ids, try_ids, _stamps(values[2], count), _names(values[3], count))


def _samples(count: int, values: Sequence[Any]) -> Columns:
    task_ids, try_ids, at = _ids(values[0], count), _ids(values[1], count), _stamps(values[2], count)
    if values[3]:  # rows with NaN, which stands for NULL here
        raise _Strange
    numbers: Floats = np.full((len(values) - 4, count), np.nan)
    for row, raw in zip(numbers, values[4:], strict=True):
        if raw is not None:
            row[:] = np.frombuffer(raw, ">f8")
    if (np.abs(numbers) >= TOO_MUCH).any():
        raise _Strange
    return SampleColumns(task_ids, try_ids, at, numbers)


_PARSERS = {TASK.name: _tasks, TRY.name: _tries, STATUS.name: _status, RESOURCE.name: _samples}

# --- managers -----------------------------------------------------------------------------------------------

_ACTIVE = NODE.columns.index("active")
_STAMP = NODE.columns.index("timestamp")
_NUMBERS = slice(NODE.columns.index("cpu_count"), NODE.columns.index("worker_count") + 1)


def _managers(counts: Sequence[int], groups: Sequence[Row], in_order: InOrder) -> list[Row]:
    """The last row of each manager, and the first and the last with active=1.

    Before the last, where an earlier one is newer, comes an inactive one with that stamp. The rows of a group differ
    only in id, stamp and heartbeat.
    """
    if not groups:
        return []
    count = sum(counts)
    ids = _integers(b"".join(group[_STAMP] for group in groups), count)
    at = _stamps(b"".join(group[_STAMP + 1] for group in groups), count)
    beats = _stamps(b"".join(group[_STAMP + 2] for group in groups), count)
    managers = Named.of([(group[0], group[1]) for group in groups])
    for group in groups:
        if not group[1] or not all(map(_small, group[_NUMBERS])):
            raise _Strange
    if not _all_in_order(counts, groups, at, in_order):
        raise _Strange
    of = np.repeat(managers.codes, counts)
    group_of = np.repeat(np.arange(len(groups)), counts)
    newest = np.zeros(len(managers.values), np.int64)
    np.maximum.at(newest, of, at)
    order = np.lexsort((ids, of))
    last = set(order[ends_of(of[order])[1]].tolist())
    active = order[np.array([bool(group[_ACTIVE]) for group in groups], np.bool_)[group_of[order]]]
    chosen = last | set(active[np.concatenate(ends_of(of[active]))].tolist())
    rows: list[Row] = []
    for i in sorted(chosen, key=ids.__getitem__):
        row = (int(ids[i]), *groups[group_of[i]][:_STAMP], _text(at[i]), _text(beats[i]))
        if i in last and newest[of[i]] != at[i]:
            rows.append(stand_in(row, _text(newest[of[i]])))
        rows.append(row)
    return rows


def _all_in_order(counts: Sequence[int], groups: Sequence[Row], at: Ints, in_order: InOrder) -> bool:
    """Ask of the rows of each run."""
    begins = np.cumsum([0, *counts[:-1]])
    runs: dict[str, tuple[int, int]] = {}
    leasts, greatests = np.minimum.reduceat(at, begins).tolist(), np.maximum.reduceat(at, begins).tolist()
    for group, least, greatest in zip(groups, leasts, greatests, strict=True):
        low, high = runs.get(group[0], (least, greatest))
        runs[group[0]] = min(low, least), max(high, greatest)
    return all(in_order(_text(low), _text(high), run_id) for run_id, (low, high) in runs.items())


def _small(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and abs(value) < TOO_MUCH)


def _text(naive: int) -> str:
    return (_EPOCH + timedelta(microseconds=int(naive))).isoformat(" ", "microseconds")
