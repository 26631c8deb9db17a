"""A recorded database written once more, in the order and in the separate commits in which Parsl writes.

Source: `parsl/monitoring/db_manager.py`, `DatabaseManager.start`: a loop that takes what has come in about a second
and writes the messages of the submit process (workflow update, task insert, task update, status insert, try insert,
try update), then node, block, worker (status insert, try update, status insert) and resource rows. The order of
rows within a table is the recorded one; how the tables interleave is told by the stamps.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from support.oracle import Series, differences
from support.oracle.rows import load
from support.source_harness import CORPUS, NOT_HISTOGRAMS, PARSL_TABLES, emptied, truth, unpacked

FAILURES = "parsl_task_failures_total"
WORKER_STATES = ("running", "running_ended")
FAILED_STATES = ("fail_retryable", "failed", "dep_fail")
BATCH = 1.0
"""Seconds that Parsl gathers messages before it writes them."""


class Clocks(NamedTuple):
    """In which zones the stamps of a database are; `tz` is the process's own."""

    zone: str = "UTC"
    worker_zones: Mapping[str, str] = MappingProxyType({})
    tz: str = "UTC"


CLOCKS = {
    "clocks/workers-in-utc-2026.10.26": Clocks("Europe/Paris", {"htex": "UTC"}),
    "clocks/repeated-hour-2026.10.26": Clocks("local", tz="XST3XDT2,M3.2.0,J331/19:17:00"),
}


NAMES = [*CORPUS, *CLOCKS]


class Row(dict[str, Any]):
    """A row's columns; `at` is when it was written, in seconds, of tables that have a stamp; `ended` a run's end."""

    at = 0.0
    ended = 0.0


Statement = tuple[str, list[Any]]


class Commit(NamedTuple):
    """One transaction: what it is, when Parsl made it (seconds, by the rows' stamps), and its statements."""

    what: str
    at: float
    statements: list[Statement]


class Replay:
    """A database that begins empty, and the commits that make it the recorded one."""

    def __init__(self, name: str, folder: Path) -> None:
        self.clocks = CLOCKS.get(name, Clocks())
        recorded = unpacked(folder / "recorded.db", name)
        self.database = emptied(folder / "monitoring.db", name)
        self.commits = list(_commits(recorded, self.clocks))

    def play(self, commit: Commit) -> None:
        """Make one commit, as a writer beside the reader."""
        with closing(sqlite3.connect(self.database, timeout=30)) as connection, connection:
            for sql, values in commit.statements:
                connection.execute(sql, values)


def wrong(
    database: Path,
    found: Series,
    families: Collection[str] = NOT_HISTOGRAMS,
    clocks: Clocks = Clocks(),  # noqa: B008  # Clocks is frozen
) -> list[str]:
    """How a page differs from the database, but for failures that wait for their reason: these are held."""
    wanted = truth(database, zone=clocks.zone, worker_zones=clocks.worker_zones)
    failures, counted = wanted.get(FAILURES, {}), found.get(FAILURES, {})
    for key in [key for key in failures if dict(key)["reason"] == "unknown"]:
        if key not in counted:
            del failures[key]
        elif counted[key] < failures[key]:  # type: ignore[operator]  # counters are numbers
            failures[key] = counted[key]
    return differences(wanted, found, families=families)


def _commits(recorded: Path, clocks: Clocks) -> Iterator[Commit]:
    """All runs' commits: each run has a writer of its own, and they take turns as time goes."""
    moments = {run.run_id: run for run in load(recorded, clocks.zone, clocks.worker_zones)}
    runs: dict[str, dict[str, list[Row]]] = defaultdict(lambda: {table: [] for table in PARSL_TABLES})
    with closing(sqlite3.connect(recorded)) as connection:
        connection.row_factory = sqlite3.Row
        connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        for table in PARSL_TABLES:
            for row in connection.execute(f'SELECT * FROM "{table}" ORDER BY rowid'):
                runs[row["run_id"]][table].append(Row(row))
    for run_id, tables in runs.items():
        for table in ("status", "resource", "block", "node"):
            for row, same in zip(tables[table], getattr(moments[run_id], table), strict=True):
                row.at = same["timestamp"] / 1_000_000
        for workflow, same in zip(tables["workflow"], moments[run_id].workflow, strict=True):
            workflow.at = same["time_began"] / 1_000_000
            workflow.ended = (same["time_completed"] or 0) / 1_000_000
    return heapq.merge(*(_of_run(tables) for tables in runs.values()), key=lambda commit: commit.at)


def _of_run(tables: dict[str, list[Row]]) -> Iterator[Commit]:
    workflow = tables["workflow"][0] if tables["workflow"] else None
    tasks = {row["task_id"]: row for row in tables["task"]}
    tries = {(row["task_id"], row["try_id"]): row for row in tables["try"]}
    told_tasks: set[int] = set()
    told_tries: set[tuple[int, int]] = set()
    waiting = {table: _Waiting(table, tables[table]) for table in ("node", "block", "resource")}
    now = 0.0
    if workflow is not None:  # else Parsl could not write it
        began = {**workflow, "time_completed": None, "tasks_failed_count": 0, "tasks_completed_count": 0}
        now = workflow.at
        yield Commit("workflow insert", now, [_insert("workflow", began)])
    for batch in _batches(tables["status"]):
        now = max(now, *(row.at for row in batch))
        new_tasks = [row["task_id"] for row in batch if row["task_id"] not in told_tasks]
        if batch[0]["task_status_name"] in WORKER_STATES:
            yield from waiting["node"].until(now)
            yield from waiting["block"].until(now)
            yield from _worker_batch(batch, tries, now)
            yield from waiting["resource"].until(now)
        else:
            yield from _submit_batch(batch, tasks, tries, set(new_tasks), told_tries, now)
            told_tasks.update(new_tasks)
            told_tries.update(_key(row) for row in batch)
            yield from waiting["node"].until(now)
            yield from waiting["block"].until(now)
    if workflow is not None and workflow["time_completed"] is not None:
        now = max(now, workflow.ended)
        columns = ("time_completed", "tasks_failed_count", "tasks_completed_count")
        yield Commit("workflow end", now, [_update("workflow", workflow, ("run_id",), columns)])
    for rows in waiting.values():
        yield from rows.until(float("inf"), now)


def _submit_batch(
    batch: list[Row],
    tasks: dict[int, Row],
    tries: dict[tuple[int, int], Row],
    new_tasks: set[int],
    told_tries: set[tuple[int, int]],
    now: float,
) -> Iterator[Commit]:
    first: dict[tuple[int, int], str] = {}
    for row in batch:
        first.setdefault(_key(row), row["task_status_name"])
    new_tries = [key for key in first if key not in told_tries]
    inserted = [_insert("task", {**tasks[i], "task_time_returned": None}) for i in sorted(new_tasks)]
    if inserted:
        yield Commit("task insert", now, inserted)
    updates = [row["task_id"] for row in batch if row["task_id"] not in new_tasks]
    if updates:
        columns = ("task_time_returned", "task_fail_count")
        statements = [_update("task", tasks[i], ("run_id", "task_id"), columns) for i in updates]
        yield Commit("task update", now, statements)
    yield Commit("status insert", now, [_insert("status", row) for row in batch])
    nothing_yet = {"block_id": None, "hostname": None, "task_try_time_running": None}
    if new_tries:
        rows = []
        for key in new_tries:
            history = tries[key]["task_fail_history"] if first[key] in FAILED_STATES else ""
            rows.append(_insert("try", {**tries[key], **nothing_yet, "task_fail_history": history}))
        yield Commit("try insert", now, rows)
    failed = {_key(row) for row in batch if row["task_status_name"] in FAILED_STATES}
    if failed:
        keys = ("run_id", "task_id", "try_id")
        statements = [_update("try", tries[key], keys, ("task_fail_history",)) for key in failed]
        yield Commit("try update", now, statements)


def _worker_batch(batch: list[Row], tries: dict[tuple[int, int], Row], now: float) -> Iterator[Commit]:
    running = [row for row in batch if row["task_status_name"] == "running"]
    ended = [row for row in batch if row["task_status_name"] != "running"]
    if running:
        yield Commit("running insert", now, [_insert("status", row) for row in running])
        columns = ("block_id", "hostname", "task_try_time_running")
        keys = ("run_id", "task_id", "try_id")
        statements = [_update("try", tries[_key(row)], keys, columns) for row in running]
        yield Commit("try update of running", now, statements)
    if ended:
        yield Commit("running_ended insert", now, [_insert("status", row) for row in ended])


class _Waiting:
    """Rows of one table that are written as time goes, in their order."""

    def __init__(self, table: str, rows: list[Row]) -> None:
        self._table = table
        self._rows = rows
        self._next = 0

    def until(self, now: float, at: float | None = None) -> Iterator[Commit]:
        begin = self._next
        while self._next < len(self._rows) and self._rows[self._next].at <= now:
            self._next += 1
        rows = self._rows[begin : self._next]
        if rows:
            # SQLite gives a node row the next id.
            statements = [_insert(self._table, {k: v for k, v in row.items() if k != "id"}) for row in rows]
            yield Commit(f"{self._table} insert", now if at is None else at, statements)


def _batches(status: list[Row]) -> Iterator[list[Row]]:
    """Status rows that were written together: of one sender, within a second, running before running_ended."""
    batch: list[Row] = []
    for row in status:
        if batch and not _together(batch, row):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _together(batch: list[Row], row: Row) -> bool:
    state, last = row["task_status_name"], batch[-1]["task_status_name"]
    if (state in WORKER_STATES) != (last in WORKER_STATES) or (state, last) == WORKER_STATES:
        return False
    return abs(row.at - batch[0].at) <= BATCH


def _key(row: Row) -> tuple[int, int]:
    return row["task_id"], row["try_id"]


def _insert(table: str, row: Mapping[str, Any]) -> Statement:
    columns = ", ".join(f'"{column}"' for column in row)
    return f'INSERT INTO "{table}" ({columns}) VALUES ({", ".join("?" * len(row))})', list(row.values())


def _update(table: str, row: Row, keys: tuple[str, ...], columns: tuple[str, ...]) -> Statement:
    changes = ", ".join(f'"{column}" = ?' for column in columns)
    where = " AND ".join(f'"{key}" = ?' for key in keys)
    values = [row[column] for column in (*columns, *keys)]
    return f'UPDATE "{table}" SET {changes} WHERE {where}', values
