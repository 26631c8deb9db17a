"""First reads of PostgreSQL against a plain fetch of the same columns, in CPU seconds of whole processes.

    python tests/bench/first_read_postgresql.py [--tasks 60000] [--pairs 3]

A task has 5 status, 2 resource and 2 node rows; one in 97 fails once. Databases of as many rows: one run in order of
time, also beside a transaction left open and over a line with 5 ms of delay; four runs of the same hours whose rows lie
one run after the other; three runs whose submit hosts are of three time zones.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence

from first_read import first_read, plain_fetch
from once import ZONES
from support.pg import tables
from support.pg.proxy import Proxy
from support.pg.server import Server, running

_DELAY = 0.005
"""Seconds that each packet takes on a line that is far."""
_STATES = (("pending", 0.0), ("launched", 0.1), ("running", 0.2), ("running_ended", 1.4), ("exec_done", 1.5))


def make(server: Server, database: str, hosts: Sequence[str], tasks: int) -> None:
    """Make a database of a run for each submit host, one after the other, each of so many tasks that end now."""
    tables.create(server, database)
    for run, host in enumerate(hosts):
        run_id = f"{run}{'1' * 7}-1111-4111-8111-111111111111"
        now = f"now() AT TIME ZONE '{ZONES[host]}'"
        at = f"({now} - interval '1 s' * ({tasks} - n) * 0.01 - interval '1.5 s')"
        series = f"generate_series(0, {tasks - 1}) n"
        states = ", ".join(f"('{state}', {second})" for state, second in _STATES)
        server.execute(
            database,
            f"INSERT INTO workflow VALUES ('{run_id}', 'large', '1', {now} - interval '1 s' *"
            f" {tasks} * 0.01 - interval '2 s', NULL, '{host}', 'u', '/r', 0, 0)",
            "INSERT INTO task (task_id, run_id, task_func_name, task_memoize, task_fail_count, task_fail_cost,"
            f" task_time_invoked) SELECT n, '{run_id}', 'app' || n % 20, 'False', 0, 0, {at} FROM {series}",
            "INSERT INTO try (try_id, task_id, run_id, task_executor, hostname, block_id, task_fail_history)"
            f" SELECT y, n, '{run_id}', 'htex', 'node' || n % 16, (n % 16 / 8)::text,"
            f" CASE WHEN n % 97 = 0 AND y = 0 THEN 'ValueError(''no'')' END FROM {series},"
            " generate_series(0, (n % 97 = 0)::int) y",
            f"INSERT INTO status SELECT n, CASE WHEN state = 'exec_done' AND y = 0 AND n % 97 = 0 THEN"
            f" 'fail_retryable' ELSE state END, {at} + interval '1 s' * (second + y * 1.5), '{run_id}', y"
            f" FROM {series}, generate_series(0, (n % 97 = 0)::int) y, (VALUES {states}) s(state, second)",
            "INSERT INTO resource (try_id, task_id, run_id, timestamp, resource_monitoring_interval,"
            " psutil_process_pid, psutil_process_memory_percent, psutil_process_children_count,"
            " psutil_process_time_user, psutil_process_time_system, psutil_process_memory_virtual,"
            " psutil_process_memory_resident,"
            " psutil_process_disk_read, psutil_process_disk_write, psutil_process_status,"
            " psutil_process_num_ctx_switches_voluntary, psutil_process_num_ctx_switches_involuntary)"
            f" SELECT (n % 97 = 0)::int, n, '{run_id}', {at} + interval '1 s' * (0.3 + k), 1, 1, 0.5, 0, n * 0.1 + k,"
            f" n * 0.01 + k, 2e8, 1e8 + n % 1000, 1e3 * n, 2e3 * n, 'sleeping', 10 * n, n FROM {series},"
            " generate_series(0, 1) k",
            "INSERT INTO node (run_id, hostname, uid, block_id, cpu_count, total_memory, active, worker_count,"
            f" python_v, timestamp, last_heartbeat) SELECT '{run_id}', 'node' || n % 16, 'manager' || n % 16,"
            f" (n % 16 / 8)::text, 64, 2::bigint ^ 37, true, 64, '3.11.7', {at} + interval '1 s' * k, {at}"
            f" FROM {series},"
            " generate_series(0, 1) k",
        )
    server.execute(database, "VACUUM ANALYZE")


def compare(name: str, url: str, pairs: int) -> None:
    """Print the ratio of the two, taking turns."""
    ratios = []
    for _ in range(pairs):
        yardstick, _wall, _out = plain_fetch(url.replace("+psycopg", "", 1))
        cpu, wall, out = first_read(url)
        ratios.append(cpu / yardstick)
        print(
            f"{name}: {int(out[0]):,} rows, {cpu:.2f} s CPU against {yardstick:.2f} s of a plain fetch:"
            f" {ratios[-1]:.2f} times (wall {wall:.1f} s); peak {int(out[2]) / 1e6:.0f} MB,"
            f" longest read {float(out[3]) * 1e3:.0f} ms, {' '.join(out[4:])}",
            flush=True,
        )
    print(f"{name}, median of {pairs}: {statistics.median(ratios):.2f} times", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="First reads of PostgreSQL against plain fetches.")
    parser.add_argument("--tasks", type=int, default=60_000)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    with running("max_wal_size=8GB", "shared_buffers=512MB") as server:
        measure(server, options.tasks, options.pairs)


def measure(server: Server, tasks: int, pairs: int) -> None:
    """Print the ratios of each database."""
    make(server, "one", ["utc"], tasks)
    url = server.url("one", "reader")
    compare("one run", url, pairs)
    with server.connect("one") as left_open:
        left_open.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        left_open.execute("SELECT count(*) FROM workflow")
        compare("beside a transaction left open", url, pairs)
        left_open.execute("ROLLBACK")
    line = Proxy(server.port)
    line.delay = _DELAY
    compare("over a line of 5 ms", server.url("one", "reader", port=line.port), pairs)
    line.close()
    server.execute("postgres", "DROP DATABASE one")
    for name, database, hosts in (
        ("four runs, one after the other", "four", ["utc"] * 4),
        ("runs of three zones", "zones", list(ZONES)),
    ):
        make(server, database, hosts, tasks // len(hosts))
        compare(name, server.url(database, "reader"), pairs)


if __name__ == "__main__":
    main()
