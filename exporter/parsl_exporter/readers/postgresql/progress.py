"""How far a table of PostgreSQL is read, where that is more than the places of its rows, as positions have it."""

from __future__ import annotations

from typing import Any, NamedTuple

from parsl_exporter.base.tables import TASK, TRY, WORKFLOW
from parsl_exporter.readers.batch import Position


class Scan(NamedTuple):
    """How far the pages of task or try are gone through that were there when that began."""

    page: int
    end: int


class Sweep(NamedTuple):
    """How far the workflow table is read: rows of transactions older than `known` were all given.

    `since`: seconds of a steady clock, when this sweep began.
    """

    page: int
    known: int | None
    known_next: int
    since: float


def plain(position: Position) -> tuple[Any, ...]:
    """Give a position without classes of this module."""
    rowid, identity = position
    if identity is None:
        return rowid, None
    return rowid, tuple(tuple(one) if isinstance(one, tuple) else one for one in identity)


def position_of(table: str, values: tuple[Any, ...], *, since: float) -> Position:
    """Give the position of which `plain` gave these values, as of a sweep that began at `since`."""
    rowid, identity = values
    if identity is None or table not in (WORKFLOW.name, TASK.name, TRY.name):
        return Position(rowid, identity)
    serial, state = identity
    return Position(
        rowid, (serial, Sweep(*state)._replace(since=since) if table == WORKFLOW.name else Scan(*state))
    )
