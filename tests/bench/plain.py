"""The yardstick of a first read: one thread that fetches with the plain driver what the model uses, and drops it.

python tests/bench/plain.py FILE|postgresql://...
"""

from __future__ import annotations

import sqlite3
import sys

from parsl_exporter.base.tables import BLOCK, NODE, RESOURCE, STATUS, TASK, TRY, Table

_AT_ONCE = 10_000
_TABLES = (STATUS, TASK, TRY, RESOURCE, NODE, BLOCK)


def _statement(table: Table) -> str:
    columns = ", ".join(f'"{column}"' for column in table.columns)
    return f'SELECT {columns} FROM "{table.name}"'


def fetch_file(path: str) -> int:
    """Fetch all rows of the six growing tables, the columns of `parsl_exporter.base.tables`; give their number."""
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    rows = 0
    for table in _TABLES:
        cursor = database.execute(f"{_statement(table)} ORDER BY rowid")
        while batch := cursor.fetchmany(_AT_ONCE):
            rows += len(batch)
    return rows


def fetch_server(url: str) -> int:
    """Fetch the same from PostgreSQL."""
    import psycopg

    rows = 0
    with psycopg.connect(url) as connection:
        for table in _TABLES:
            with connection.cursor(f"all of {table.name}") as cursor:
                cursor.execute(_statement(table))
                while batch := cursor.fetchmany(_AT_ONCE):
                    rows += len(batch)
    return rows


if __name__ == "__main__":
    print((fetch_server if "://" in sys.argv[1] else fetch_file)(sys.argv[1]))
