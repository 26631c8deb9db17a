"""A run whose rows can all be used, and what spoils one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.rows import (
    Told,
    attempt,
    block,
    create,
    insert,
    lifecycle,
    node,
    sample,
    task,
    workflow,
)
from support.source_harness import SourceHarness, execute, in_memory

GOOD = [
    workflow(),
    task(0, "add"),
    attempt(0, block="0", host="node1"),
    *lifecycle(0, ("pending", 0), ("launched", 1), ("running", 2), ("running_ended", 8), ("exec_done", 9)),
    sample(0, 3, user=1.0, system=0.5, resident=1000.0, virtual=2000.0, children=0, read=1, written=2),
    sample(0, 7, user=2.5, system=0.5, resident=3000.0, virtual=4000.0, children=1, read=5, written=9),
    block("0", "PENDING", 0),
    block("0", "RUNNING", 1),
    node("m1", 2),
]


def changed(row: Told, **values: Any) -> Told:
    return row._replace(values={**row.values, **values})


def text_of_bytes(database: Path, table: str, column: str, raw: bytes) -> None:
    """Write bytes as text that is no UTF-8."""
    execute(database, f"UPDATE \"{table}\" SET {column} = CAST(x'{raw.hex()}' AS TEXT)")


def emptied() -> bytes:
    with in_memory() as folder:
        create(folder / "a.db")
        return (folder / "a.db").read_bytes()


NO_ROWS = emptied()


def watched_in_polls(path: Path, rows: list[Told], polls: int) -> SourceHarness:
    """Watch rows that come in so many parts."""
    path.write_bytes(NO_ROWS)
    watched = SourceHarness(path)
    for i in range(polls):
        insert(path, rows[len(rows) * i // polls : len(rows) * (i + 1) // polls])
        watched.poll()
    return watched
