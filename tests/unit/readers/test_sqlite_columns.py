"""Rows in columns: only where all are as Parsl writes them; otherwise all of them come as rows, and none is lost."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlite_reading import opened
from support.rows import RUN, attempt, node, sample, stamp, status, task, workflow, write
from support.source_harness import execute

from parsl_exporter.base.columns import SampleColumns, StatusColumns, TaskColumns, TryColumns
from parsl_exporter.base.tables import NODE, RESOURCE, STATUS, TASK, TRY, Row, Table
from parsl_exporter.readers.batch import START, Batch, InOrder, in_order_of_texts

COLUMNS = {TASK: TaskColumns, TRY: TryColumns, STATUS: StatusColumns, RESOURCE: SampleColumns}
TABLES = [TASK, TRY, STATUS, RESOURCE, NODE]
IDS = [b"1", "1", "x", 0.5, 1.0, None, -1, 2.0**63]
NAMES = [b"x", 5, 1.5, "a\x1eb", "a\x1ea"]
STAMPS = [
    *(stamp(1).encode(), None, 5, 5.0, "", stamp(1)[:-1]),
    *(stamp(1).replace("-01-", "-13-"), "1970-01-01 00:00:00.000000"),
]


def database(path: Path) -> Path:
    """Three rows of one run in each table, whose columns have no types, so that they keep whatever is put in."""
    rows = [
        row
        for i in range(3)
        for row in (task(i), attempt(i), status(i, "running", i), sample(i, i), node("m", i))
    ]
    write(path, [workflow(), *rows])
    with closing(sqlite3.connect(path)) as connection, connection:
        for table in TABLES:
            columns = ", ".join(
                f'"{row[1]}"' for row in connection.execute(f'PRAGMA table_info("{table.name}")')
            )
            connection.execute(f"CREATE TABLE untyped ({columns})")
            connection.execute(f'INSERT INTO untyped ({columns}) SELECT {columns} FROM "{table.name}"')
            connection.execute(f'DROP TABLE "{table.name}"')
            connection.execute(f'ALTER TABLE untyped RENAME TO "{table.name}"')
        numbers = ", ".join(f"{column} = 1.5" for column in RESOURCE.columns[4:])
        connection.execute(f"UPDATE resource SET {numbers}")
    return path


def put(path: Path, table: Table, column: str, value: object, rowid: int = 2) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f'UPDATE "{table.name}" SET {column} = ? WHERE rowid = ?', (value, rowid))


def read(path: Path, table: Table, in_order: InOrder = in_order_of_texts) -> Batch:
    reader = opened(path)
    try:
        return reader.read(table, START, in_order=in_order)
    finally:
        reader.close()


def in_file(path: Path, table: Table) -> list[Row]:
    columns = ", ".join(f'"{column}"' for column in table.columns)
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f'SELECT rowid, {columns} FROM "{table.name}"').fetchall()


def sizes(batch: Batch) -> dict[str, int]:
    """How many rows came in columns, by run."""
    return {part.run_id: len(part.columns.task_ids) for part in batch.columns}


@pytest.mark.parametrize("table", COLUMNS, ids=lambda table: table.name)
def test_rows_as_parsl_writes_them_come_in_columns(folder: Path, table: Table) -> None:
    batch = read(database(folder / "a.db"), table)
    assert (sizes(batch), batch.rows, batch.size) == ({RUN: 3}, [], 3)
    assert isinstance(batch.columns[0].columns, COLUMNS[table])
    assert batch.columns[0].columns.task_ids.tolist() == [0, 1, 2]


def test_of_a_manager_the_last_row_comes_and_the_first_and_last_at_work(folder: Path) -> None:
    path = database(folder / "a.db")
    put(path, NODE, "active", 0, rowid=1)
    batch = read(path, NODE)
    assert ([row[0] for row in batch.rows], batch.size) == ([2, 3], 3)
    put(path, NODE, "active", 0, rowid=3)
    assert [row[0] for row in read(path, NODE).rows] == [2, 3]
    put(path, NODE, "uid", "another", rowid=1)
    assert [row[0] for row in read(path, NODE).rows] == [1, 2, 3]


def test_before_an_older_last_row_of_a_manager_comes_one_with_its_newest_stamp(folder: Path) -> None:
    path = database(folder / "a.db")
    put(path, NODE, "timestamp", stamp(9))
    batch = read(path, NODE)
    at, active = (1 + NODE.columns.index(name) for name in ("timestamp", "active"))
    assert [(row[0], row[at], row[active]) for row in batch.rows] == [
        (1, stamp(0), 1), (0, stamp(9), 0), (3, stamp(2), 1),
    ]  # fmt: skip


def test_of_managers_all_rows_come_where_the_newest_stamp_of_their_run_is_not_known_to_be_the_greatest(
    folder: Path,
) -> None:
    path = database(folder / "a.db")
    execute(path, "INSERT INTO node SELECT * FROM node")
    for rowid in (4, 5, 6):
        put(path, NODE, "run_id", "other", rowid)
    asked = []

    def in_order(least: str, greatest: str, run_id: str | None = None) -> bool:
        asked.append((least, greatest, run_id))
        return run_id == RUN

    batch = read(path, NODE, in_order)
    assert asked == [(stamp(0), stamp(2), RUN), (stamp(0), stamp(2), "other")]
    assert [row[0] for row in batch.rows] == [1, 3, 4, 5, 6]


def test_a_manager_on_two_hosts_is_two(folder: Path) -> None:
    path = database(folder / "a.db")
    put(path, NODE, "hostname", "elsewhere")
    assert [row[0] for row in read(path, NODE).rows] == [1, 2, 3]


ODD = [
    *((table, "task_id", value) for table in (TASK, TRY, STATUS, RESOURCE) for value in IDS),
    *((table, "try_id", value) for table in (TRY, STATUS, RESOURCE) for value in IDS),
    *((TASK, "task_func_name", value) for value in NAMES),
    *((TRY, column, value) for column in ("task_executor", "block_id", "hostname") for value in NAMES),
    *((STATUS, "task_status_name", value) for value in NAMES),
    *((table, "timestamp", value) for table in (STATUS, RESOURCE, NODE) for value in STAMPS),
    *((NODE, "last_heartbeat", value) for value in STAMPS if value is not None),
    *((NODE, column, value) for column in ("uid", "hostname") for value in [None, *NAMES]),
    (NODE, "uid", ""),
    *(
        (NODE, column, value)
        for column in ("cpu_count", "total_memory", "active", "worker_count")
        for value in ("1", b"1", 1.0, None)
    ),
    *((RESOURCE, RESOURCE.columns[-1], value) for value in ("1", b"1", None, 1e301)),
]


@pytest.mark.parametrize(("table", "column", "value"), ODD, ids=lambda value: getattr(value, "name", None))
@pytest.mark.parametrize("rowids", [(2,), (1, 2, 3)], ids=["one", "all"])
def test_where_one_does_not_fit_all_come_as_rows(
    folder: Path, table: Table, column: str, value: Any, rowids: tuple[int, ...]
) -> None:
    path = database(folder / "a.db")
    for rowid in rowids:
        put(path, table, column, value, rowid)
    batch = read(path, table)
    assert (sizes(batch), batch.size) == ({}, 3)
    assert batch.rows == in_file(path, table)


def test_two_stamps_that_are_whole_only_together_do_not_fit(folder: Path) -> None:
    path = database(folder / "a.db")
    both = stamp(0) + stamp(1)
    for rowid, value in ((1, both[:25]), (2, both[25:])):
        put(path, STATUS, "timestamp", value, rowid)
    assert read(path, STATUS).rows == in_file(path, STATUS)


NAMED = [
    (TASK, "task_func_name"),
    *((TRY, column) for column in ("task_executor", "block_id", "hostname", "task_fail_history")),
    (STATUS, "task_status_name"),
]


@pytest.mark.parametrize(("table", "column"), NAMED)
def test_a_name_that_is_not_there_fits(folder: Path, table: Table, column: str) -> None:
    path = database(folder / "a.db")
    put(path, table, column, None)
    assert sizes(read(path, table)) == {RUN: 3}


def test_a_heartbeat_that_is_not_there_fits(folder: Path) -> None:
    path = database(folder / "a.db")
    for rowid in (1, 2, 3):
        put(path, NODE, "last_heartbeat", None, rowid)
        assert [row[0] for row in read(path, NODE).rows] == [1, 3]


def test_a_try_with_a_history_comes_alone(folder: Path) -> None:
    path = database(folder / "a.db")
    for rowid in (2, 1, 3):
        put(path, TRY, "task_fail_history", "OSError", rowid)
        batch = read(path, TRY)
        histories = [row for row in in_file(path, TRY) if row[-1]]
        assert (batch.rows, batch.size) == (histories, 3)
        assert sum(sizes(batch).values()) == 3 - len(histories)


@pytest.mark.parametrize("table", COLUMNS, ids=lambda table: table.name)
def test_rows_that_were_deleted_hinder_none_of_the_others(folder: Path, table: Table) -> None:
    path = database(folder / "a.db")
    execute(path, f'DELETE FROM "{table.name}" WHERE rowid = 2')
    batch = read(path, table)
    assert (sizes(batch), batch.rows, batch.size) == ({RUN: 2}, [], 2)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
@pytest.mark.parametrize("gap", [False, True], ids=["side by side", "with a gap"])
def test_rows_of_another_run_are_told_apart(folder: Path, table: Table, gap: bool) -> None:
    path = database(folder / "a.db")
    execute(path, f'INSERT INTO "{table.name}" SELECT * FROM "{table.name}"')
    put(path, table, "run_id", "other", rowid=2)
    if gap:
        execute(path, f'DELETE FROM "{table.name}" WHERE rowid = 4')
    batch = read(path, table)
    assert batch.size == len(in_file(path, table)) == 6 - gap
    if table is not NODE:
        assert (sizes(batch), batch.rows) == ({RUN: 5 - gap, "other": 1}, [])
    else:
        assert [row[1] for row in batch.rows] == [RUN, RUN, "other"]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
@pytest.mark.parametrize("run_id", [None, "", b"x", 5, 0.5])
@pytest.mark.parametrize("rowids", [(1,), (2,), (1, 2, 3)], ids=["first", "in the midst", "all"])
def test_rows_of_no_run_come_as_rows(
    folder: Path, table: Table, run_id: object, rowids: tuple[int, ...]
) -> None:
    path = database(folder / "a.db")
    for rowid in rowids:
        put(path, table, "run_id", run_id, rowid)
    batch = read(path, table)
    assert batch.size == 3
    assert [row for row in batch.rows if row[1] != RUN] == [
        row for row in in_file(path, table) if row[1] != RUN
    ]
    if table is not NODE:
        assert sum(sizes(batch).values()) == 3 - len(rowids)
