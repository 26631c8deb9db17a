"""First reads of PostgreSQL against a plain fetch of the same columns, in CPU seconds of whole processes.

    python tests/bench/first_read_postgresql.py [--tasks 60000] [--pairs 3]

A task has 5 status, 2 resource and 2 node rows; one in 97 fails once. Two databases of as many rows: one run in order
of time, and four runs of the same hours whose rows lie one run after the other.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time

import psycopg
from pg import tables
from pg.server import Server, running
from sqlalchemy.engine import make_url

from parsl_exporter.base.process import suit_process
from parsl_exporter.base.tables import BLOCK, NODE, RESOURCE, STATUS, TASK, TRY
from parsl_exporter.config.settings import Settings, SourceSettings
from parsl_exporter.daemon.supervisor import options_of
from parsl_exporter.readers.postgresql.reader import PostgresReader
from parsl_exporter.source.locks import Baton
from parsl_exporter.source.source import Clock, Source

_AT_ONCE = 10_000
_STATES = (("pending", 0.0), ("launched", 0.1), ("running", 0.2), ("running_ended", 1.4), ("exec_done", 1.5))


def make(server: Server, database: str, runs: int, tasks: int) -> None:
    """Make a database of so many runs, one after the other, each of so many tasks that end now."""
    tables.create(server, database)
    for run in range(runs):
        run_id = f"{run}{'1' * 7}-1111-4111-8111-111111111111"
        at = f"(now() AT TIME ZONE 'UTC' - interval '1 s' * ({tasks} - n) * 0.01 - interval '1.5 s')"
        series = f"generate_series(0, {tasks - 1}) n"
        states = ", ".join(f"('{state}', {second})" for state, second in _STATES)
        server.execute(
            database,
            f"INSERT INTO workflow VALUES ('{run_id}', 'large', '1', now() AT TIME ZONE 'UTC' - interval '1 s' *"
            f" {tasks} * 0.01 - interval '2 s', NULL, 'h', 'u', '/r', 0, 0)",
            "INSERT INTO task (task_id, run_id, task_func_name, task_memoize, task_fail_count, task_fail_cost,"
            f" task_time_invoked) SELECT n, '{run_id}', 'app' || n % 20, 'False', 0, 0, {at} FROM {series}",
            "INSERT INTO try (try_id, task_id, run_id, task_executor, hostname, block_id, task_fail_history)"
            f" SELECT y, n, '{run_id}', 'htex', 'node' || n % 16, (n % 16 / 8)::text,"
            f" CASE WHEN n %% 97 = 0 AND y = 0 THEN 'ValueError(''no'')' END FROM {series},"
            " generate_series(0, (n %% 97 = 0)::int) y".replace("%%", "%"),
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


def plain(url: str) -> None:
    """The yardstick: fetch what the model uses with psycopg, and drop it."""
    rows = 0
    with psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string(False)) as connection:
        for table in (STATUS, TASK, TRY, RESOURCE, NODE, BLOCK):
            columns = ", ".join(f'"{column}"' for column in table.columns)
            with connection.cursor(f"all of {table.name}") as cursor:
                cursor.execute(f'SELECT {columns} FROM "{table.name}"')  # type: ignore[arg-type]  # names from here
                while batch := cursor.fetchmany(_AT_ONCE):
                    rows += len(batch)
    print(rows)


def read_once(url: str) -> None:
    """Poll once, which is the whole first read; print rows, the greatest resident bytes, and the longest read."""
    suit_process()
    settings = Settings(timezone="UTC")
    source = Source(
        PostgresReader(make_url(url), sweep=15.0),
        options_of(settings, SourceSettings(url), "s"),
        baton=Baton(),
        clock=Clock(),
        started=time.time(),
        series_left=lambda: settings.limits.series,
    )
    source.poll()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024
    print(source.rows, peak, source.longest_read, *source.condition)
    source.close()


def _measured(how: str, url: str) -> tuple[float, list[str]]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, __file__, how, url]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout.split()


def compare(name: str, url: str, pairs: int) -> None:
    """Print the ratio of the two, taking turns."""
    ratios = []
    for _ in range(pairs):
        yardstick, _out = _measured("--plain", url)
        cpu, out = _measured("--once", url)
        ratios.append(cpu / yardstick)
        print(
            f"{name}: {int(out[0]):,} rows, {cpu:.2f} s CPU against {yardstick:.2f} s of a plain fetch:"
            f" {ratios[-1]:.2f} times; peak {int(out[1]) / 1e6:.0f} MB, longest read {float(out[2]) * 1e3:.0f} ms,"
            f" {' '.join(out[3:])}",
            flush=True,
        )
    print(f"{name}, median of {pairs}: {statistics.median(ratios):.2f} times", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="First reads of PostgreSQL against plain fetches.")
    parser.add_argument("--tasks", type=int, default=60_000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--plain", metavar="URL")
    parser.add_argument("--once", metavar="URL")
    options = parser.parse_args()
    if options.plain:
        plain(options.plain)
    elif options.once:
        read_once(options.once)
    else:
        with running("max_wal_size=8GB", "shared_buffers=512MB") as server:
            for name, runs in (("one run", 1), ("four runs, one after the other", 4)):
                make(server, f"runs{runs}", runs, options.tasks // runs)
                compare(name, server.url(f"runs{runs}", "reader"), options.pairs)


if __name__ == "__main__":
    main()
