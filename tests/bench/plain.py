"""The yardstick of a first read: one thread that fetches with plain sqlite3 what the model uses, and drops it.

python tests/bench/plain.py FILE
"""

from __future__ import annotations

import sqlite3
import sys

from parsl_exporter.base.tables import BLOCK, NODE, RESOURCE, STATUS, TASK, TRY

_AT_ONCE = 10_000


def fetch(path: str) -> int:
    """Fetch all rows of the six growing tables, the columns of `parsl_exporter.base.tables`; give their number."""
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    rows = 0
    for table in (STATUS, TASK, TRY, RESOURCE, NODE, BLOCK):
        columns = ", ".join(f'"{column}"' for column in table.columns)
        cursor = database.execute(f'SELECT {columns} FROM "{table.name}" ORDER BY rowid')
        while batch := cursor.fetchmany(_AT_ONCE):
            rows += len(batch)
    return rows


if __name__ == "__main__":
    print(fetch(sys.argv[1]))
