"""A poll of 7,000 new rows against one refresh of query-exporter, on the same database.

    python tests/bench/query_exporter.py FILE [--tasks 1000000]

query-exporter is installed from PyPI into a folder that goes again. Its queries ask for a part of what a poll keeps up
to date: tasks by state, status rows, CPU seconds, memory of what runs, durations, failures, blocks and managers, each
in one statement over the tables' keys. A query without an interval runs at each scrape, so a scrape is a refresh.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import yaml
from another_process import cpu_of
from steady import poll_cost

_VERSION = "5.0.2"
_NEW_TASKS = 637
"""Of 11 rows each."""
_REFRESHES = 3
_FINAL = ("memo_done", "exec_done", "dep_fail", "failed")
_STATES = ("pending", "launched", "running", "running_ended", "joining", "fail_retryable", *_FINAL)
_RANK = " ".join(f"WHEN '{state}' THEN {rank}" for rank, state in enumerate(_STATES))
_NAME = " ".join(f"WHEN {rank} THEN '{state}'" for rank, state in enumerate(_STATES))
_TRY = "JOIN task k USING (run_id, task_id) JOIN try y USING (run_id, task_id, try_id)"
_NAMES = "k.task_func_name AS app, y.task_executor AS executor"

_QUERIES: dict[str, tuple[tuple[str, ...], str]] = {
    "tasks": (
        ("app", "executor", "state"),
        f"SELECT count(*) AS tasks, {_NAMES}, CASE s.rank % 100 {_NAME} END AS state FROM (SELECT run_id, task_id,"
        f" max(try_id) AS try_id, max((task_status_name IN {_FINAL}) * 1000000"
        f" + try_id * 100 + CASE task_status_name {_RANK} END) AS rank FROM status GROUP BY run_id, task_id) s {_TRY}"
        " GROUP BY 2, 3, 4",
    ),
    "transitions": (
        ("app", "executor", "state"),
        f"SELECT count(*) AS transitions, {_NAMES}, task_status_name AS state FROM status {_TRY} GROUP BY 2, 3, 4",
    ),
    "cpu_seconds": (
        ("app", "executor"),
        f"SELECT sum(r.used) AS cpu_seconds, {_NAMES} FROM (SELECT run_id, task_id, try_id,"
        " max(psutil_process_time_user) - min(psutil_process_time_user) + max(psutil_process_time_system)"
        " - min(psutil_process_time_system) AS used FROM resource GROUP BY run_id, task_id, try_id) r"
        f" {_TRY} GROUP BY 2, 3",
    ),
    "resident_bytes": (
        ("app", "executor"),
        f"SELECT sum(r.resident) AS resident_bytes, {_NAMES} FROM (SELECT run_id, task_id, try_id,"
        " psutil_process_memory_resident AS resident, max(timestamp) FROM resource GROUP BY run_id, task_id, try_id) r"
        f" {_TRY} WHERE y.task_try_time_returned IS NULL GROUP BY 2, 3",
    ),
    "duration_seconds": (
        ("app", "executor"),
        f"SELECT sum(d.seconds) AS duration_seconds, {_NAMES} FROM (SELECT run_id, task_id, max(try_id) AS try_id,"
        " 86400 * (julianday(max(timestamp)) - julianday(min(timestamp))) AS seconds FROM status"
        f" GROUP BY run_id, task_id) d {_TRY} GROUP BY 2, 3",
    ),
    "failures": (
        ("app", "executor"),
        f"SELECT count(*) AS failures, {_NAMES} FROM status {_TRY}"
        " WHERE task_status_name IN ('fail_retryable', 'failed', 'dep_fail') GROUP BY 2, 3",
    ),
    "blocks": (
        ("executor", "state"),
        "SELECT count(*) AS blocks, executor_label AS executor, status AS state FROM (SELECT executor_label, status,"
        " max(timestamp) FROM block GROUP BY run_id, executor_label, block_id) GROUP BY 2, 3",
    ),
    "manager_workers": (
        ("manager",),
        "SELECT worker_count AS manager_workers, uid AS manager FROM (SELECT worker_count, uid, max(id) FROM node"
        " GROUP BY run_id, uid)",
    ),
}


def configuration(path: Path) -> dict[str, Any]:
    """What query-exporter is to do with a file."""
    return {
        "databases": {"parsl": {"dsn": f"sqlite:///{path}", "connect-sql": ["PRAGMA query_only = 1"]}},
        "metrics": {
            name: {"type": "gauge", "labels": list(labels)} for name, (labels, _) in _QUERIES.items()
        },
        "queries": {
            name: {"databases": ["parsl"], "metrics": [name], "sql": sql}
            for name, (_, sql) in _QUERIES.items()
        },
    }


def refreshes(path: Path, folder: Path) -> list[float]:
    """CPU seconds of its whole process that each refresh takes."""
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    install = [str(folder / "venv/bin/pip"), "install", "--quiet", f"query-exporter=={_VERSION}"]
    subprocess.run(install, check=True, stderr=subprocess.DEVNULL)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(configuration(path)))
    command = [
        str(folder / "venv/bin/query-exporter"),
        "--config",
        str(config),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            costs: list[float] = []
            while len(costs) < _REFRESHES:
                before = cpu_of(process.pid)
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=1_200) as answer:
                        page = answer.read().decode()
                except OSError:
                    if process.poll() is not None:
                        raise
                    time.sleep(0.1)
                    continue
                costs.append(cpu_of(process.pid) - before)
                missing = [name for name in _QUERIES if f"\n{name}{{" not in page and name != "failures"]
                if missing and missing != ["resident_bytes"]:
                    raise SystemExit(f"query-exporter gives nothing of {', '.join(missing)}")
            return costs
        finally:
            process.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description="A poll against a refresh of query-exporter.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        theirs = statistics.median(refreshes(options.file.absolute(), Path(folder)))
    ours = poll_cost(options.file, options.tasks, _NEW_TASKS)
    print(
        f"poll of {11 * _NEW_TASKS:,} new rows with {options.tasks:,} tasks of history: {ours * 1000:.1f} ms CPU"
        f" against {theirs:.1f} s of query-exporter {_VERSION}'s refresh of {len(_QUERIES)} comparable metrics:"
        f" 1/{theirs / ours:,.0f}"
    )


if __name__ == "__main__":
    main()
