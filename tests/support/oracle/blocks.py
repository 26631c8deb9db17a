"""Families of blocks, managers and the hosts that managers ran on."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from .page import Sheet
from .rows import UNKNOWN, Row, Run, label, only
from .tasks import ENDS, Tries

JOB_STATES = (
    "UNKNOWN",
    "PENDING",
    "RUNNING",
    "CANCELLED",
    "COMPLETED",
    "FAILED",
    "TIMEOUT",
    "HELD",
    "MISSING",
    "SCALED_IN",
)
TERMINAL = ("CANCELLED", "COMPLETED", "FAILED", "TIMEOUT", "MISSING", "SCALED_IN")


class Block(NamedTuple):
    """A block's identity within its run."""

    executor: str
    block_id: str


def block_families(run: Run, sheet: Sheet, bounds: Sequence[float], now_us: int | None) -> None:
    """Add every family of blocks and managers, and the families of hosts that managers make.

    `now_us`: when the rows were read, which no sign of life can come after.
    """
    blocks = rows_by_block(run)
    tries = Tries(run)
    tried = {block for row in run.tries if (block := _block_of(row))}

    _states(sheet, blocks, bounds)
    for block, rows in blocks.items():
        _one_block(sheet.under(**_labels(block)), rows)
    running = Counter(_block_of(tries.rows[one]) for one in tries.running if one in tries.rows)
    activity = _activity(run, tries, blocks)
    worked = tried | _dispatched_to(run, blocks)
    for block in {*blocks, *tried}:
        own = sheet.under(**_labels(block))
        own.put("parsl_block_tasks_running", float(running[block]))
        own.put("parsl_block_worked", float(block in worked))
        if activity[block]:
            newest = min(max(activity[block]), math.inf if now_us is None else now_us) / 1_000_000
            own.put("parsl_block_last_activity_timestamp_seconds", newest)
    _managers(sheet, run, blocks)


def rows_by_block(run: Run) -> dict[Block, list[Row]]:
    """Give the rows of each block, in the order of insertion."""
    blocks: dict[Block, list[Row]] = defaultdict(list)
    for row in run.block:
        blocks[Block(row["executor_label"], row["block_id"])].append(row)
    return blocks


def _block_of(row: Row) -> Block | None:
    """Give the block of a try row, None where it names none."""
    return Block(row["task_executor"], row["block_id"]) if row["block_id"] else None


def _labels(block: Block) -> dict[str, str]:
    return {"executor": label(block.executor), "block_id": label(block.block_id)}


def _states(sheet: Sheet, blocks: dict[Block, list[Row]], bounds: Sequence[float]) -> None:
    for executor in {block.executor for block in blocks}:
        histories = [rows for block, rows in blocks.items() if block.executor == executor]
        own = sheet.under(executor=label(executor))
        now = Counter(label(rows[-1]["status"]) for rows in histories)
        changes: Counter[str] = Counter()
        waited = []
        for rows in histories:
            states = [row["status"] for row in rows]
            before = [None, *states[:-1]]
            changes.update(label(state) for state, last in zip(states, before, strict=True) if state != last)
            if "PENDING" in states and "RUNNING" in states:
                first = {state: rows[states.index(state)]["timestamp"] for state in ("PENDING", "RUNNING")}
                waited.append(max(0, first["RUNNING"] - first["PENDING"]) / 1_000_000)
        for state in {*JOB_STATES, *now}:
            own.put("parsl_blocks", float(now[state]), state=state)
        for state in {*JOB_STATES, *changes}:
            own.put("parsl_block_transitions_total", float(changes[state]), state=state)
        own.observe("parsl_block_pending_seconds", waited, bounds)


def _one_block(sheet: Sheet, rows: list[Row]) -> None:
    latest = rows[-1]
    entered = latest
    for row in reversed(rows):
        if row["status"] != latest["status"]:
            break
        entered = row
    sheet.put("parsl_block_info", 1.0, job_id=label(latest["job_id"]))
    sheet.put("parsl_block_state", 1.0, state=label(latest["status"]))
    sheet.put("parsl_block_state_timestamp_seconds", entered["timestamp"] / 1_000_000)


def _activity(run: Run, tries: Tries, blocks: dict[Block, list[Row]]) -> dict[Block, list[int]]:
    """Give the stamps of every sign of life of each block."""
    stamps: dict[Block, list[int]] = defaultdict(list)
    for one, row in tries.rows.items():
        if block := _block_of(row):
            stamps[block] += tries.stamps_of(one, ["running", "running_ended", *ENDS])
            stamps[block] += [sample["timestamp"] for sample in tries.samples.get(one, [])]
    for row in run.node:
        executor = executor_of(run, blocks, row)
        if executor is not None:
            stamps[Block(executor, row["block_id"])].append(row["timestamp"])
    return stamps


def _dispatched_to(run: Run, blocks: dict[Block, list[Row]]) -> set[Block]:
    """Give the blocks one of whose managers wrote more than the one row with active=1 that it writes at its start."""
    active: dict[str, list[Row]] = defaultdict(list)
    for row in run.node:
        if row["active"]:
            active[row["uid"]].append(row)
    return {
        Block(executor, rows[0]["block_id"])
        for rows in active.values()
        if len(rows) > 1 and (executor := executor_of(run, blocks, rows[0])) is not None
    }


def executor_of(run: Run, blocks: dict[Block, list[Row]], node: Row) -> str | None:
    """Resolve a node row's executor: block ids repeat from executor to executor."""
    if not node["block_id"]:
        return None
    by_block = only({block.executor for block in blocks if block.block_id == node["block_id"]})
    if by_block is not None:
        return by_block
    tried_here = (
        row
        for row in run.tries
        if row["block_id"] == node["block_id"] and row["hostname"] == node["hostname"]
    )
    return only({row["task_executor"] for row in tried_here})


def _managers(sheet: Sheet, run: Run, blocks: dict[Block, list[Row]]) -> None:
    latest: dict[str, Row] = {}
    for row in sorted(run.node, key=lambda row: row["id"]):
        latest[row["uid"]] = row
    active = {uid: is_active(run, blocks, row) for uid, row in latest.items()}
    for uid, row in latest.items():
        executor = executor_of(run, blocks, row)
        own = sheet.under(
            manager=label(uid),
            hostname=label(row["hostname"]),
            executor=UNKNOWN if executor is None else label(executor),
            block_id=label(row["block_id"]),
        )
        heartbeat = row["last_heartbeat"] / 1_000_000
        own.put("parsl_manager_info", 1.0, python_version=label(row["python_v"]))
        own.put("parsl_manager_active", float(active[uid]))
        own.put("parsl_manager_workers", float(row["worker_count"]))
        own.put("parsl_manager_last_heartbeat_timestamp_seconds", heartbeat)
        own.put("parsl_manager_last_row_timestamp_seconds", row["timestamp"] / 1_000_000)
    for hostname in {row["hostname"] for row in latest.values()}:
        here = {uid: row for uid, row in latest.items() if row["hostname"] == hostname}
        counted = [row for uid, row in here.items() if active[uid]] or list(here.values())
        own = sheet.under(hostname=label(hostname))
        own.put("parsl_node_cpus", float(max(row["cpu_count"] for row in counted)))
        own.put("parsl_node_memory_bytes", float(max(row["total_memory"] for row in counted)))


def is_active(run: Run, blocks: dict[Block, list[Row]], node: Row) -> bool:
    """Whether a manager whose latest row is `node` can run tasks."""
    executor = executor_of(run, blocks, node)
    states = [
        rows[-1]["status"]
        for block, rows in blocks.items()
        if block.block_id == node["block_id"] and executor in (None, block.executor)
    ]
    dead = bool(states) and all(state in TERMINAL for state in states)
    return bool(node["active"]) and not run.over and not dead
