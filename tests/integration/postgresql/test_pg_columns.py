"""Rows that come in columns are those that the same table gives row by row, whatever is in it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from psycopg import sql
from sqlalchemy.engine import make_url
from support.pg import tables
from support.pg.server import Server

from parsl_exporter.base.columns import Columns, SampleColumns, StatusColumns, TaskColumns, TryColumns
from parsl_exporter.base.shard import WHOLE, Shard
from parsl_exporter.base.tables import NODE, RESOURCE, STATUS, TASK, TRY, Row, Table
from parsl_exporter.model.intake import columns_of
from parsl_exporter.model.timestamps import Stamps
from parsl_exporter.readers.batch import START, Batch
from parsl_exporter.readers.postgresql import reader as postgresql
from parsl_exporter.readers.postgresql.reader import PostgresReader

AT = datetime(2026, 11, 22, 9)
SAMPLE = RESOURCE.columns[4:]
NAMES = ["pending", "exec_done", "", "é\u2028\U0001f600", "a,b", None]
ORDINARY: dict[str, dict[str, list[Any]]] = {
    "task": {"task_func_name": NAMES},
    "try": {
        "task_executor": NAMES,
        "block_id": NAMES,
        "hostname": NAMES,
        "task_fail_history": ["ValueError('x')", "parsl.errors.Some(" + "x" * 400, "", None],
    },
    "status": {"task_status_name": NAMES, "timestamp": [AT, AT + timedelta(microseconds=1)]},
    "resource": {
        "timestamp": [AT, AT.replace(year=1999)],
        **{column: [0.0, -2.5, 1e299, None] for column in SAMPLE},
    },
}
STRANGE: dict[str, dict[str, list[Any]]] = {
    "task": {"task_id": [-1], "run_id": ["", None], "task_func_name": ["a\x1eb"]},
    "try": {
        "try_id": [None, -1],
        "hostname": ["a\x1eb", "\x1e"],
        "task_fail_history": ["A" * 400, "a\x1e"],
    },
    "status": {
        "task_id": [None, -7],
        "try_id": [None],
        "run_id": ["", None],
        "task_status_name": ["\x1e", "x\x1ey"],
        "timestamp": [None, "infinity", "-infinity", "1969-12-31", "0044-03-15 BC", "20000-01-01"],
    },
    "resource": {
        "timestamp": ["infinity", None],
        "psutil_process_time_user": ["NaN", "Infinity", "-Infinity", 1e300, -1e305],
    },
}  # fmt: skip
OF = {TASK.name: TASK, TRY.name: TRY, STATUS.name: STATUS, RESOURCE.name: RESOURCE}


def ordinary(table: str, number: int, chance: random.Random) -> dict[str, Any]:
    row: dict[str, Any] = {"run_id": f"run{chance.randrange(3)}", "task_id": number}
    if table != "task":
        row["try_id"] = chance.randrange(3)
    return row | {column: chance.choice(values) for column, values in ORDINARY[table].items()}


def create(server: Server, database: str) -> None:
    """Make Parsl's tables, in which anything may be that their types allow."""
    tables.create(server, database)
    with server.connect(database) as connection:
        for table, constraint in connection.execute(
            "SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE conrelid <> 0"
            " AND connamespace = 'public'::regnamespace ORDER BY contype"
        ).fetchall():
            connection.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{constraint}"')
        for table, column in connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND is_nullable = 'NO'"
        ).fetchall():
            connection.execute(f'ALTER TABLE "{table}" ALTER COLUMN "{column}" DROP NOT NULL')


def insert(server: Server, database: str, table: str, rows: list[dict[str, Any]]) -> None:
    with server.connect(database) as connection, connection.transaction(), connection.cursor() as cursor:
        for row in rows:
            cursor.execute(
                sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                    sql.Identifier(table),
                    sql.SQL(", ").join(map(sql.Identifier, row)),
                    sql.SQL(", ").join(sql.Placeholder() * len(row)),
                ),
                list(row.values()),
            )


@contextmanager
def reading(server: Server, database: str, shard: Shard = WHOLE) -> Iterator[PostgresReader]:
    reader = PostgresReader(make_url(server.url(database, "reader")), shard=shard, sweep=0.0)
    try:
        reader.changed()
        yield reader
    finally:
        reader.close()


def batches_of(reader: PostgresReader, table: Table, skip: tuple[str, ...] = ()) -> list[Batch]:
    batches, position, more = [], START, True
    while more:
        batch = reader.read(table, position, skip=skip)
        batches.append(batch)
        position, more = batch.position, batch.more
    return batches


def values_of(run_id: str, columns: Columns) -> Iterator[tuple[Any, ...]]:
    """Each row as a tuple, names as the model takes them."""

    def names(column: Any) -> list[object]:
        return [column.values[code] or "" for code in column.codes.tolist()]

    ids = columns.task_ids.tolist()
    found: Iterable[tuple[Any, ...]]
    if isinstance(columns, TaskColumns):
        found = zip(ids, names(columns.apps), strict=True)
    elif isinstance(columns, TryColumns):
        histories = [str(history)[:300] for history in names(columns.histories)]
        found = zip(ids, columns.try_ids.tolist(), *map(names, columns[2:5]), histories, strict=True)
    elif isinstance(columns, StatusColumns):
        found = zip(ids, columns.try_ids.tolist(), columns.at.tolist(), names(columns.states), strict=True)
    else:
        assert isinstance(columns, SampleColumns)
        numbers = [str(row) for row in columns.values.T.tolist()]
        found = zip(ids, columns.try_ids.tolist(), columns.at.tolist(), numbers, strict=True)
    return ((run_id, *row) for row in found)


def taken(
    table: Table, rows: list[Row], batches: Sequence[Batch] = ()
) -> tuple[Counter[tuple[Any, ...]], Counter[str]]:
    """What the model would take, and how many rows it would reject for which reason."""
    found: Counter[tuple[Any, ...]] = Counter()
    rejected: Counter[str] = Counter()
    for run_id, columns, _ in columns_of(
        table, rows, Stamps(timezone.utc), lambda _t, reason, _r: rejected.update([reason])
    ):
        found.update(values_of(run_id, columns))
    for batch in batches:
        for run_id, columns, *_ in batch.columns:
            found.update(values_of(run_id, columns))
    return found, rejected


def row_by_row(reader: PostgresReader, table: Table) -> list[Row]:
    return [row for rows in reader.newest(table, 1 << 40) for row in rows]


def same(reader: PostgresReader, table: Table) -> list[Batch]:
    """Read a table both ways; give the batches of the one in columns."""
    batches = batches_of(reader, table)
    rows = [row for batch in batches for row in batch.rows]
    whole = row_by_row(reader, table)
    assert taken(table, rows, batches) == taken(table, whole)
    assert sum(batch.size for batch in batches) == len(whole)
    return batches


@pytest.mark.parametrize("table", OF)
def test_ordinary_rows_come_in_columns(server: Server, table: str) -> None:
    database = f"columns_{table}"
    create(server, database)
    chance = random.Random(table)
    insert(server, database, table, [ordinary(table, n, chance) for n in range(500)])
    with reading(server, database) as reader:
        (batch,) = same(reader, OF[table])
    assert batch.rows == []
    assert {run_id for run_id, *_ in batch.columns} == {"run0", "run1", "run2"}
    assert batch.part == 1.0


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [(table, column, value) for table, cs in STRANGE.items() for column, vs in cs.items() for value in vs],
)
def test_a_row_that_does_not_fit_has_all_of_its_visit_come_as_rows(
    server: Server, table: str, column: str, value: object
) -> None:
    database = "strange"
    if not server.ask("postgres", "SELECT count(*) FROM pg_database WHERE datname = 'strange'"):
        create(server, database)
    server.execute(database, f'TRUNCATE "{table}"')
    chance = random.Random(1)
    rows = [ordinary(table, n, chance) for n in range(30)]
    rows[7][column] = value
    insert(server, database, table, rows)
    with reading(server, database) as reader:
        (batch,) = same(reader, OF[table])
    assert batch.columns == []
    assert len(batch.rows) == 30


@pytest.mark.parametrize("table", OF)
def test_random_rows_page_by_page_are_the_same_in_columns_and_row_by_row(
    server: Server, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    monkeypatch.setattr(postgresql, "_PAGES", 1)
    database = f"random_{table}"
    create(server, database)
    chance = random.Random(2)
    rows = [ordinary(table, n, chance) for n in range(2_000)]
    for row in chance.sample(rows, 10):
        column = chance.choice(list(STRANGE[table]))
        row[column] = chance.choice(STRANGE[table][column])
    insert(server, database, table, rows)
    with reading(server, database) as reader:
        batches = same(reader, OF[table])
    assert any(batch.columns for batch in batches)
    assert any(batch.rows for batch in batches)
    assert [batch.part for batch in batches] == [n / len(batches) for n in range(1, len(batches) + 1)]


def test_a_column_of_another_type_or_none_is_read_all_the_same(server: Server) -> None:
    database = "types"
    create(server, database)
    chance = random.Random(3)
    insert(server, database, "resource", [ordinary("resource", n, chance) for n in range(50)])
    voluntary, involuntary = SAMPLE[-2:]
    server.execute(database, f"ALTER TABLE resource DROP COLUMN {voluntary}, DROP COLUMN {involuntary}")
    with reading(server, database) as reader:
        assert [batch.rows for batch in same(reader, RESOURCE)] == [[]]
    server.execute(database, f"ALTER TABLE resource ALTER COLUMN {SAMPLE[0]} TYPE text")
    with reading(server, database) as reader:
        assert [batch.columns for batch in same(reader, RESOURCE)] == [[]]


def test_rows_of_other_shards_and_of_runs_that_are_left_out_do_not_come_and_are_not_asked_for_again(
    server: Server,
) -> None:
    database = "shards_in_columns"
    create(server, database)
    chance = random.Random(4)
    for name in ("status", "task"):
        insert(server, database, name, [ordinary(name, n, chance) for n in range(300)])
    shards = [Shard(1, 2), Shard(2, 2)]
    runs: Counter[str] = Counter()
    for shard in shards:
        with reading(server, database, shard) as reader:
            for table in (STATUS, TASK):
                (batch,) = batches_of(reader, table, skip=("run1",))
                assert batch.size == sum(len(columns.task_ids) for _, columns, *_ in batch.columns)
                runs.update(run_id for run_id, *_ in batch.columns)
                assert reader.read(table, batch.position).columns == []
    assert runs == {"run0": 2, "run2": 2}


def node(n: int, chance: random.Random) -> dict[str, Any]:
    at = AT + timedelta(seconds=chance.randrange(100))
    return {
        "run_id": f"run{chance.randrange(2)}",
        "uid": f"manager{chance.randrange(3)}",
        "hostname": chance.choice(["h0", "h1"]),
        "block_id": chance.choice(["0", None]),
        "cpu_count": chance.choice([4, 8]),
        "total_memory": 2**33,
        "active": chance.choice([True, False]),
        "worker_count": 4,
        "python_v": "3.11.7",
        "timestamp": at,
        "last_heartbeat": chance.choice([at, None]),
    }


def last_and_newest(rows: list[Row]) -> dict[tuple[str, str], tuple[Row, str]]:
    """Of each manager its last row, and its newest stamp, a heartbeat that is none as the stamp."""
    found: dict[tuple[str, str], tuple[Row, str]] = {}
    for given in rows:
        row = (*given[:10], *(str(datetime.fromisoformat(stamp or given[10])) for stamp in given[10:]))
        last, newest = found.get((row[1], row[2]), (row, ""))
        found[row[1], row[2]] = (row if row[0] >= last[0] else last, max(newest, row[10]))
    return found


def test_of_a_manager_the_last_row_and_its_newest_stamp_come(server: Server) -> None:
    database = "managers"
    create(server, database)
    chance = random.Random(5)
    insert(server, database, "node", [node(n, chance) for n in range(400)])
    with reading(server, database) as reader:
        (batch,) = batches_of(reader, NODE)
        assert last_and_newest(batch.rows) == last_and_newest(row_by_row(reader, NODE))
        most = 4  # The last, the first and the last with active=1, one for a newer stamp.
        assert len(batch.rows) <= most * len(last_and_newest(batch.rows))
        assert batch.size == 400

    server.execute(database, "UPDATE node SET last_heartbeat = 'infinity' WHERE id = 7")
    with reading(server, database) as reader:
        (batch,) = batches_of(reader, NODE)
    assert len(batch.rows) == batch.size == 400


@pytest.mark.parametrize("out_of_order", [None, "run0", "run1"])
def test_all_managers_rows_come_where_those_of_any_run_are_not_in_the_order_of_their_stamps(
    server: Server, out_of_order: str | None
) -> None:
    database = f"managers_{out_of_order}"
    create(server, database)
    hours = {"run0": timedelta(), "run1": timedelta(hours=6)}
    nodes = [node(n, random.Random(n)) for n in range(100)]
    for one in nodes:
        one["timestamp"] += hours[one["run_id"]]
    insert(server, database, "node", nodes)
    asked = set()

    def in_order(least: str, greatest: str, run_id: str | None = None) -> bool:
        asked.add((least, greatest, run_id))
        return run_id != out_of_order

    with reading(server, database) as reader:
        batch = reader.read(NODE, START, in_order=in_order)

    expected = set()
    for run_id in hours:
        stamps = [one["timestamp"].isoformat(" ", "microseconds") for one in nodes if one["run_id"] == run_id]
        expected.add((min(stamps), max(stamps), run_id))
    assert asked <= expected
    if out_of_order is None:
        assert asked == expected
    assert batch.size == 100
    assert (len(batch.rows) == 100) is (out_of_order is not None)
