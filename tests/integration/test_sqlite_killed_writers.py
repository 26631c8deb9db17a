"""What a writer leaves that was killed, has no room, or uses WAL."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

import pytest
from sqlite_conditions import down, up
from support.source_harness import Log, SourceHarness, emptied, execute, unpacked, unprivileged

# --- what a killed writer leaves ----------------------------------------------------------------------------

WRITER = """
import os, signal, sqlite3, sys
writer = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    writer.execute(statement).fetchall()
os.kill(os.getpid(), signal.SIGKILL)
"""
SPILL = ("PRAGMA cache_size = 5", "PRAGMA cache_spill = 1", "BEGIN IMMEDIATE", "UPDATE status SET timestamp = rowid",
         "UPDATE resource SET timestamp = rowid", "UPDATE node SET hostname = hex(randomblob(500))")  # fmt: skip


def killed_while_writing(path: Path, *statements: str) -> None:
    ended = subprocess.run([sys.executable, "-c", WRITER, path, *statements], check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL


@pytest.mark.parametrize("when", ["at first", "later"])
def test_a_killed_writers_journal_is_reported_until_a_writer_rolls_it_back(
    folder: Path, when: str, log: Log
) -> None:
    path = unpacked(folder / "a.db")
    watched = SourceHarness(path)
    if when == "later":
        watched.poll()
    before = watched.runs()
    killed_while_writing(path, *SPILL)
    assert path.with_name("a.db-journal").stat().st_size > 0
    watched.poll(3)
    says = (
        "a writer was killed or failed midway and left a journal that only a writer may roll back; the next"
    )
    down(watched, "hot_journal", says, 3)
    assert watched.runs() == before
    assert len(log.new()) == 1

    with closing(sqlite3.connect(path)) as writer:
        writer.execute("SELECT count(*) FROM workflow").fetchone()
    watched.poll()
    up(watched)
    assert len([line for line in log.new() if "works again" in line]) == 1
    assert watched.rejected() == {}
    assert watched.wrong() == []


def test_a_killed_writer_of_a_wal_database_hides_nothing(folder: Path) -> None:
    path = unpacked(folder / "a.db")
    watched = SourceHarness(path)
    killed_while_writing(path, "PRAGMA journal_mode=WAL", "UPDATE workflow SET host = 'killed'")
    watched.poll()
    up(watched)
    assert watched.wrong() == []
    assert "killed" in watched.page()


def test_a_wal_database_is_read_while_it_grows(folder: Path) -> None:
    path = emptied(folder / "a.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        watched = SourceHarness(path).poll()
        writer.execute("BEGIN")
        for word in ("pending", "launched", "running"):
            writer.execute(f"INSERT INTO status VALUES (0, '{word}', '2026-01-05 12:00:00.000000', 'r', 0)")
        watched.poll()
        assert watched.own("rows_read_total", table="status") == 0
        writer.execute("COMMIT")
        watched.poll()
        assert watched.own("rows_read_total", table="status") == 3
        assert watched.wrong() == []


@pytest.mark.parametrize("helped", ["a writer opens it", "its owner ends the mode"])
def test_a_wal_database_that_nobody_has_open_in_a_folder_that_is_not_ours(
    folder: Path, helped: str, log: Log
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs a second user, so root")
    path = unpacked(folder / "a.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as owner:
        owner.execute("PRAGMA journal_mode=WAL")
    watched = SourceHarness(path)
    with unprivileged():
        watched.poll(3)
    down(watched, "unreadable", "in WAL mode, which needs -wal and -shm files beside it", 3)
    assert len(log.new()) == 1
    with closing(sqlite3.connect(path, isolation_level=None)) as owner:
        if helped == "a writer opens it":
            owner.execute("SELECT count(*) FROM status").fetchone()
        else:
            owner.execute("PRAGMA journal_mode=DELETE")
        with unprivileged():
            watched.poll()
            up(watched)
            assert watched.wrong() == []


FILL = """
import resource, signal, sqlite3, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
writer = sqlite3.connect(sys.argv[1], isolation_level=None)
if len(sys.argv) > 2:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    writer.execute("CREATE TABLE filler AS SELECT hex(randomblob(100000)) FROM status")
except sqlite3.OperationalError as error:
    print(error)
    writer.rollback()
writer.close()
"""


def fill(path: Path, *limit: str) -> str:
    """Write until there is no more room; gives SQLite's error."""
    command = [sys.executable, "-c", FILL, str(path), *limit]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("may mount no small disk here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("room", ["disk", "quota"])
def test_a_writer_without_room_leaves_a_journal_until_it_comes_again(
    folder: Path, room: str, log: Log
) -> None:
    with small_disk(folder) if room == "disk" else nullcontext():
        path = unpacked(folder / "a.db")
        watched = SourceHarness(path).poll()
        before = watched.runs()
        if room == "disk":
            assert fill(path) == "database or disk is full"
        else:
            assert fill(path, str(path.stat().st_size + 100_000)) == "disk I/O error"
        watched.poll(2)
        down(watched, "hot_journal", "a writer was killed or failed midway and left a journal", 2)
        assert watched.runs() == before
        execute(path, "DELETE FROM status WHERE task_status_name = 'no such state'")
        watched.poll()
        up(watched)
        assert len(log.new()) == 2
        assert watched.wrong() == []
        watched.source.close()
