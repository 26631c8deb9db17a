"""From a database that was found to its reader."""

from __future__ import annotations

from pathlib import Path

from parsl_exporter.base.errors import ConfigurationError, to_install
from parsl_exporter.base.shard import WHOLE, Shard
from parsl_exporter.readers.base import Reader
from parsl_exporter.readers.sqlite.reader import SqliteReader
from parsl_exporter.readers.targets import Found

SLOWEST_SWEEP = 60.0
"""Seconds in which every page of a server's tables that can hold new rows is looked at, or sooner."""


def open_reader(found: Found, shard: Shard = WHOLE, *, close_after: float = 2 * SLOWEST_SWEEP) -> Reader:
    """Give the reader of a database, of the runs in `shard` where many share it. Connects to nothing yet.

    `close_after`: the seconds within which rows must be found to reach the histograms.

    Raises ConfigurationError when the driver of its dialect is not installed.
    """
    if isinstance(found.database, Path):
        return SqliteReader(found.database)
    try:
        from parsl_exporter.readers.postgresql.reader import PostgresReader  # noqa: PLC0415  # an extra brings its driver
    except ImportError as error:
        raise ConfigurationError([f"{found.name}: {error}; {to_install('psycopg[binary]')}"]) from None
    return PostgresReader(found.database, shard=shard, sweep=min(SLOWEST_SWEEP, close_after / 2))
