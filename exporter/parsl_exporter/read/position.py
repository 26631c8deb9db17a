"""Where a reader stands in a table, and what it brought from there."""

from __future__ import annotations

from typing import NamedTuple

from parsl_exporter.tables import Row, Table


class Position(NamedTuple):
    """Everything up to `rowid` has been read. `identity`: that row's unchanging columns, None when not known."""

    rowid: int = 0
    identity: Row | None = None


START = Position()


class Batch(NamedTuple):
    """Rows past a position, in order; the position after them; whether there may be more at once."""

    rows: list[Row]
    position: Position
    more: bool


def position_of(table: Table, row: Row) -> Position:
    """The position of a row as read."""
    return Position(row[0], row[1 : 1 + table.identity])
