"""Where a reader stands in a table, and what it brought from there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from parsl_exporter.base.columns import Columns
from parsl_exporter.base.tables import NODE, TOO_LARGE, Row, Table


class Position(NamedTuple):
    """Everything up to `rowid` has been read. `identity`: that row's unchanging columns, None when not known."""

    rowid: int = 0
    identity: Row | None = None


START = Position()


class RunColumns(NamedTuple):
    """Rows of one run in columns, the first and the last of them by position."""

    run_id: str
    columns: Columns
    first: int = 0
    last: int = 0


class Batch(NamedTuple):
    """Rows past a position: those that fit in `columns`, the others as `rows`; the position after them.

    `size`: how many those are, with those that others stand for. `more`: there may be more at once; `part`: how much
    of the table has been read, as a fraction.
    """

    rows: list[Row]
    position: Position
    more: bool
    columns: Sequence[RunColumns] = ()
    size: int = 0
    part: float = 1.0


def position_of(table: Table, row: Row) -> Position:
    """The position of a row as read; what a row that holds too much says is not known."""
    return Position(row[0], None if row[1] is TOO_LARGE else row[1 : 1 + table.identity])


class InOrder(Protocol):
    """Says of stamps whether the greatest of them as a text is the newest."""

    def __call__(self, least: str, greatest: str, run_id: str | None = None) -> bool:
        """Say it of stamps of a run, or of any run, the least and the greatest of which these are."""


def in_order_of_texts(least: str, greatest: str, run_id: str | None = None) -> bool:
    """Say that of stamps between these the greatest as a text is the newest: where no hour comes twice."""
    del least, greatest, run_id
    return True


_ACTIVE = 1 + NODE.columns.index("active")
_STAMP = 1 + NODE.columns.index("timestamp")


def stand_in(row: Row, newest: str) -> Row:
    """Give an inactive row with a manager's newest stamp, to come before its last row, which has an older one."""
    return 0, *row[1:_ACTIVE], 0, *row[_ACTIVE + 1 : _STAMP], newest, *row[_STAMP + 1 :]
