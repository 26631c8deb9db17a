"""Runs told row by row: for the model as a reader brings them, for SQLite as Parsl's tables hold them.

Times are seconds after `BEGAN`, a moment in UTC.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

from parsl_exporter.base.tables import BLOCK, NODE, RESOURCE, STATUS, TABLES, TASK, TRY, WORKFLOW, Row, Table

RUN = "run-1"
BEGAN = datetime(2026, 1, 5, 12, 0, tzinfo=timezone.utc)
EPOCH = BEGAN.timestamp()


class Told(NamedTuple):
    """One row: its table and what its columns hold; a column not named is NULL."""

    table: Table
    values: dict[str, Any]

    def __repr__(self) -> str:
        return f"{self.table.name} {self.values}"


def stamp(at: float) -> str:
    """A time as Parsl's database has it."""
    moment = BEGAN + timedelta(microseconds=round(at * 1_000_000))
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")


def _told(table: Table, **values: Any) -> Told:
    return Told(table, values)


def workflow(run: str = RUN, *, began: float = 0, completed: float | None = None, **values: Any) -> Told:
    values = {
        "workflow_name": "wf",
        "workflow_version": "1",
        "host": "submit",
        "user": "me",
        "rundir": "/runs/000",
        **values,
    }
    ended = None if completed is None else stamp(completed)
    return _told(WORKFLOW, run_id=run, time_began=stamp(began), time_completed=ended, **values)


def task(task_id: int, app: str | None = "add", run: str = RUN) -> Told:
    return _told(TASK, run_id=run, task_id=task_id, task_func_name=app, task_time_invoked=stamp(0))


def attempt(
    task_id: int,
    try_id: int = 0,
    *,
    executor: str | None = "htex",
    block: str | None = None,
    host: str | None = None,
    history: str | None = "",
    run: str = RUN,
) -> Told:
    return _told(
        TRY,
        run_id=run,
        task_id=task_id,
        try_id=try_id,
        task_executor=executor,
        block_id=block,
        hostname=host,
        task_fail_history=history,
        task_try_time_launched=stamp(0),
    )


def status(task_id: int, state: str, at: float, try_id: int = 0, run: str = RUN) -> Told:
    return _told(
        STATUS, run_id=run, task_id=task_id, try_id=try_id, task_status_name=state, timestamp=stamp(at)
    )


def sample(task_id: int, at: float, try_id: int = 0, run: str = RUN, **values: float | None) -> Told:
    """A resource row; values by the short names of `SAMPLED`."""
    columns = {SAMPLED[name]: value for name, value in values.items()}
    return _told(RESOURCE, run_id=run, task_id=task_id, try_id=try_id, timestamp=stamp(at), **columns)


SAMPLED = {
    "children": "psutil_process_children_count",
    "user": "psutil_process_time_user",
    "system": "psutil_process_time_system",
    "virtual": "psutil_process_memory_virtual",
    "resident": "psutil_process_memory_resident",
    "read": "psutil_process_disk_read",
    "written": "psutil_process_disk_write",
    "voluntary": "psutil_process_num_ctx_switches_voluntary",
    "involuntary": "psutil_process_num_ctx_switches_involuntary",
}


def block(
    block_id: str, state: str, at: float, executor: str = "htex", job: str | None = "j1", run: str = RUN
) -> Told:
    return _told(
        BLOCK,
        run_id=run,
        executor_label=executor,
        block_id=block_id,
        job_id=job,
        timestamp=stamp(at),
        status=state,
    )


def node(
    uid: str,
    at: float,
    *,
    host: str = "node1",
    block_id: str = "0",
    active: bool = True,
    cpus: int = 4,
    memory: int = 8_000,
    workers: int = 2,
    run: str = RUN,
) -> Told:
    return _told(
        NODE,
        run_id=run,
        uid=uid,
        hostname=host,
        block_id=block_id,
        cpu_count=cpus,
        total_memory=memory,
        active=int(active),
        worker_count=workers,
        python_v="3.11.7",
        timestamp=stamp(at),
        last_heartbeat=stamp(at),
    )


def lifecycle(task_id: int, *states: tuple[str, float], try_id: int = 0, run: str = RUN) -> list[Told]:
    """Status rows of one try."""
    return [status(task_id, state, at, try_id, run) for state, at in states]


def as_rows(story: Iterable[Told]) -> list[tuple[Table, Row]]:
    """The rows as a reader brings them, numbered in the order of telling."""
    last: defaultdict[str, int] = defaultdict(int)
    rows = []
    for table, values in story:
        last[table.name] += 1
        rows.append((table, (last[table.name], *(values.get(column) for column in table.columns))))
    return rows


def later(number: int, *story: Told) -> list[tuple[Table, Row]]:
    """Rows as a reader brings them, numbered from there on."""
    return [(table, (number + row[0], *row[1:])) for table, row in as_rows(story)]


def create(database: Path) -> None:
    """Make the seven tables, without the keys that would refuse rows told twice."""
    with closing(sqlite3.connect(database)) as connection, connection:
        for table in TABLES:
            key = "id INTEGER PRIMARY KEY, " if table is NODE else ""
            columns = dict.fromkeys([*table.columns, *([table.stamp] if table.stamp else [])])
            listed = ", ".join(f'"{column}"' for column in columns)
            connection.execute(f'CREATE TABLE "{table.name}" ({key}{listed})')


def insert(database: Path, story: Sequence[Told]) -> None:
    """Insert rows in one commit."""
    with closing(sqlite3.connect(database)) as connection, connection:
        for table, values in story:
            columns = ", ".join(f'"{column}"' for column in values)
            marks = ", ".join("?" * len(values))
            connection.execute(
                f'INSERT INTO "{table.name}" ({columns}) VALUES ({marks})', list(values.values())
            )


def write(database: Path, story: Sequence[Told]) -> Path:
    """Make a database of these rows, and give its path."""
    create(database)
    insert(database, story)
    return database
