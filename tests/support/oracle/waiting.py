"""Families of what tasks wait for: the contract's list of causes, gone through for one task after the other."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import NamedTuple

from .blocks import executor_of, is_active, rows_by_block
from .page import Sheet
from .rows import UNKNOWN, Row, Run, label
from .tasks import Tries, deciding_rows, identity

CAUSES = (
    "dependencies",
    "batch_queue",
    "worker_start",
    "busy_workers",
    "idle_workers",
    "no_block",
    "untold",
    "unknown",
)


class Launched(NamedTuple):
    """A launched task, by how long it waits: since when (microseconds) and its task_id."""

    since: int
    task_id: int


def waiting_families(run: Run, sheet: Sheet) -> None:
    """Add both families of waiting tasks."""
    tries = Tries(run)
    deciding = deciding_rows(run)
    seen = {tries.pair(one).executor for one in tries.all if tries.counted(one)}
    seen |= {tries.pair(tries.latest[task_id]).executor for task_id in deciding}
    waiting: dict[tuple[str, str], list[int]] = {
        (executor, cause): [] for executor in seen for cause in CAUSES
    }
    launched: dict[str, list[Launched]] = defaultdict(list)
    for task_id, row in deciding.items():
        state = row["task_status_name"]
        if run.over or state not in ("pending", "launched"):
            continue
        executor = tries.pair(tries.latest[task_id]).executor
        since = min(tries.stamps_of(identity(row), [state]))
        if state == "pending":
            waiting[executor, "dependencies"].append(since)
        else:
            launched[executor].append(Launched(since, task_id))
    causes = Causes(run, tries)
    for executor, tasks in launched.items():
        for place, task in enumerate(sorted(tasks)):
            waiting[executor, causes.of(executor, place)].append(task.since)
    for (executor, cause), stamps in waiting.items():
        own = sheet.under(executor=executor, cause=cause)
        own.put("parsl_tasks_waiting", float(len(stamps)))
        if stamps:
            own.put("parsl_tasks_waiting_oldest_timestamp_seconds", min(stamps) / 1_000_000)


class Causes:
    """What the rows of a run say about its executors."""

    def __init__(self, run: Run, tries: Tries) -> None:
        blocks = rows_by_block(run)
        self.starts = [one for one in tries.all if tries.stamps_of(one, ["running"])]
        self.started_on = {
            label(tries.rows[one]["task_executor"]) for one in self.starts if one in tries.rows
        }
        done = any(row["task_status_name"] == "exec_done" for row in deciding_rows(run).values())
        active_rows = Counter(row["uid"] for row in run.node if row["active"])
        self.worked = done or any(count > 1 for count in active_rows.values())

        latest = {row["uid"]: row for row in sorted(run.node, key=lambda row: row["id"])}
        self.managers: dict[str, list[Row]] = defaultdict(list)
        self.connected: dict[str, list[Row]] = defaultdict(list)
        for row in latest.values():
            executor = label(executor_of(run, blocks, row))
            self.managers[executor].append(row)
            if is_active(run, blocks, row):
                self.connected[executor].append(row)
        self.states: dict[str, set[str]] = defaultdict(set)
        self.ids: dict[str, set[str]] = defaultdict(set)
        for block, rows in blocks.items():
            self.states[label(block.executor)].add(rows[-1]["status"])
            self.ids[label(block.executor)].add(block.block_id)
        for row in run.tries:
            if row["block_id"]:
                self.ids[label(row["task_executor"])].add(row["block_id"])
        self.running: dict[str, list[bool]] = defaultdict(list)
        for one in tries.running:
            self.running[tries.pair(one).executor].append(bool(tries.samples.get(one)))

    def of(self, executor: str, place: int) -> str:
        """Give the cause of the launched task of an executor before which so many wait for longer."""
        mine, connected = self.managers[executor], self.connected[executor]
        strange = [row for row in self.managers[UNKNOWN] if row["block_id"] in self.ids[executor]]
        if not self.starts and self.worked:
            return "untold"
        if executor == UNKNOWN or (not self.starts and connected):
            return "unknown"
        if not mine and not strange and executor in self.started_on:
            return "busy_workers"
        if connected:
            running = self.running[executor]
            if running and not any(running):
                return "busy_workers"
            slots = sum(row["worker_count"] for row in connected)
            return "idle_workers" if place < slots - len(running) else "busy_workers"
        if any(row in self.connected[UNKNOWN] for row in strange):
            return "unknown"
        for state, cause in {
            "RUNNING": "worker_start",
            "PENDING": "batch_queue",
            "HELD": "batch_queue",
            "UNKNOWN": "batch_queue",
        }.items():
            if state in self.states[executor]:
                return cause
        return "no_block" if self.ids[executor] or mine else "unknown"
