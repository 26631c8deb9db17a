"""A long history of finished tasks, made on the server."""

from __future__ import annotations

from support.pg import tables
from support.pg.server import Server

ROWS_A_TASK = 5
OLD, _NEW = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


def make(server: Server, database: str, rows: int) -> None:
    """Make a database with one run that is over and has `rows` status rows, and one that has just begun."""
    tables.create(server, database)
    tasks = rows // ROWS_A_TASK
    server.execute(
        database,
        f"INSERT INTO workflow VALUES ('{OLD}', 'old', '1', '2026-01-01', '2026-01-02', 'h', 'u', '/r', 0, 0),"
        f" ('{_NEW}', 'new', '1', now(), NULL, 'h', 'u', '/r', 0, 0)",
        "INSERT INTO task (task_id, run_id, task_func_name, task_memoize, task_fail_count, task_fail_cost)"
        f" SELECT n, '{OLD}', 'app', 'False', 0, 0 FROM generate_series(0, {tasks - 1}) n",
        "INSERT INTO try (try_id, task_id, run_id, task_executor, hostname)"
        f" SELECT 0, n, '{OLD}', 'htex', 'h' FROM generate_series(0, {tasks - 1}) n",
        f"INSERT INTO status SELECT n / {ROWS_A_TASK}, ('{{pending,launched,running,running_ended,exec_done}}'"
        f"::text[])[n % {ROWS_A_TASK} + 1], timestamp '2026-01-01' + n * interval '1 ms', '{OLD}', 0"
        f" FROM generate_series(0, {tasks * ROWS_A_TASK - 1}) n",
        "ANALYZE",
    )


def add(server: Server, database: str, first: int, rows: int) -> None:
    """Add whole tasks to the run that has begun: `rows` status rows, numbered from task `first`."""
    last = first + rows // ROWS_A_TASK - 1
    with server.connect(database) as connection, connection.transaction():
        connection.execute(
            "INSERT INTO task (task_id, run_id, task_func_name, task_memoize, task_fail_count, task_fail_cost)"
            f" SELECT n, '{_NEW}', 'app', 'False', 0, 0 FROM generate_series({first}, {last}) n"
        )
        connection.execute(
            "INSERT INTO try (try_id, task_id, run_id, task_executor, hostname)"
            f" SELECT 0, n, '{_NEW}', 'htex', 'h' FROM generate_series({first}, {last}) n"
        )
        connection.execute(
            "INSERT INTO status SELECT n, state, now() + n * interval '1 us',"
            f" '{_NEW}', 0 FROM generate_series({first}, {last}) n,"
            " unnest('{pending,launched,running,running_ended,exec_done}'::text[]) state"
        )
