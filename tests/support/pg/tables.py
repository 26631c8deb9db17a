"""Parsl's tables on PostgreSQL: made by Parsl, filled from SQLite, and copied to SQLite for the oracle."""

from __future__ import annotations

import gzip
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from parsl.monitoring.db_manager import Database
from psycopg import sql
from sqlalchemy import Engine

from support.pg.server import Server
from support.source_harness import DATA, PARSL_TABLES

_ORDER = {"block": ' ORDER BY "timestamp"', "node": " ORDER BY id"}


def create(server: Server, database: str) -> None:
    """Make a database with Parsl's tables, empty."""
    server.create(database)
    with closing(Database(server.url(database)).session) as session:
        engine = session.get_bind()
        assert isinstance(engine, Engine)
        engine.dispose()


def restore(server: Server, database: str) -> None:
    """Fill an empty database with tables and rows that Parsl wrote to a server."""
    server.restore(database, gzip.decompress((DATA / "pg-2026.10.26.dump.sql.gz").read_bytes()).decode())


def without_nul(database: Path) -> None:
    """Take NUL characters out of a SQLite database: PostgreSQL has none."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.create_function("clean", 1, lambda v: v.replace("\0", "~") if isinstance(v, str) else v)
        for table in PARSL_TABLES:
            for column in [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]:
                connection.execute(f'UPDATE "{table}" SET "{column}" = clean("{column}")')


def fill(server: Server, database: str, source: Path) -> None:
    """Copy all rows of a SQLite database into Parsl's tables."""
    with closing(sqlite3.connect(source)) as given, server.connect(database) as connection:
        given.row_factory = sqlite3.Row
        for table in PARSL_TABLES:
            rows = [dict(row) for row in given.execute(f'SELECT * FROM "{table}" ORDER BY rowid')]
            if not rows:
                continue
            known = connection.execute(
                "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s",
                (table,),
            )
            kinds = {row[0]: row[1] for row in known}
            columns = [column for column in rows[0] if column in kinds]
            statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                sql.Identifier(table),
                sql.SQL(", ").join(map(sql.Identifier, columns)),
                sql.SQL(", ").join(sql.Placeholder() * len(columns)),
            )
            values = [
                [bool(row[c]) if kinds[c] == "boolean" else row[c] for c in columns]
                for row in rows
            ]  # fmt: skip
            with connection.transaction(), connection.cursor() as cursor:
                cursor.executemany(statement, values)


def twin(server: Server, database: str, target: Path) -> Path:
    """Copy the whole database into a new SQLite file, blocks in the order of their stamps, nodes of their ids."""
    target.unlink(missing_ok=True)
    with closing(sqlite3.connect(target)) as copy, copy, server.connect(database) as connection:
        for table in PARSL_TABLES:
            cursor = connection.execute(f'SELECT * FROM "{table}"{_ORDER.get(table, "")}')
            names = [column.name for column in cursor.description or ()]
            listed = ", ".join(f'"{name}"' for name in names)
            copy.execute(f'CREATE TABLE "{table}" ({listed})')
            copy.executemany(
                f'INSERT INTO "{table}" VALUES ({", ".join("?" * len(names))})',
                [[_value(v) for v in row] for row in cursor],
            )
    return target


def _value(value: Any) -> Any:
    return value.isoformat(" ", "microseconds") if hasattr(value, "isoformat") else value
