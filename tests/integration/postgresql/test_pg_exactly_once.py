"""Every row counts once, whatever transactions, VACUUM and the server do in between."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from support.pg import tables
from support.pg.server import Server, running
from support.pg.watching import SWEEP, Watch, settle
from support.pg.writers import Writer

from parsl_exporter.readers.postgresql import heap

SECONDS = 15.0
APPEND_ONLY = ("status", "resource", "block", "node")


def vacuum(server: Server, chance: random.Random) -> None:
    server.execute("runs", f"VACUUM {chance.choice(APPEND_ONLY)}")


def rewrite(server: Server, chance: random.Random) -> None:
    server.execute("runs", f"VACUUM FULL {chance.choice(APPEND_ONLY)}")


def cut_off(server: Server, chance: random.Random) -> None:
    name = chance.choice(["parsl-exporter", ""])
    server.execute(
        "postgres",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'runs'"
        f" AND application_name = '{name}' ORDER BY random() LIMIT 2",
    )


def restart(server: Server, chance: random.Random) -> None:
    server.stop(chance.choice(["fast", "immediate"]))
    server.start()


@pytest.mark.parametrize(
    ("seed", "disturbances"),
    [
        pytest.param(1, (), id="writers alone"),
        pytest.param(2, (vacuum,), id="VACUUM"),
        pytest.param(3, (vacuum, rewrite, cut_off, restart), id="VACUUM FULL, cut connections, restarts"),
    ],
)
def test_eight_writers_that_roll_back_at_random_are_counted_as_the_oracle_does(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    disturbances: tuple[Callable[[Server, random.Random], None], ...],
) -> None:
    # So that most of these small tables is found by sweeps alone, as most of large ones is.
    monkeypatch.setattr(heap, "NEAR_THE_END", 2)
    with running() as server:
        tables.create(server, "runs")
        stop = threading.Event()
        writers = [Writer(server, "runs", seed * 100 + i, stop) for i in range(8)]
        chance = random.Random(seed)
        for writer in writers:
            writer.start()
        with Watch(server.url("runs", "reader"), close_after=20.0) as watch:
            disturber = threading.Thread(
                target=disturb, args=(server, disturbances, chance, stop), daemon=True
            )
            disturber.start()
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                watch.poll()
                time.sleep(0.05)
            stop.set()
            disturber.join(30)
            while any(writer.is_alive() for writer in writers):
                watch.poll()
                time.sleep(0.05)

            left = settle(watch, server, "runs", tmp_path / "twin.db", 8 * SWEEP + watch.close_after)

            assert [writer.error for writer in writers] == [None] * 8
            assert left == []
            assert watch.falls == []
            assert sum(writer.committed for writer in writers) > 1_000


def test_a_row_in_an_old_page_is_found_although_nothing_is_written_after_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heap, "NEAR_THE_END", 1)
    tables.create(server, "holes")
    run, rows = (
        "00000000-0000-4000-8000-000000000000",
        "INSERT INTO status SELECT n, 'pending', '2026-11-22', '{}', 0",
    )
    server.execute(
        "holes",
        f"INSERT INTO workflow VALUES ('{run}', 'w', '1', '2026-11-22 09:00:00', NULL, 'h', 'u', '/r', 0, 0)",
        "ALTER TABLE status SET (autovacuum_enabled = false)",
    )
    with server.connect("holes") as writer:
        for first, end in ((0, "COMMIT"), (10_000, "ROLLBACK"), (20_000, "COMMIT")):
            writer.execute("BEGIN")
            writer.execute(rows.format(run) + f" FROM generate_series({first}, {first + 4_999}) n")
            writer.execute(end)
    server.execute("holes", "VACUUM status")
    now = 0.0
    with Watch(server.url("holes", "reader"), sweep=SWEEP, monotonic=lambda: now) as watch:
        for _ in range(10):
            now += SWEEP / 2
            watch.poll()
        before = watch.source.published.rows
        server.execute("holes", rows.format(run) + " FROM generate_series(30000, 30000) n")
        assert server.ask("holes", "SELECT ctid < '(100,0)' FROM status WHERE task_id = 30000")

        for step in (SWEEP / 10, *[10 * SWEEP] * 4):
            now += step
            watch.poll()

        assert watch.source.published.rows == before + 1


def test_a_quiet_server_is_left_alone_soon_after_it_was_read_anew(server: Server) -> None:
    tables.create(server, "quiet")
    server.execute(
        "quiet",
        "INSERT INTO workflow VALUES ('run', 'w', '1', '2026-11-22 09:00:00', NULL, 'h', 'u', '/r', 0, 0)",
    )
    now = 0.0
    with Watch(server.url("quiet", "reader"), monotonic=lambda: now) as watch:
        for task in range(20):
            server.execute("quiet", f"INSERT INTO status VALUES ({task}, 'pending', '2026-11-22', 'run', 0)")
            now += SWEEP
            watch.poll()
        server.execute("quiet", "VACUUM FULL status")
        for _ in range(5):
            now += SWEEP
            watch.poll()

        assert not watch.reader.changed()


def test_what_parsl_commits_after_the_end_of_a_run_in_its_last_batch_is_not_taken_for_unknown(
    server: Server, tmp_path: Path
) -> None:
    """The database manager commits the workflow's end first, then tasks, status rows, tries; polls come between."""
    tables.create(server, "ending")
    server.execute(
        "ending",
        "INSERT INTO workflow VALUES ('run', 'w', '1', '2026-11-22 09:00:00', NULL, 'h', 'u', '/r', 0, 0)",
    )
    with Watch(server.url("ending", "reader")) as watch:
        watch.poll()
        for statement in (
            "UPDATE workflow SET time_completed = '2026-11-22 09:00:05'",
            "INSERT INTO task (task_id, run_id, task_func_name, task_memoize, task_fail_count, task_fail_cost)"
            " VALUES (0, 'run', 'app', 'False', 0, 0)",
            "INSERT INTO status VALUES (0, 'exec_done', '2026-11-22 09:00:04', 'run', 0)",
            "INSERT INTO try (try_id, task_id, run_id, task_executor) VALUES (0, 0, 'run', 'htex')",
        ):
            server.execute("ending", statement)
            if "task (" not in statement:
                watch.poll()

        assert settle(watch, server, "ending", tmp_path / "twin.db", 20) == []


def disturb(
    server: Server,
    disturbances: tuple[Callable[[Server, random.Random], None], ...],
    chance: random.Random,
    stop: threading.Event,
) -> None:
    while disturbances and not stop.wait(chance.random() * 1.5):
        try:
            chance.choice(disturbances)(server, chance)
        except psycopg.Error:
            continue
