"""Writes a large database as Parsl would: its own schema, rows in the order in which its runs commit them.

    python tests/bench/generate.py FILE --tasks 1000000

A task has 5 status, 2 resource and 2 node rows, and one try. Made with a fixed seed; stamps end now.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy
from parsl.monitoring.db_manager import Database

RUN_ID = "6b7c0f3e-5d1f-4e57-9a51-0c5f7f0a3c11"
APPS, NODES, SECONDS_A_TASK, RUNNING = 20, 16, 0.01, 1.5
_AT_ONCE = 5_000


def make_tables(path: Path) -> None:
    """Have Parsl make its tables in a new file."""
    Database(f"sqlite:///{path}")


def generate(
    path: Path, tasks: int, *, run_id: str = RUN_ID, first_task: int = 0, end: float | None = None
) -> None:
    """Add `tasks` finished tasks to a run, made when it is not there; its last one ends at `end` (default: now)."""
    if not path.exists():
        make_tables(path)
    begin = (time.time() if end is None else end) - tasks * SECONDS_A_TASK - RUNNING
    database = sqlite3.connect(path)
    database.execute("PRAGMA synchronous = OFF")
    if not database.execute("SELECT 1 FROM workflow WHERE run_id = ?", (run_id,)).fetchone():
        _insert(
            database,
            "workflow",
            [
                {
                    "run_id": run_id,
                    "workflow_name": "large",
                    "workflow_version": "1",
                    "time_began": _stamp(begin),
                    "host": "submit",
                    "user": "someone",
                    "rundir": "/runinfo/000",
                    "tasks_failed_count": 0,
                    "tasks_completed_count": 0,
                }
            ],
        )
        _insert(
            database,
            "block",
            [_block(run_id, i, begin, state) for state in ("PENDING", "RUNNING") for i in range(NODES)],
        )
    dice = random.Random(first_task)
    for low in range(first_task, first_task + tasks, _AT_ONCE):
        ids = range(low, min(low + _AT_ONCE, first_task + tasks))
        times = {i: begin + (i - first_task) * SECONDS_A_TASK for i in ids}
        for table, rows in _rows(run_id, times, dice):
            _insert(database, table, rows)
        database.commit()
    database.close()


def _rows(
    run_id: str, times: dict[int, float], dice: random.Random
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    key = {"run_id": run_id}
    yield (
        "task",
        [
            {
                **key,
                "task_id": i,
                "task_depends": "",
                "task_func_name": f"app_{i % APPS}",
                "task_memoize": "0",
                "task_inputs": "[]",
                "task_outputs": "None",
                "task_time_invoked": _stamp(t),
                "task_time_returned": _stamp(t + RUNNING),
                "task_fail_count": 0,
                "task_fail_cost": 0,
            }
            for i, t in times.items()
        ],
    )
    states: tuple[tuple[str, float], ...] = (
        ("pending", 0.0),
        ("launched", 0.002),
        ("exec_done", RUNNING + 0.02),
    )
    yield (
        "status",
        [_status(run_id, i, state, t + after) for i, t in times.items() for state, after in states],
    )
    yield (
        "try",
        [
            {
                **key,
                "task_id": i,
                "try_id": 0,
                "block_id": str(i % NODES),
                "hostname": f"node{i % NODES:03d}",
                "task_executor": "htex",
                "task_try_time_launched": _stamp(t + 0.002),
                "task_try_time_running": _stamp(t + 0.05),
                "task_try_time_returned": _stamp(t + RUNNING),
                "task_fail_history": "",
            }
            for i, t in times.items()
        ],
    )
    yield "node", [_node(run_id, i, t + after) for i, t in times.items() for after in (0.01, RUNNING)]
    states = (("running", 0.05), ("running_ended", RUNNING))
    yield (
        "status",
        [_status(run_id, i, state, t + after) for i, t in times.items() for state, after in states],
    )
    yield (
        "resource",
        [_sample(run_id, i, t, after, dice) for i, t in times.items() for after in (0.1, RUNNING)],
    )


def _status(run_id: str, task_id: int, state: str, at: float) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "task_id": task_id,
        "try_id": 0,
        "task_status_name": state,
        "timestamp": _stamp(at),
    }


def _sample(run_id: str, task_id: int, begin: float, after: float, dice: random.Random) -> dict[str, Any]:
    used = round(task_id * 0.01 + after * dice.uniform(0.5, 1.0), 2)
    return {
        "run_id": run_id,
        "task_id": task_id,
        "try_id": 0,
        "timestamp": _stamp(begin + after),
        "resource_monitoring_interval": 1.0,
        "psutil_process_pid": 4242,
        "psutil_process_memory_percent": 0.4,
        "psutil_process_children_count": 1.0,
        "psutil_process_time_user": used,
        "psutil_process_time_system": round(used / 10, 2),
        "psutil_process_memory_virtual": 1.0e9,
        "psutil_process_memory_resident": float(dice.randrange(1 << 26, 1 << 31)),
        "psutil_process_disk_read": 1.0e6 * task_id + 1e5 * after,
        "psutil_process_disk_write": 2.0e5 * task_id + 1e4 * after,
        "psutil_process_status": "sleeping",
        "psutil_cpu_num": "1",
        "psutil_process_num_ctx_switches_voluntary": 40.0 * task_id + after,
        "psutil_process_num_ctx_switches_involuntary": 3.0 * task_id + after,
    }


def _node(run_id: str, task_id: int, at: float) -> dict[str, Any]:
    node = task_id % NODES
    return {
        "run_id": run_id,
        "hostname": f"node{node:03d}",
        "uid": f"{node:012x}",
        "block_id": str(node),
        "cpu_count": 64,
        "total_memory": 1 << 38,
        "active": 1,
        "worker_count": 64,
        "python_v": "3.11.7",
        "timestamp": _stamp(at),
        "last_heartbeat": _stamp(at),
    }


def _block(run_id: str, block: int, begin: float, state: str) -> dict[str, Any]:
    at = begin - 60 + (30 if state == "RUNNING" else 0)
    return {
        "run_id": run_id,
        "executor_label": "htex",
        "block_id": str(block),
        "job_id": str(1000 + block),
        "timestamp": _stamp(at),
        "status": state,
    }


def _insert(database: sqlite3.Connection, table: str, rows: list[dict[str, Any]]) -> None:
    columns = list(rows[0])
    database.executemany(
        f'INSERT INTO "{table}" ({", ".join(columns)}) VALUES ({", ".join("?" * len(columns))})',
        [tuple(row.values()) for row in rows],
    )


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M:%S.%f")


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a large monitoring database with Parsl's own schema.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    options = parser.parse_args()
    begin = time.perf_counter()
    generate(options.file, options.tasks)
    size = options.file.stat().st_size / 1e6
    print(
        f"{options.tasks:,} tasks, {size:,.0f} MB in {time.perf_counter() - begin:.0f} s "
        f"(sqlite {sqlite3.sqlite_version}, sqlalchemy {sqlalchemy.__version__})"
    )


if __name__ == "__main__":
    main()
