"""Parsl's seven tables: the columns that the exporter uses.

Source: `parsl/monitoring/db_manager.py`, class `Database` (release 2026.10.26; history in docs/design.md).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

Row: TypeAlias = tuple[Any, ...]
"""One row as read: its position (SQLite's rowid), then the columns in the order of `Table.columns`."""

TOO_LARGE: Final = ("too large",)
"""Stands for the run_id of a row that holds too much to be read; its other columns are NULL then."""


class Table(NamedTuple):
    """One table. `optional` columns may be absent from an older schema and are then read as NULL.

    The first `identity` columns are never updated: with the position they tell one row from another. The column
    `stamp` says when a row was written, or a little later.
    """

    name: str
    columns: tuple[str, ...]
    identity: int
    optional: frozenset[str] = frozenset()
    stamp: str | None = None


WORKFLOW = Table(
    "workflow",
    (
        "run_id",
        "workflow_name",
        "workflow_version",
        "time_began",
        "time_completed",
        "host",
        "user",
        "rundir",
    ),
    1,
)
TASK = Table("task", ("run_id", "task_id", "task_func_name"), 2, stamp="task_time_invoked")
TRY = Table(
    "try",
    (
        "run_id",
        "task_id",
        "try_id",
        "task_executor",
        "block_id",
        "hostname",
        "task_fail_history",
    ),
    3,
    stamp="task_try_time_launched",
)
STATUS = Table(
    "status", ("run_id", "task_id", "try_id", "task_status_name", "timestamp"), 5, stamp="timestamp"
)
RESOURCE = Table(
    "resource",
    (
        "run_id",
        "task_id",
        "try_id",
        "timestamp",
        "psutil_process_children_count",
        "psutil_process_time_user",
        "psutil_process_time_system",
        "psutil_process_memory_virtual",
        "psutil_process_memory_resident",
        "psutil_process_disk_read",
        "psutil_process_disk_write",
        "psutil_process_num_ctx_switches_voluntary",
        "psutil_process_num_ctx_switches_involuntary",
    ),
    4,
    optional=frozenset(
        {"psutil_process_num_ctx_switches_voluntary", "psutil_process_num_ctx_switches_involuntary"}
    ),
    stamp="timestamp",
)
BLOCK = Table(
    "block", ("run_id", "executor_label", "block_id", "job_id", "timestamp", "status"), 6, stamp="timestamp"
)
NODE = Table(
    "node",
    (
        "run_id",
        "uid",
        "hostname",
        "block_id",
        "cpu_count",
        "total_memory",
        "active",
        "worker_count",
        "python_v",
        "timestamp",
        "last_heartbeat",
    ),
    4,
    stamp="timestamp",
)

TABLES = (WORKFLOW, TASK, TRY, STATUS, RESOURCE, BLOCK, NODE)
"""In the order in which a poll reads them: what names a task comes before what happened to it."""

BY_NAME = {table.name: table for table in TABLES}
