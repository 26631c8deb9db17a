"""An exporter that goes on from a checkpoint counts each row of a server once, and notices another database."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.checkpoints import FROM_ONE, NOT_USED
from support.pg import tables
from support.pg.server import Server, running
from support.pg.watching import SWEEP, Watch, settle
from support.pg.writers import Writer
from support.source_harness import Log

from parsl_exporter.checkpoint.keeper import Keeper
from parsl_exporter.readers.postgresql import heap

RESTARTS = 8


@contextmanager
def kept(server: Server, state: Path, database: str = "runs") -> Iterator[Watch]:
    """An exporter that goes on from the last one's checkpoint, and leaves its own."""
    keeper = Keeper(state, steady=time.monotonic, wall=time.time)
    with Watch(server.url(database, "reader"), close_after=20.0, keeper=keeper) as watch:
        yield watch
    keeper.stop(30)


def test_restarts_beside_eight_writers_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: Log
) -> None:
    """That roll back at random: no counter ever falls, and all are the oracle's in the end."""
    monkeypatch.setattr(heap, "NEAR_THE_END", 2)
    chance = random.Random(5)
    with running() as server:
        tables.create(server, "runs")
        stop = threading.Event()
        writers = [Writer(server, "runs", 500 + i, stop) for i in range(8)]
        for writer in writers:
            writer.start()
        before: Watch | None = None
        for _ in range(RESTARTS):
            with kept(server, tmp_path / "state") as watch:
                if before is not None:
                    watch.after(before)
                for _ in range(chance.randint(1, 15)):
                    watch.poll()
                    time.sleep(0.05)
            before = watch
            server.execute("runs", f"VACUUM {chance.choice(['status', 'resource', 'block', 'node'])}")
        assert before is not None
        stop.set()
        for writer in writers:
            writer.join(30)
        with kept(server, tmp_path / "state") as watch:
            watch.after(before)
            left = settle(watch, server, "runs", tmp_path / "twin.db", 8 * SWEEP + watch.close_after)
            assert [writer.error for writer in writers] == [None] * 8
            assert left == []
            assert watch.falls == []
    lines = log.new()
    assert sum(line.startswith(FROM_ONE) for line in lines) == RESTARTS
    assert [line for line in lines if line.startswith(NOT_USED)] == []


def test_the_page_comes_back_as_it_was(server: Server, tmp_path: Path) -> None:
    """Histograms of open tries too, and how many rows were read."""

    def page_of(watch: Watch) -> list[str]:
        lines = watch.poll().split("\n")
        return [line for line in lines if "parsl_exporter_" not in line or "rows_read_total{" in line]

    server.create("kept")
    tables.restore(server, "kept")
    with kept(server, tmp_path / "state", "kept") as watch:
        before = page_of(watch)
    with kept(server, tmp_path / "state", "kept") as watch:
        assert page_of(watch) == before


def restarted(server: Server) -> None:
    server.stop("fast")
    server.start()


def rewritten(server: Server) -> None:
    server.execute("runs", "VACUUM FULL status")


def with_other_rows(server: Server) -> None:
    server.execute("runs", "UPDATE status SET timestamp = timestamp + interval '1 s' WHERE task_id = 0")
    server.execute("runs", "SELECT pg_stat_force_next_flush()")


def made_anew(server: Server) -> None:
    server.execute("runs", "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    server.execute("runs", "GRANT USAGE ON SCHEMA public TO reader")
    tables.restore(server, "runs")


def another_database(server: Server) -> None:
    server.execute("postgres", "ALTER DATABASE runs RENAME TO runs_before")
    server.create("runs")
    tables.restore(server, "runs")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (restarted, "the server was restarted or replaced"),
        (rewritten, "status was rewritten (VACUUM FULL, TRUNCATE or a restore)"),
        (with_other_rows, "rows of status were deleted or updated, or the server's statistics were reset"),
        (made_anew, "its tables were made anew"),
        (another_database, "the server was restarted or replaced"),
    ],
)
def test_another_database_is_read(
    tmp_path: Path, log: Log, change: Callable[[Server], None], why: str
) -> None:
    with running() as server:
        server.create("runs")
        tables.restore(server, "runs")
        with kept(server, tmp_path / "state") as watch:
            watch.wait(lambda: watch.up)
        change(server)
        with kept(server, tmp_path / "state") as watch:
            log.new()
            watch.wait(lambda: watch.source.published.ready)
            (line,) = [line for line in log.new() if line.startswith(NOT_USED)]
            assert f": {why}; reading " in line
            assert settle(watch, server, "runs", tmp_path / "twin.db", 8 * SWEEP + watch.close_after) == []
