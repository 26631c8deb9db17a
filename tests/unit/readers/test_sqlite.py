"""The reader on real files: what it gives, what it leaves alone, and rows that went."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_reading import all_rows, fault, opened
from support.rows import attempt, create, insert, lifecycle, stamp, status, task, workflow, write
from support.source_harness import as_root, execute, unpacked, unprivileged

from parsl_exporter.base.errors import SourceFault, SourceReplaced
from parsl_exporter.base.tables import RESOURCE, STATUS, TABLES, TASK, TRY, WORKFLOW
from parsl_exporter.readers.batch import START, Position
from parsl_exporter.readers.sqlite.reader import SqliteReader

GREATEST = 2**63 - 1
"""The greatest rowid that SQLite has."""

# --- rows ---------------------------------------------------------------------------------------------------


def test_every_row_of_every_table_comes_once_and_in_order(folder: Path) -> None:
    reader = opened(unpacked(folder / "a.db"))
    for table in TABLES:
        rows = all_rows(reader, table)
        with closing(sqlite3.connect(folder / "a.db")) as connection:
            columns = ", ".join(f'"{column}"' for column in table.columns)
            assert rows == connection.execute(f'SELECT rowid, {columns} FROM "{table.name}"').fetchall()


def test_a_row_is_new_once(folder: Path) -> None:
    reader = opened(write(folder / "a.db", [task(0), task(1)]))
    batch = reader.tail(TASK, START)
    assert [row[2] for row in batch.rows] == [0, 1]
    assert reader.tail(TASK, batch.position).rows == []
    insert(folder / "a.db", [task(2)])
    assert [row[2] for row in reader.tail(TASK, batch.position).rows] == [2]


def test_a_large_table_comes_in_bounded_batches(folder: Path) -> None:
    path = write(folder / "a.db", lifecycle(0, *(("pending", at) for at in range(5_000))))
    reader = opened(path)
    first = reader.tail(STATUS, START)
    assert first.more
    assert len(first.rows) < 5_000 == len(all_rows(reader, STATUS))


def test_rows_of_runs_to_skip_stay_away_and_their_end_is_reached_all_the_same(folder: Path) -> None:
    old, new = workflow("old"), workflow("new")
    story = [old, new, task(0, run="old"), task(0, run="new"), task(1, run="old")]
    reader = opened(write(folder / "a.db", story))
    batch = reader.tail(TASK, START, skip={"old"})
    assert [row[1:3] for row in batch.rows] == [("new", 0)]
    assert batch.size == 1
    assert reader.tail(TASK, batch.position).rows == []


def test_a_row_without_a_run_is_not_skipped_with_the_others(folder: Path) -> None:
    create(folder / "a.db")
    execute(
        folder / "a.db", "INSERT INTO task (task_id) VALUES (1)", "INSERT INTO task (run_id) VALUES ('old')"
    )
    assert [row[1:3] for row in all_rows(opened(folder / "a.db"), TASK, frozenset({"old"}))] == [(None, 1)]


def test_columns_that_an_older_schema_lacks_are_null(folder: Path) -> None:
    reader = opened(unpacked(folder / "a.db", "std-1.2.0"))
    lacking = reader.absent(RESOURCE)
    assert lacking == {
        "psutil_process_num_ctx_switches_voluntary",
        "psutil_process_num_ctx_switches_involuntary",
    }
    assert {row[-2:] for row in all_rows(reader, RESOURCE)} == {(None, None)}


def test_the_rows_of_a_task_that_were_read_come_again_by_key(folder: Path) -> None:
    story = [
        task(0),
        attempt(0),
        attempt(0, 1),
        *lifecycle(0, ("pending", 0), ("launched", 1), try_id=1),
        task(1),
    ]
    reader = opened(write(folder / "a.db", story))
    upto = dict.fromkeys(("task", "try", "status", "resource"), Position(9)) | {"status": Position(1)}
    found = reader.history([("run-1", 0)], upto, {("run-1", 0): ()})
    assert {name: len(rows) for name, rows in found.items()} == {
        "task": 1,
        "try": 2,
        "status": 1,
        "resource": 0,
    }
    both = [("run-1", 1), ("run-1", 0), ("run-2", 0)]
    found = reader.history(both, upto, {key: {1} for key in both})
    assert {name: len(rows) for name, rows in found.items()} == {
        "task": 2,
        "try": 2,
        "status": 1,
        "resource": 0,
    }
    assert [row[1:4] for row in reader.tries([("run-1", 0, 1)], Position(99)).rows] == [("run-1", 0, 1)]


def test_who_wrote_lately_is_found_from_the_end(folder: Path) -> None:
    story = [status(0, "pending", at, run=run) for run, at in (("a", 0), ("b", 10), ("c", 20))]
    reader = opened(write(folder / "a.db", story))
    assert reader.writers_since(STATUS, stamp(10)) == {"b", "c"}
    assert reader.writers_since(STATUS, stamp(21)) == set()


def test_names_come_as_they_are(folder: Path) -> None:
    names = ["line\nbreak", 'quo"te', "nul\0nul", "back\\slash", "x" * 10_000, "\N{SNOWMAN}", "", " "]
    reader = opened(write(folder / "a.db", [task(i, name) for i, name in enumerate(names)]))
    assert [row[3] for row in all_rows(reader, TASK)] == names


def test_text_that_is_no_utf_8_comes_with_escapes_and_disturbs_no_other_row(folder: Path) -> None:
    path = write(folder / "a.db", [task(0, "before"), task(1), task(2, "after")])
    execute(path, "UPDATE task SET task_func_name = CAST(x'61EDA080FF' AS TEXT) WHERE task_id = 1")
    reader = opened(path)
    assert [row[3] for row in all_rows(reader, TASK)] == ["before", r"a\xed\xa0\x80\xff", "after"]


class LeapingClock:
    """A clock that goes on by `leap` seconds at each look."""

    leap = 0.0
    now = 0.0

    def __call__(self) -> float:
        self.now += self.leap
        return self.now


def test_such_text_is_read_for_no_longer_than_any(folder: Path) -> None:
    """The statement that reads it with escapes begins anew, but not its deadline."""
    path = write(folder / "a.db", lifecycle(0, *(("pending", at) for at in range(10_000))))
    execute(path, "UPDATE status SET task_status_name = CAST(x'ff' AS TEXT) WHERE rowid = 1")
    clock = LeapingClock()
    reader = SqliteReader(path, monotonic=clock)
    assert reader.changed()
    names = "SELECT task_status_name FROM status ORDER BY rowid"
    assert len(reader.fetch(names)) == 10_000
    clock.leap = 10.0
    with pytest.raises(TimeoutError), reader.stopped_after(15.0):
        reader.fetch(names)
    with pytest.raises(SourceFault) as caught:
        reader.fetch(names)
    assert caught.value.reason == "timeout"
    clock.leap = 0.0
    assert all_rows(reader, STATUS)[-1][4] == "pending"


@pytest.mark.parametrize("skip", [frozenset[str](), frozenset({"other"})])
def test_the_greatest_rowid_is_one_like_others(folder: Path, skip: frozenset[str]) -> None:
    path = write(folder / "a.db", [status(0, "pending", 0), status(0, "launched", 1)])
    execute(path, f"UPDATE status SET rowid = {GREATEST} WHERE task_status_name = 'launched'")
    reader = opened(path)
    assert [row[0] for row in all_rows(reader, STATUS, skip)] == [1, GREATEST]
    batch = reader.read(STATUS, Position(1), skip=skip)
    assert (batch.position.rowid, batch.more, batch.size) == (GREATEST, False, 1)
    assert reader.read(STATUS, batch.position, skip=skip).size == 0
    assert reader.last_rowid(STATUS) == GREATEST


@pytest.mark.parametrize(
    "name", ["sp ace.db", "per%cent.db", "que?ry.db", "ha#sh.db", os.fsdecode(b"\xff.db")]
)
def test_a_file_may_have_any_name(folder: Path, name: str) -> None:
    assert opened(write(folder / name, [task(0)])).last_rowid(TASK) == 1


# --- without harm -------------------------------------------------------------------------------------------


def test_a_writer_never_finds_it_locked_between_two_calls(folder: Path) -> None:
    path = unpacked(folder / "a.db")
    reader = opened(path)
    calls: list[Callable[[], object]] = [
        reader.changed,
        lambda: reader.tail(STATUS, START),
        lambda: reader.tail(STATUS, START, skip={"x"}),
        lambda: reader.history(
            [("x", 1)], dict.fromkeys(("task", "try", "status", "resource"), START), {("x", 1): (0,)}
        ),
        lambda: reader.tries([("x", 0, 0)], Position(99)),
        lambda: reader.workflows(["x"]),
        lambda: reader.writers_since(STATUS, ""),
    ]
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as writer:
        for call in calls:
            call()
            writer.execute("BEGIN EXCLUSIVE")
            writer.execute("UPDATE workflow SET host = host")
            writer.execute("COMMIT")


def test_it_cannot_write(folder: Path) -> None:
    reader = opened(unpacked(folder / "a.db"))
    with pytest.raises(SourceFault):
        reader.fetch("DELETE FROM status")
    assert opened(folder / "a.db").last_rowid(STATUS) > 0


def test_nothing_changed_until_somebody_commits(folder: Path) -> None:
    path = write(folder / "a.db", [task(0)])
    reader = opened(path)
    assert not reader.changed()
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("DELETE FROM task")
        assert not reader.changed()
        writer.commit()
        assert reader.changed()
        assert not reader.changed()


def test_a_statement_is_stopped_at_its_deadline_and_batches_are_small_after_it(folder: Path) -> None:
    path = write(folder / "a.db", lifecycle(0, *(("pending", at) for at in range(10_000))))
    clock = LeapingClock()
    reader = SqliteReader(path, monotonic=clock)
    assert reader.changed()
    usual = len(reader.tail(STATUS, START).rows)
    clock.leap = 10.0
    with pytest.raises(SourceFault) as caught:
        reader.writers_since(STATUS, stamp(0))
    assert caught.value.reason == "timeout"
    clock.leap = 0.0
    assert 0 < len(reader.tail(STATUS, START).rows) < usual


def test_a_wal_database_of_another_user_gets_no_files_that_lock_its_owner_out(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs a second user, so root")
    path = unpacked(folder / "a.db")
    execute_alone(path, "PRAGMA journal_mode=WAL")
    folder.chmod(0o777)
    with unprivileged():
        reason, message = fault(path)
        assert (reason, [one.name for one in folder.iterdir()]) == ("unreadable", ["a.db"])
        assert message.startswith("in WAL mode, which needs -wal and -shm files")
        with as_root(), closing(sqlite3.connect(path)) as owner:
            owner.execute("SELECT count(*) FROM status").fetchone()
            with unprivileged():
                assert opened(path).last_rowid(STATUS) == 107


def test_of_its_own_wal_database_it_reads_without_a_writer(folder: Path) -> None:
    path = unpacked(folder / "a.db")
    execute_alone(path, "PRAGMA journal_mode=WAL")
    assert opened(path).last_rowid(STATUS) == 107


def execute_alone(database: Path, statement: str) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute(statement)


# --- rows that went -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ("DELETE FROM status", False),
        ("DELETE FROM status WHERE rowid = 3", False),
        ("DELETE FROM status WHERE rowid = 3", True),
        ("DELETE FROM status", True),
        ("DELETE FROM status WHERE rowid < 3", False),
    ],
)
@pytest.mark.parametrize("skip", [frozenset[str](), frozenset({"old"}), frozenset({"run-1"})])
def test_rowids_that_come_again_are_noticed(
    folder: Path, change: str, again: bool, skip: frozenset[str]
) -> None:
    path = write(folder / "a.db", lifecycle(0, ("pending", 0), ("launched", 1), ("running", 2)))
    reader = opened(path)
    position = reader.tail(STATUS, START, skip=skip).position
    execute(path, change)
    if again:
        insert(path, lifecycle(7, ("pending", 0), ("launched", 1), ("running", 2)))
    if "rowid < 3" in change:  # the newest row stands: nothing new was missed
        assert reader.tail(STATUS, position).rows == []
        return
    with pytest.raises(SourceReplaced, match="rows of status were deleted or replaced; reading it anew"):
        reader.tail(STATUS, position)


def test_an_update_of_what_parsl_updates_is_no_replacement(folder: Path) -> None:
    path = write(folder / "a.db", [workflow(), attempt(0), task(0)])
    reader = opened(path)
    positions = {table: reader.tail(table, START).position for table in (WORKFLOW, TRY, TASK)}
    execute(
        path,
        "UPDATE workflow SET time_completed = time_began",
        "UPDATE try SET hostname = 'h', block_id = '0', task_fail_history = 'x', task_try_time_launched = 'y'",
        "UPDATE task SET task_time_invoked = 'y'",
    )
    assert [reader.tail(table, position).rows for table, position in positions.items()] == [[], [], []]
