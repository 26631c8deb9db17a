"""A first read of a server: task and try rows come in bulk, whatever moves and interrupts meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url
from support.pg import history, tables
from support.pg.server import Server
from support.pg.watching import Watch, settle

from parsl_exporter.base.errors import SourceBusy, SourceFault, SourceReplaced
from parsl_exporter.base.tables import Table
from parsl_exporter.readers.batch import Batch, Position
from parsl_exporter.readers.postgresql import reader as postgresql
from parsl_exporter.readers.postgresql import session as pg_session
from parsl_exporter.readers.postgresql.reader import PostgresReader
from parsl_exporter.source import first_read

TASKS = 600
STATES = ("pending", "launched", "running", "running_ended", "exec_done")


def fill(server: Server, database: str, runs: int) -> None:
    """Runs of the same minutes whose rows lie one run after the other; one task in 7 fails once."""
    tables.create(server, database)
    for run in range(runs):
        tasks = f"generate_series(0, {TASKS - 1}) n, generate_series(0, (n % 7 = 0)::int) y"
        at = "timestamp '2026-11-22 09:00:00' + n * interval '100 ms' + y * interval '1 s'"
        states = "unnest('{" + ",".join(STATES) + "}'::text[]) WITH ORDINALITY s(state, k)"
        server.execute(
            database,
            f"INSERT INTO workflow VALUES ('run{run}', 'w', '1', '2026-11-22 09:00:00', NULL, 'h', 'u', '/r', 0, 0)",
            "INSERT INTO task (task_id, run_id, task_func_name, task_memoize, task_fail_count, task_fail_cost)"
            f" SELECT n, 'run{run}', 'app' || n % 5, 'False', 0, 0 FROM generate_series(0, {TASKS - 1}) n",
            "INSERT INTO try (try_id, task_id, run_id, task_executor, hostname, block_id, task_fail_history)"
            f" SELECT y, n, 'run{run}', 'htex', 'h' || n % 3, '0',"
            f" CASE WHEN y = 0 AND n % 7 = 0 THEN 'ValueError(1)' END FROM {tasks}",
            "INSERT INTO status SELECT n, CASE WHEN k = 5 AND y = 0 AND n % 7 = 0 THEN 'fail_retryable' ELSE state END,"
            f" {at} + k * interval '150 ms', 'run{run}', y FROM {tasks}, {states}",
            "INSERT INTO resource (try_id, task_id, run_id, timestamp, psutil_process_time_user,"
            " psutil_process_time_system, psutil_process_memory_resident)"
            f" SELECT y, n, 'run{run}', {at} + interval '500 ms' + k * interval '10 ms', n + k, k, 1e8 * k"
            f" FROM {tasks}, generate_series(0, 1) k",
        )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many keys readers are asked for, by method, and how often each is."""
    found: Counter[str] = Counter()

    def count(name: str) -> None:
        method: Callable[..., Any] = getattr(PostgresReader, name)

        def counted(reader: PostgresReader, keys: Collection[Any], *arguments: Any) -> Any:
            found[name] += len(keys)
            found[f"{name} calls"] += 1
            return method(reader, keys, *arguments)

        monkeypatch.setattr(PostgresReader, name, counted)

    for name in ("tasks", "tries", "history"):
        count(name)
    return found


def before_reads(monkeypatch: pytest.MonkeyPatch, act: Callable[[Table, int], None]) -> Counter[str]:
    """Act before each read of a table, which is told with how often it was read before."""
    reads: Counter[str] = Counter()
    read = PostgresReader.read

    def acting(reader: PostgresReader, table: Table, after: Position, **how: Any) -> Batch:
        reads[table.name] += 1
        act(table, reads[table.name])
        return read(reader, table, after, **how)

    monkeypatch.setattr(PostgresReader, "read", acting)
    return reads


def test_a_first_read_asks_for_no_task_and_try_by_key(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Counter[str]
) -> None:
    monkeypatch.setattr(postgresql, "_PAGES", 3)
    fill(server, "bulk", 2)
    with Watch(server.url("bulk", "reader")) as watch:
        watch.poll()
        assert (asked["tasks"], asked["tries"]) == (0, 0)
        assert settle(watch, server, "bulk", tmp_path / "twin.db", 20) == []


def test_task_and_try_rows_that_move_while_they_are_read_are_found_by_key(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Counter[str]
) -> None:
    monkeypatch.setattr(postgresql, "_PAGES", 1)
    fill(server, "moving", 1)
    server.execute(
        "moving",
        # Half a table of holes at its beginning, into which updates move rows from its end.
        "UPDATE try SET hostname = hostname",
        "VACUUM try",
    )
    begin = server.ask("moving", "SELECT min(ctid)::text FROM try")

    def move(table: Table, reads: int) -> None:
        if table.name == "try" and reads == 4:
            server.execute("moving", "UPDATE try SET hostname = 'moved' WHERE task_id % 3 = 0")

    reads = before_reads(monkeypatch, move)
    with Watch(server.url("moving", "reader")) as watch:
        watch.poll()
        assert reads["try"] > 5
        assert 0 < asked["tries"] < TASKS
        assert settle(watch, server, "moving", tmp_path / "twin.db", 20) == []
        assert watch.falls == []
    assert begin != "(0,1)"


@pytest.mark.parametrize("fault", [SourceBusy("locked"), SourceReplaced("replaced")])
@pytest.mark.parametrize("table", ["task", "try", "status"])
def test_a_first_read_that_is_interrupted_goes_on_or_begins_anew(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: Counter[str],
    fault: Exception,
    table: str,
) -> None:
    monkeypatch.setattr(postgresql, "_PAGES", 2)
    database = f"interrupted_{table}_{type(fault).__name__}".lower()
    fill(server, database, 1)

    def interrupt(of: Table, reads: int) -> None:
        if of.name == table and reads == 3:
            raise fault

    reads = before_reads(monkeypatch, interrupt)
    with Watch(server.url(database, "reader")) as watch:
        watch.poll()
        assert not watch.source.published.ready
        watch.poll()
        assert watch.source.published.ready
        assert reads[table] > 3
        assert (asked["tasks"], asked["tries"]) == (0, 0)
        assert settle(watch, server, database, tmp_path / "twin.db", 20) == []


def test_finished_tasks_that_were_forgotten_too_early_come_back_many_at_once(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Counter[str]
) -> None:
    monkeypatch.setattr(postgresql, "_PAGES", 4)
    monkeypatch.setattr(first_read, "_HELD_TASKS", 20)
    fill(server, "late", 3)
    # Of the tasks in the middle some rows lie at the end.
    server.execute(
        "late",
        "CREATE TEMPORARY TABLE moved AS SELECT * FROM status;"
        " TRUNCATE status;"
        " INSERT INTO status SELECT * FROM moved WHERE NOT (task_status_name = 'running' AND task_id < 500);"
        " INSERT INTO status SELECT * FROM moved WHERE task_status_name = 'running' AND task_id < 500",
    )
    with Watch(server.url("late", "reader"), close_after=0.1) as watch:
        watch.poll()
        assert asked["history"] > 100
        assert asked["history calls"] < asked["history"] / 20
        assert settle(watch, server, "late", tmp_path / "twin.db", 20) == []


def test_a_server_that_is_too_slow_for_so_many_pages_is_asked_for_fewer(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "_PAGES", 100_000)
    monkeypatch.setitem(pg_session._SESSION, "statement_timeout", "100ms")
    history.make(server, "slow", 300_000)
    with Watch(server.url("slow", "reader")) as watch:
        watch.poll()
        assert "timeout" in watch.condition
        watch.wait(lambda: watch.source.published.ready, 60)


def test_a_server_that_is_too_slow_for_so_many_keys_is_asked_for_fewer(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "_KEYS_AT_ONCE", 100_000)
    monkeypatch.setitem(pg_session._SESSION, "statement_timeout", "100ms")
    history.make(server, "slow_keys", 500_000)
    keys = [(history.OLD, task_id) for task_id in range(100_000)]
    reader = PostgresReader(make_url(server.url("slow_keys", "reader")), sweep=0.0)
    found, timeouts = 0, 0
    while not found and timeouts < 10:
        reader.changed()
        try:
            found = reader.tasks(keys).size
        except SourceFault:
            timeouts += 1
    assert found == len(keys)
    assert timeouts > 0
    reader.close()
