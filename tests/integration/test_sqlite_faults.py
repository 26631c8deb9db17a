"""Every way in which a database can be wrong, made for real: what a person sees, and that it heals.

For each: one log line, the condition, `source_up` and the reason counted; the last page stays; afterwards the page
equals the oracle.
"""

from __future__ import annotations

import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from exporter_process import environment
from telling import RUN, Told, attempt, block, insert, lifecycle, node, sample, status, task, workflow, write
from watched import Hands, Log, Watched, emptied, execute, unpacked, unprivileged

from parsl_exporter.base.tables import Row, Table
from parsl_exporter.readers.sqlite.reader import SqliteReader
from parsl_exporter.source.source import LOCKED_PATIENCE


class Fault(NamedTuple):
    """`happen` does it to a good database; `says` is the beginning of what is said of it."""

    name: str
    happen: Callable[[Path], object]
    reason: str
    says: str


def spoiled(path: Path) -> None:
    """Overwrite all pages but the first, whose change counter goes on as after a commit."""
    pages = path.stat().st_size // 4096
    with path.open("r+b") as file:
        file.seek(24)
        counter = int.from_bytes(file.read(4), "big")
        file.seek(24)
        file.write((counter + 1).to_bytes(4, "big"))
        file.seek(4096)
        file.write(b"\xff" * 4096 * (pages - 1))


def taken_for(path: Path, make: Callable[[Path], None]) -> None:
    path.unlink()
    make(path)


def without_tables(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            connection.execute(f'DROP TABLE "{table}"')


FAULTS = [
    Fault("missing", Path.unlink, "missing", "no such file; Parsl makes it"),
    Fault(
        "dangling",
        lambda p: taken_for(p, lambda q: q.symlink_to("gone")),
        "missing",
        "a link that leads nowhere",
    ),
    Fault(
        "folder",
        lambda p: taken_for(p, Path.mkdir),
        "not_regular",
        "a folder; give the path of a monitoring.db",
    ),
    Fault("fifo", lambda p: taken_for(p, os.mkfifo), "not_regular", "no regular file; give the path"),
    Fault(
        "device",
        lambda p: taken_for(p, lambda q: q.symlink_to("/dev/null")),
        "not_regular",
        "no regular file; give",
    ),
    Fault(
        "text",
        lambda p: p.write_bytes(b"text\n" * 9_999),
        "not_a_database",
        "not an SQLite database; give",
    ),
    Fault("empty", lambda p: os.truncate(p, 0), "schema", "has none of Parsl's tables yet; Parsl makes them"),
    Fault("no tables", without_tables, "schema", "has none of Parsl's tables yet; Parsl makes them"),
    Fault(
        "view",
        lambda p: execute(p, "DROP TABLE node", "CREATE VIEW node AS SELECT 1 AS run_id"),
        "schema",
        "node is a view, no table that Parsl made",
    ),
    Fault("being made", lambda p: execute(p, 'DROP TABLE "try"'), "schema", "has 6 of Parsl's 7 tables yet"),
    Fault(
        "too old",
        lambda p: execute(
            p,
            "DROP TABLE status",
            "CREATE TABLE status (task_id INTEGER, task_status_name TEXT, timestamp DATETIME, run_id TEXT)",
        ),
        "schema",
        "its tables were made by Parsl before 1.1",
    ),
    Fault(
        "truncated",
        lambda p: os.truncate(p, p.stat().st_size // 2),
        "corrupt",
        "database disk image is malformed",
    ),
    Fault("corrupted", spoiled, "corrupt", "database disk image is malformed; check it with sqlite3 FILE"),
]
faults = pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])


def cleared(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def down(watched: Watched, reason: str, says: str, polls: int) -> None:
    """It is down for that reason, says so on the page and on the landing page."""
    assert not watched.up()
    assert watched.errors() == {reason: polls}
    assert watched.condition.state == "down"
    assert watched.condition.message.startswith(f"{watched.path}: {says}")


def up(watched: Watched) -> None:
    assert watched.up()
    assert watched.own("source_ready") == 1
    assert watched.condition == ("up", "up to date")


# --- a fault that is there, and goes ------------------------------------------------------------------------


@faults
def test_a_database_that_is_wrong_at_first_is_read_when_it_is_right(
    folder: Path, fault: Fault, log: Log
) -> None:
    path = unpacked(folder / "a.db")
    fault.happen(path)
    watched = Watched(path).poll(3)

    down(watched, fault.reason, fault.says, 3)
    assert watched.source.attempted
    assert watched.runs() == {}
    lines = log.new()
    assert len(lines) == 1
    assert lines[0].startswith(f"warning {path}: {fault.says}")
    assert lines[0].endswith(f" source=s reason={fault.reason}")

    cleared(path)
    unpacked(path)
    watched.poll(2)
    up(watched)
    assert [line.partition(" seconds=")[0] for line in log.new()] == [
        f"info works again source=s fault={watched_fault(lines[0])} count=3"
    ]
    assert watched.wrong() == []
    assert watched.errors() == {fault.reason: 3}


def watched_fault(line: str) -> str:
    return line.removeprefix("warning ").partition(" source=")[0]


@faults
@pytest.mark.parametrize("heals", ["by another file", "in place"])
def test_a_database_that_goes_wrong_keeps_its_page_and_heals(
    folder: Path, fault: Fault, heals: str, log: Log
) -> None:
    path = unpacked(folder / "a.db")
    watched = Watched(path).rest()
    before = watched.runs()
    assert log.new() == []

    fault.happen(path)
    watched.poll(3)
    down(watched, fault.reason, fault.says, 3)
    assert watched.runs() == before
    assert len(log.new()) == 1

    if heals == "by another file" or not path.is_file() or path.is_symlink():
        cleared(path)
    unpacked(path, "crash-2026.10.26")
    watched.poll(3)
    up(watched)
    assert watched.wrong() == []
    assert watched.own("rows_rejected_total", table="status", reason="key") == 0


def test_a_fault_that_becomes_another_is_said_anew(folder: Path, log: Log) -> None:
    path = folder / "a.db"
    watched = Watched(path).poll(2)
    path.touch()
    watched.poll(2)
    assert [line.split(" reason=")[1] for line in log.new()] == ["missing", "schema"]
    assert watched.errors() == {"missing": 2, "schema": 2}
    path.unlink()
    unpacked(path)
    watched.poll(2)
    assert [line for line in log.new() if line.startswith("info")] == [
        f"info works again source=s fault={path}: no such file; Parsl makes it when a run with monitoring starts"
        " count=2 seconds=4.0",
        f"info works again source=s fault={path}: has none of Parsl's tables yet; Parsl makes them when a run"
        " starts count=2 seconds=2.0",
    ]


def test_a_fault_that_stays_is_said_again_every_ten_minutes(folder: Path, log: Log) -> None:
    Watched(folder / "a.db").poll(1_500)
    assert [line.split(" source=")[0] for line in log.new()] == [
        f"warning {folder}/a.db: no such file; Parsl makes it when a run with monitoring starts",
        "warning still failing",
        "warning still failing",
    ]


def test_what_is_over_goes_from_the_page_of_a_broken_database_too(folder: Path) -> None:
    path = write(folder / "a.db", [workflow(completed=10), task(0), *lifecycle(0, ("pending", 1))])
    watched = Watched(path, hands=Hands(wall=1767614420.0), retention=900.0).poll(2)
    path.unlink()
    assert watched.poll(2).runs()
    assert watched.poll(2, every=900.0).runs() == {}


def test_what_a_replaced_database_held_goes_when_the_new_one_cannot_be_read(folder: Path) -> None:
    path = unpacked(folder / "a.db", "crash-2026.10.26")
    watched = Watched(path, retention=900.0, hands=Hands(wall=wall_of(path))).poll(2)
    path.unlink()
    path.write_text("no database")
    assert watched.poll(3).runs()
    assert watched.poll(2, every=900.0).runs() == {}


def wall_of(path: Path) -> float:
    with closing(sqlite3.connect(path)) as connection:
        return float(connection.execute("SELECT strftime('%s', max(timestamp)) FROM status").fetchone()[0])


# --- files that come and go ---------------------------------------------------------------------------------


def test_the_folder_is_deleted_and_made_again(folder: Path, log: Log) -> None:
    runinfo = folder / "runinfo"
    runinfo.mkdir()
    watched = Watched(unpacked(runinfo / "monitoring.db")).poll()
    shutil.rmtree(runinfo)
    watched.poll(2)
    down(watched, "missing", "no such file", 2)
    runinfo.mkdir()
    unpacked(runinfo / "monitoring.db", "crash-2026.10.26")
    watched.poll(2)
    up(watched)
    assert watched.wrong() == []


def test_permission_is_withdrawn_and_given_back(folder: Path) -> None:
    path = unpacked(folder / "a.db")
    watched = Watched(path)
    with unprivileged():
        watched.poll()
        up(watched)
        path_mode(path, 0)
        watched.poll()
        up(watched)  # an open file stays readable
        path_mode(folder, 0o700)
        watched.poll(2)
    if os.geteuid() != 0:
        return
    down(watched, "unreadable", "Permission denied; check the path and this user's access to it", 2)
    path_mode(folder, 0o755)
    with unprivileged():
        watched.poll()
        assert watched.errors() == {"unreadable": 3}
        assert watched.condition.message.endswith("permission denied; give this user read access to it")
        path_mode(path, 0o644)
        watched.poll()
        up(watched)
    assert watched.wrong() == []


def path_mode(path: Path, mode: int) -> None:
    """Change a mode as the owner would."""
    uid = os.geteuid()
    if os.getuid() == 0:
        os.seteuid(0)
    path.chmod(mode)
    os.seteuid(uid)


def test_rows_deleted_and_others_in_their_place_are_read_anew(folder: Path, log: Log) -> None:
    path = unpacked(folder / "a.db")
    watched = Watched(path).poll()
    with closing(sqlite3.connect(path)) as connection, connection:
        last = connection.execute("SELECT max(rowid) FROM status").fetchone()[0]
        kept = connection.execute("SELECT * FROM status WHERE rowid > ?", (last - 40,)).fetchall()
        connection.execute("DELETE FROM status WHERE rowid > ?", (last - 40,))
        marks = ", ".join("?" * len(kept[0]))
        connection.executemany(f"INSERT INTO status VALUES ({marks})", kept[:-20][::-1])
    watched.poll(2)
    up(watched)
    assert log.new() == [f"warning {path}: rows of status were deleted or replaced; reading it anew source=s"]
    assert watched.wrong() == []
    assert watched.errors() == {}


def test_all_rows_of_a_table_go(folder: Path) -> None:
    path = unpacked(folder / "a.db")
    watched = Watched(path).poll()
    execute(path, "DELETE FROM resource", "DELETE FROM node")
    watched.poll(2)
    assert watched.wrong() == []


def test_a_database_whose_rows_always_go_does_not_keep_the_exporter_busy(folder: Path, log: Log) -> None:
    path = unpacked(folder / "a.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:

        class Emptied(SqliteReader):
            """Somebody replaces what was read, each time just before more is asked for."""

            def last_rowid(self, table: Table) -> int:
                found = super().last_rowid(table)
                writer.execute("UPDATE workflow SET run_id = hex(randomblob(8))")
                return found

        watched = Watched(path, reader=Emptied(path)).poll(5)
    down(watched, "replaced", "rows of workflow were deleted or replaced; reading it anew", 5)
    assert len(log.new()) == 1


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
    watched = Watched(path).poll()
    last = watched.own("source_last_success_timestamp_seconds")
    with locked(path):
        watched.poll(9)
        assert watched.again
        assert watched.up()
        assert watched.errors() == {}
        assert watched.own("source_last_success_timestamp_seconds") == last
    watched.poll()
    assert watched.own("source_last_success_timestamp_seconds") == watched.hands.wall
    assert log.new() == []


def test_a_lock_of_a_minute_is_said_once_and_ends(folder: Path, log: Log) -> None:
    path = unpacked(folder / "a.db")
    watched = Watched(path).poll()
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
    watched = Watched(path)
    with locked(path):
        watched.poll()
    path.rename(folder / "away")
    watched.poll(60)
    (folder / "away").rename(path)
    with locked(path):
        watched.poll(5)
    assert watched.errors() == {"missing": 60}


class LockComes(SqliteReader):
    """A writer locks the database while every `every`th statement lasts, or only the `at`th."""

    def __init__(self, path: Path, *, every: int = 0, at: int = 0) -> None:
        super().__init__(path)
        self._limits = dict.fromkeys(self._limits, 3)
        self._in_columns.at_once, self._in_columns.fewest = 3, 1
        self._every = every
        self.at = at
        self.statements = 0

    def _adapt(self, table: Table, limit: int, taken: float, count: int) -> None:
        """Batches stay small."""

    def fetch(self, sql: str, parameters: Sequence[Any] = (), cut_off: float = math.inf) -> list[Row]:
        self.statements += 1
        comes = self.statements == self.at or (self._every and self.statements % self._every == 0)
        with locked(self.path) if comes else nullcontext():
            return super().fetch(sql, parameters, cut_off)


def test_short_locks_in_a_long_first_read_are_no_failed_polls(folder: Path, log: Log) -> None:
    path = unpacked(folder / "a.db", "crash-2026.10.26")
    watched = Watched(path, reader=LockComes(path, every=41))
    polls = 0
    while not watched.source.ready and polls < 100:
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
    undisturbed = Watched(path, reader=reader).poll()
    statements = reader.statements
    assert statements > 20
    wanted = undisturbed.rest().run_lines()
    for at in range(1, statements + 1):
        watched = Watched(path, reader=LockComes(path, at=at))
        watched.poll()
        assert watched.again, f"no lock came at {at}"
        assert watched.rest().run_lines() == wanted, f"lock at {at}"


def test_a_lock_at_any_statement_of_a_poll_changes_nothing(folder: Path) -> None:
    """Rows come for tasks that are over and forgotten too: the rest of each is read again by key."""

    def polled(at: int) -> tuple[Watched, LockComes]:
        (folder / "a.db").unlink(missing_ok=True)
        path = write(folder / "a.db", STORY)
        reader = LockComes(path)
        watched = Watched(path, reader=reader).rest()
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

    def read(at: int) -> tuple[Watched, LockComes]:
        reader = LockComes(path, at=at)
        reader._in_columns.at_once = 100
        return Watched(path, zone="America/Chicago", reader=reader).poll(), reader

    undisturbed, reader = read(at=0)
    wanted, statements = undisturbed.rest().run_lines(), reader.statements
    for at in range(1, statements + 1):
        watched, _ = read(at)
        assert watched.rest().run_lines() == wanted, f"lock at {at}"


def changed_stamp(row: Told, written: str) -> Told:
    return row._replace(values={**row.values, "timestamp": written})


def test_a_lock_at_any_statement_of_the_reading_of_an_abandoned_run_changes_nothing(folder: Path) -> None:
    def polled(at: int) -> tuple[Watched, LockComes]:
        (folder / "a.db").unlink(missing_ok=True)
        path = write(folder / "a.db", [workflow("old"), *a_life(0, "old")])
        reader = LockComes(path)
        watched = Watched(path, abandon_after=3600.0, reader=reader).poll()
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
    watched = Watched(path)
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
    watched = Watched(path)
    killed_while_writing(path, "PRAGMA journal_mode=WAL", "UPDATE workflow SET host = 'killed'")
    watched.poll()
    up(watched)
    assert watched.wrong() == []
    assert "killed" in watched.page()


def test_a_wal_database_is_read_while_it_grows(folder: Path) -> None:
    path = emptied(folder / "a.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        watched = Watched(path).poll()
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
    watched = Watched(path)
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
        watched = Watched(path).poll()
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
