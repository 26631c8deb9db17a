"""Every way in which a database can be wrong, made for real: what a person sees, and that it heals.

For each: one log line, the condition, `source_up` and the reason counted; the last page stays; afterwards the page
equals the oracle."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlite_conditions import down, up
from support.rows import lifecycle, task, workflow, write
from support.source_harness import FakeClock, Log, SourceHarness, execute, unpacked, unprivileged

from parsl_exporter.base.tables import Table
from parsl_exporter.readers.sqlite.reader import SqliteReader


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


# --- a fault that is there, and goes ------------------------------------------------------------------------


@faults
def test_a_database_that_is_wrong_at_first_is_read_when_it_is_right(
    folder: Path, fault: Fault, log: Log
) -> None:
    path = unpacked(folder / "a.db")
    fault.happen(path)
    watched = SourceHarness(path).poll(3)

    down(watched, fault.reason, fault.says, 3)
    assert watched.source.published.tried
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
    watched = SourceHarness(path).rest()
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
    watched = SourceHarness(path).poll(2)
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
    SourceHarness(folder / "a.db").poll(1_500)
    assert [line.split(" source=")[0] for line in log.new()] == [
        f"warning {folder}/a.db: no such file; Parsl makes it when a run with monitoring starts",
        "warning still failing",
        "warning still failing",
    ]


def test_what_is_over_goes_from_the_page_of_a_broken_database_too(folder: Path) -> None:
    path = write(folder / "a.db", [workflow(completed=10), task(0), *lifecycle(0, ("pending", 1))])
    watched = SourceHarness(path, fake_clock=FakeClock(wall=1767614420.0), retention=900.0).poll(2)
    path.unlink()
    assert watched.poll(2).runs()
    assert watched.poll(2, every=900.0).runs() == {}


def test_what_a_replaced_database_held_goes_when_the_new_one_cannot_be_read(folder: Path) -> None:
    path = unpacked(folder / "a.db", "crash-2026.10.26")
    watched = SourceHarness(path, retention=900.0, fake_clock=FakeClock(wall=wall_of(path))).poll(2)
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
    watched = SourceHarness(unpacked(runinfo / "monitoring.db")).poll()
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
    watched = SourceHarness(path)
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
    watched = SourceHarness(path).poll()
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
    watched = SourceHarness(path).poll()
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

        watched = SourceHarness(path, reader=Emptied(path)).poll(5)
    down(watched, "replaced", "rows of workflow were deleted or replaced; reading it anew", 5)
    assert len(log.new()) == 1
