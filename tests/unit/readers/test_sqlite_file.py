"""What the reader says of a file that is not right, is another one, or is locked."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_reading import fault, opened
from support.rows import create, task, write
from support.source_harness import emptied, execute, unpacked, unprivileged

from parsl_exporter.base.errors import SourceBusy, SourceFault, SourceReplaced
from parsl_exporter.base.tables import NODE, TASK
from parsl_exporter.readers.batch import START
from parsl_exporter.readers.sqlite.reader import SqliteReader

# --- the file -----------------------------------------------------------------------------------------------


def test_a_missing_file(folder: Path) -> None:
    assert fault(folder / "a.db") == (
        "missing",
        "no such file; Parsl makes it when a run with monitoring starts",
    )


def test_a_link_that_leads_nowhere(folder: Path) -> None:
    (folder / "a.db").symlink_to("gone")
    assert fault(folder / "a.db") == (
        "missing",
        "a link that leads nowhere; Parsl makes it when a run with monitoring starts",
    )


def test_a_link_to_itself(folder: Path) -> None:
    (folder / "a.db").symlink_to("a.db")
    assert fault(folder / "a.db")[0] == "unreadable"


def test_a_folder(folder: Path) -> None:
    assert fault(folder) == ("not_regular", "a folder; give the path of a monitoring.db")


def test_a_fifo_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "a.db")
    assert fault(folder / "a.db") == ("not_regular", "no regular file; give the path of a monitoring.db")


def test_a_device_is_not_read() -> None:
    assert fault(Path("/dev/zero")) == ("not_regular", "no regular file; give the path of a monitoring.db")


def test_something_else_than_sqlite(folder: Path) -> None:
    (folder / "a.db").write_text("no database\n" * 1_000)
    assert fault(folder / "a.db") == (
        "not_a_database",
        "not an SQLite database; give the path of a monitoring.db",
    )


def test_an_empty_file(folder: Path) -> None:
    (folder / "a.db").touch()
    assert fault(folder / "a.db") == (
        "schema",
        "has none of Parsl's tables yet; Parsl makes them when a run starts",
    )


def test_a_database_of_something_else(folder: Path) -> None:
    execute(folder / "a.db", "CREATE TABLE other (x)")
    assert fault(folder / "a.db")[0] == "schema"


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("CREATE VIEW status AS SELECT 1 AS run_id", "status is a view"),
        ("CREATE VIRTUAL TABLE status USING fts5(run_id)", "status is a virtual table"),
        ("CREATE TABLE status (rowid TEXT, run_id TEXT)", "status has no rowid of SQLite's own"),
        (
            "CREATE TABLE status (run_id TEXT PRIMARY KEY) WITHOUT ROWID",
            "status has no rowid of SQLite's own",
        ),
    ],
)
def test_what_only_bears_a_tables_name(folder: Path, statement: str, what: str) -> None:
    create(folder / "a.db")
    execute(folder / "a.db", "DROP TABLE status", statement)
    assert fault(folder / "a.db") == ("schema", f"{what}, no table that Parsl made")


def test_a_column_named_like_the_option_is_no_option(folder: Path) -> None:
    create(folder / "a.db")
    execute(folder / "a.db", 'ALTER TABLE status ADD COLUMN "without rowid" TEXT DEFAULT (1)')
    opened(folder / "a.db")


def test_half_the_tables_are_there_while_parsl_makes_them(folder: Path) -> None:
    emptied(folder / "a.db")
    execute(folder / "a.db", "DROP TABLE node", "DROP TABLE block")
    reader = SqliteReader(folder / "a.db")
    with pytest.raises(SourceFault, match="has 5 of Parsl's 7 tables yet"):
        reader.changed()
    shutil.copy(emptied(folder / "b.db"), folder / "a.db")
    assert reader.changed()


@pytest.mark.parametrize("kept", [0.5, 4_096, 100])
def test_a_truncated_file_is_noticed_at_once(folder: Path, kept: float) -> None:
    path = unpacked(folder / "a.db")
    reader = opened(path)
    os.truncate(path, int(kept * path.stat().st_size if kept < 1 else kept))
    with pytest.raises(SourceFault) as caught:
        reader.changed()
    assert caught.value.reason == "corrupt"
    assert "PRAGMA integrity_check" in str(caught.value)
    unpacked(path)
    assert reader.changed()


def test_a_file_cut_to_nothing_has_no_tables(folder: Path) -> None:
    path = unpacked(folder / "a.db")
    reader = opened(path)
    os.truncate(path, 0)
    with pytest.raises(SourceFault, match="none of Parsl's tables"):
        reader.changed()


def test_a_file_that_took_the_place_of_another_is_noticed_also_after_a_fault(folder: Path) -> None:
    path = write(folder / "a.db", [task(0)])
    reader = opened(path)
    path.rename(folder / "old.db")
    with pytest.raises(SourceFault):
        reader.changed()
    write(path, [task(0)])
    with pytest.raises(SourceReplaced, match="replaced by another file; reading it anew"):
        reader.changed()
    assert reader.changed()


def test_a_file_that_went_and_came_back_is_read_on(folder: Path) -> None:
    path = write(folder / "a.db", [task(0)])
    reader = opened(path)
    position = reader.tail(TASK, START).position
    path.rename(folder / "away.db")
    with pytest.raises(SourceFault):
        reader.changed()
    (folder / "away.db").rename(path)
    assert reader.changed()
    assert reader.tail(TASK, position).rows == []


def test_a_locked_database_is_busy_and_no_fault(folder: Path) -> None:
    path = write(folder / "a.db", [task(0)])
    reader = SqliteReader(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SourceBusy, match="locked by a writer"):
            reader.changed()
        writer.execute("ROLLBACK")
    assert reader.changed()


def test_a_file_that_this_user_may_not_read(folder: Path) -> None:
    path = write(folder / "a.db", [task(0)])
    path.chmod(0)
    with unprivileged():
        assert fault(path) == ("unreadable", "permission denied; give this user read access to it")


def test_a_folder_that_this_user_may_not_enter(folder: Path) -> None:
    path = write(folder / "a.db", [task(0)])
    folder.chmod(0)
    with unprivileged():
        reason, message = fault(path)
    folder.chmod(0o755)
    assert (reason, message) == (
        "unreadable",
        "Permission denied; check the path and this user's access to it",
    )


def test_the_schema_is_looked_at_again_when_it_changes(folder: Path) -> None:
    path = write(folder / "a.db", [task(0)])
    reader = opened(path)
    execute(path, "ALTER TABLE node RENAME TO node2")
    with pytest.raises(SourceFault, match="has 6 of Parsl's 7 tables yet"):
        reader.changed()
    execute(path, "ALTER TABLE node2 RENAME TO node")
    assert reader.changed()
    assert reader.last_rowid(NODE) == 0
