"""Locks at any statement, of any length, and a file system that gives none."""

from __future__ import annotations

import math
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from sqlite_conditions import up
from support.exporter_process import environment
from support.rows import (
    RUN,
    Told,
    attempt,
    block,
    insert,
    lifecycle,
    node,
    sample,
    status,
    task,
    workflow,
    write,
)
from support.source_harness import Log, SourceHarness, unpacked

from parsl_exporter.base.tables import Row
from parsl_exporter.readers.pace import BatchSize
from parsl_exporter.readers.sqlite.reader import SqliteReader
from parsl_exporter.source.patience import LOCKED_PATIENCE

# --- locks --------------------------------------------------------------------------------------------------


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """A writer has the database for itself."""
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        yield
        writer.execute("DELETE FROM status WHERE task_status_name = 'no such state'")
        writer.execute("COMMIT")


def test_a_lock_of_a_few_seconds_is_no_failed_poll(folder: Path, log: Log) -> None:
    path = unpacked(folder / "a.db")
    watched = SourceHarness(path).poll()
    last = watched.own("source_last_success_timestamp_seconds")
    with locked(path):
        watched.poll(9)
        assert watched.again
        assert watched.up()
        assert watched.errors() == {}
        assert watched.own("source_last_success_timestamp_seconds") == last
    watched.poll()
    assert watched.own("source_last_success_timestamp_seconds") == watched.fake_clock.wall
    assert log.new() == []


def test_a_lock_of_a_minute_is_said_once_and_ends(folder: Path, log: Log) -> None:
    path = unpacked(folder / "a.db")
    watched = SourceHarness(path).poll()
    before = watched.runs()
    with locked(path):
        watched.poll(60)
        assert watched.errors() == {"locked": 60 - LOCKED_PATIENCE}
        assert not watched.up()
        assert watched.runs() == before
        assert watched.condition.message == (
            f"{path}: locked by a writer for 59 s, or its file system cannot lock (NFS without a lock service);"
            " trying on"
        )
    watched.poll()
    up(watched)
    first, last = log.new()
    assert first.startswith(f"warning {path}: locked by a writer for 10 s")
    assert first.endswith("reason=locked")
    assert last.startswith("info works again source=s fault=")
    assert watched.wrong() == []


def test_a_lock_soon_after_another_fault_is_a_new_lock(folder: Path) -> None:
    path = unpacked(folder / "a.db")
    watched = SourceHarness(path)
    with locked(path):
        watched.poll()
    path.rename(folder / "away")
    watched.poll(60)
    (folder / "away").rename(path)
    with locked(path):
        watched.poll(5)
    assert watched.errors() == {"missing": 60}


class LockComes(SqliteReader):
    """A writer locks the database while every `every`th statement lasts, or only the `at`th.

    No more than `few` rows of a poll come one by one.
    """

    def __init__(self, path: Path, *, every: int = 0, at: int = 0, few: int = 0) -> None:
        super().__init__(path)
        self._sizes = {name: BatchSize(3, 3) for name in self._sizes}
        self._in_columns.size = BatchSize(1, 3)
        self._in_columns.few = few
        self._every = every
        self.at = at
        self.statements = 0

    def fetch(self, sql: str, parameters: Sequence[Any] = (), cut_off: float = math.inf) -> list[Row]:
        self.statements += 1
        comes = self.statements == self.at or (self._every and self.statements % self._every == 0)
        with locked(self.path) if comes else nullcontext():
            return super().fetch(sql, parameters, cut_off)


def test_short_locks_in_a_long_first_read_are_no_failed_polls(folder: Path, log: Log) -> None:
    path = unpacked(folder / "a.db", "crash-2026.10.26")
    watched = SourceHarness(path, reader=LockComes(path, every=41))
    polls = 0
    while not watched.source.published.ready and polls < 100:
        watched.poll(every=LOCKED_PATIENCE / 2)
        polls += 1
    assert 3 < polls < 100
    watched.poll(3)
    assert watched.errors() == {}
    assert log.new() == []
    assert watched.wrong() == []


def a_life(task_id: int, run: str = RUN, try_id: int = 0) -> list[Told]:
    states = (
        ("pending", 0.0),
        ("launched", 1.0),
        ("running", 2.0),
        ("running_ended", 3.0),
        ("exec_done", 4.0),
    )
    begins = [task(task_id, run=run), attempt(task_id, try_id, block="0", host="h", run=run)]
    return [*begins, *lifecycle(task_id, *states, run=run), sample(task_id, 2, user=1.0, run=run)]


STORY = [workflow(), *a_life(0), *a_life(1), status(1, "pending", 1, 1), status(2, "odd", 1), block("0", "RUNNING", 1),
         node("m1", 1), node("m1", 2)]  # fmt: skip
LATER = [
    *a_life(3),
    status(0, "fail_retryable", 3),
    sample(1, 3, user=5.0),
    attempt(2),
    task(2),
    status(2, "running", 5),
]


def test_a_lock_at_any_statement_of_a_first_read_changes_nothing(folder: Path) -> None:
    path = write(folder / "a.db", STORY)
    reader = LockComes(path)
    undisturbed = SourceHarness(path, reader=reader).poll()
    statements = reader.statements
    assert statements > 20
    wanted = undisturbed.rest().run_lines()
    for at in range(1, statements + 1):
        watched = SourceHarness(path, reader=LockComes(path, at=at))
        watched.poll()
        assert watched.again, f"no lock came at {at}"
        assert watched.rest().run_lines() == wanted, f"lock at {at}"


def test_a_lock_at_any_statement_of_a_poll_changes_nothing(folder: Path) -> None:
    """Rows come for tasks that are over and forgotten too: the rest of each is read again by key."""

    def polled(at: int) -> tuple[SourceHarness, LockComes]:
        (folder / "a.db").unlink(missing_ok=True)
        path = write(folder / "a.db", STORY)
        reader = LockComes(path)
        watched = SourceHarness(path, reader=reader).rest()
        insert(path, LATER)
        reader.statements, reader.at = 0, at
        return watched.poll(), reader

    undisturbed, reader = polled(at=0)
    statements = reader.statements
    assert statements > 10
    wanted = undisturbed.rest().run_lines()
    assert 'state="fail_retryable"} 1' in "\n".join(wanted)
    for at in range(1, statements + 1):
        watched, _ = polled(at)
        assert watched.again, f"no lock came at {at}"
        assert watched.rest().run_lines() == wanted, f"lock at {at}"


def test_a_lock_amid_a_batch_of_several_runs_whose_hour_comes_twice_takes_nothing_twice(folder: Path) -> None:
    """How their stamps are to be read is asked for run by run, when rows of the first could have been taken."""
    began = [workflow(run=run) for run in ("one", "two")]
    told = [
        changed_stamp(row, f"2026-11-01 01:{10 * place + second:02}:00.000000")
        for place, run in enumerate(("one", "two"))
        for second, row in enumerate(row for row in a_life(0, run) if "timestamp" in row.values)
    ]
    rows = [row for run in ("one", "two") for row in a_life(0, run) if "timestamp" not in row.values]
    path = write(folder / "a.db", [*began, *rows, *told])

    def read(at: int) -> tuple[SourceHarness, LockComes]:
        reader = LockComes(path, at=at)
        reader._in_columns.size = BatchSize(100, 100)
        return SourceHarness(path, zone="America/Chicago", reader=reader).poll(), reader

    undisturbed, reader = read(at=0)
    wanted, statements = undisturbed.rest().run_lines(), reader.statements
    for at in range(1, statements + 1):
        watched, _ = read(at)
        assert watched.rest().run_lines() == wanted, f"lock at {at}"


def changed_stamp(row: Told, written: str) -> Told:
    return row._replace(values={**row.values, "timestamp": written})


@pytest.mark.parametrize("few", [0, 64])
def test_a_lock_at_any_statement_of_the_reading_of_an_abandoned_run_changes_nothing(
    folder: Path, few: int
) -> None:
    def polled(at: int) -> tuple[SourceHarness, LockComes]:
        (folder / "a.db").unlink(missing_ok=True)
        path = write(folder / "a.db", [workflow("old"), *a_life(0, "old")])
        reader = LockComes(path, few=few)
        watched = SourceHarness(path, abandon_after=3600.0, reader=reader).poll()
        assert watched.runs() == {}
        insert(path, a_life(1, "old"))
        reader.statements, reader.at = 0, at
        return watched.poll(), reader

    undisturbed, reader = polled(at=0)
    assert undisturbed.wrong() == []
    wanted = undisturbed.run_lines()
    for at in range(1, 40):
        watched, reader = polled(at)
        if reader.statements < at:
            return
        assert watched.again, f"no lock came at {at}"
        assert watched.rest().run_lines() == wanted, f"lock at {at}"
    raise AssertionError("that many statements")


# --- locks that a file system does not give -----------------------------------------------------------------

WITHOUT_LOCKS = """
import ctypes, platform, struct, sys
F_SETLK, ENOLCK, ALLOW, ERRNO = 6, 37, 0x7FFF0000, 0x00050000
fcntl = {"x86_64": 72, "aarch64": 25}[platform.machine()]
# struct seccomp_data: the system call's number at 0, its second argument at 24.
program = [(0x20, 0, 0, 0), (0x15, 0, 3, fcntl), (0x20, 0, 0, 24), (0x15, 0, 1, F_SETLK),
           (0x06, 0, 0, ERRNO | ENOLCK), (0x06, 0, 0, ALLOW)]
filters = b"".join(struct.pack("HBBI", *one) for one in program)
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(Program(len(program), filters)), 0, 0):
    sys.exit("no seccomp here")
from parsl_exporter.cli import check
from parsl_exporter.cli.main import main
check.LOCKED_PATIENCE = 0.5
sys.exit(main(sys.argv[1:]))
"""


def test_a_file_system_that_gives_no_locks_is_named_as_a_cause(folder: Path) -> None:
    """The kernel refuses every lock, as NFS does whose lock service is down (ENOLCK)."""
    path = unpacked(folder / "a.db")
    asked = subprocess.run(
        [sys.executable, "-c", WITHOUT_LOCKS, "check", path],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if asked.stderr.startswith("no seccomp here"):
        pytest.skip("this machine lets no process filter its system calls")
    assert asked.returncode == 1
    assert "or its file system cannot lock (NFS without a lock service)" in asked.stdout
