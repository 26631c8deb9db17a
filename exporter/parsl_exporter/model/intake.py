"""Rows in: what rows of each table become for the model, and which cannot be used.

Rows of tasks and tries become columns (`columns.py`); workflow, block and node rows, of which there are few or of
which few count, are taken one by one. A row that cannot be used is rejected with a reason from `REASONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import compress
from typing import TYPE_CHECKING, Any

import numpy as np

from parsl_exporter.columns import (
    Columns,
    Ints,
    Mask,
    Named,
    SampleColumns,
    StatusColumns,
    TaskColumns,
    TryColumns,
)
from parsl_exporter.model.blocks import Entry
from parsl_exporter.model.managers import Manager, NodeRow
from parsl_exporter.model.run import Info, Run
from parsl_exporter.model.stamps import Stamps
from parsl_exporter.model.usage import TOO_MUCH, usable
from parsl_exporter.tables import BLOCK, NODE, RESOURCE, STATUS, TASK, TRY, WORKFLOW, Row, Table

if TYPE_CHECKING:
    from parsl_exporter.model.runs import Runs

REASONS = ("key", "timestamp", "number", "size")
"""Why a row is rejected: NULL or no identifier where a key belongs, no time, no finite number, too much to read."""
_GREATEST = (1 << 63) - 1

Reject = Callable[[Table, str, Row], None]


def columns_of(
    table: Table, rows: Sequence[Row], stamps: Stamps, reject: Reject
) -> Iterator[tuple[str, Columns]]:
    """Give the rows of the task tables in columns, run by run, stamps in microseconds UTC; reject what is none."""
    if table is STATUS or table is RESOURCE:
        at = stamps.read_all([row[5 if table is STATUS else 4] for row in rows])
        if (at < 0).any():
            for row in compress(rows, (at < 0).tolist()):
                reject(table, "timestamp", row)
            rows, at = list(compress(rows, (at >= 0).tolist())), at[at >= 0]
    else:
        at = np.empty(0, np.int64)
    if table is RESOURCE:
        numbers = _usable(rows)
        if not numbers.all():
            for row in compress(rows, (~numbers).tolist()):
                reject(table, "number", row)
            rows, at = list(compress(rows, numbers.tolist())), at[numbers]
    keyed = _keyed(table, rows)
    if not keyed.all():
        for row in compress(rows, (~keyed).tolist()):
            reject(table, "key", row)
        rows = list(compress(rows, keyed.tolist()))
        at = at[keyed] if len(at) else at
    if not rows:
        return
    run_ids = dict.fromkeys(row[1] for row in rows)
    if len(run_ids) == 1:
        yield rows[0][1], _columns(table, rows, at)
        return
    for run_id in run_ids:
        of = np.array([row[1] == run_id for row in rows])
        yield run_id, _columns(table, list(compress(rows, of.tolist())), at[of] if len(at) else at)


def _usable(rows: Sequence[Row]) -> Mask:
    try:
        values = np.array([row[5:] for row in rows], np.float64)
        if values.ndim == 2 and not any(isinstance(v, (str, bytes)) for row in rows for v in row[5:]):
            good: Mask = ~(np.abs(values) >= TOO_MUCH).any(axis=1)
            return good
    except (TypeError, ValueError, OverflowError):
        pass
    return np.array([usable(row[5:]) for row in rows], np.bool_)


def _integer(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value <= _GREATEST


def _keyed(table: Table, rows: Sequence[Row]) -> Mask:
    """Say of each row whether it names a run, a task and, but for a task row, a try."""
    ids = slice(2, 3 if table is TASK else 4)
    return np.array(
        [row[1].__class__ is str and row[1] != "" and all(map(_integer, row[ids])) for row in rows], np.bool_
    )


def _columns(table: Table, rows: Sequence[Row], at: Ints) -> Columns:
    columns = list(zip(*rows, strict=True))
    task_ids = np.array(columns[2], np.int64)
    if table is TASK:
        return TaskColumns(task_ids, Named.of(columns[3]))
    try_ids = np.array(columns[3], np.int64)
    if table is TRY:
        return TryColumns(task_ids, try_ids, *map(Named.of, columns[4:8]))
    if table is STATUS:
        return StatusColumns(task_ids, try_ids, at, Named.of(columns[4]))
    return SampleColumns(task_ids, try_ids, at, np.array(columns[5:], np.float64))


# --- rows that are taken one by one -------------------------------------------------------------------------


def take_workflow(runs: Runs, rows: Sequence[Row], now: float) -> None:
    """Take workflow rows; a row seen before brings what was updated in it."""
    names = runs.names
    for row in rows:
        _, _, workflow, version, began, completed, host, user, rundir = row
        begin_us = _stamp(runs, WORKFLOW, row, began)
        end_us = None if completed in (None, "") else _stamp(runs, WORKFLOW, row, completed)
        if begin_us < 0 or (end_us is not None and end_us < 0):
            continue
        run = _run(runs, WORKFLOW, row, now)
        if run is None:
            continue
        info = Info(
            names[workflow], names[version], names[host], names[user], names[rundir], begin_us, end_us
        )
        if info != run.info:
            run.learn(info)
            run.seen_row(now)


def take_block(runs: Runs, rows: Sequence[Row], now: float) -> None:
    """Take block rows; the position in the table is their order."""
    names = runs.names
    for row in rows:
        place, _, executor, block_id, job_id, stamp, state = row
        us = _stamp(runs, BLOCK, row, stamp)
        if us < 0:
            continue
        if block_id is None or block_id == "":
            runs.reject(BLOCK, "key", row)
            continue
        run = _run(runs, BLOCK, row, now)
        if run is None:
            continue
        label, block = names[executor], names[block_id]
        run.block(label, block).take(Entry(place, us, names[state], names[job_id]))
        run.executors_of_block.setdefault(block, set()).add(label)
        run.note_first(us)
        run.newest_us = max(run.newest_us, us)


def take_node(runs: Runs, rows: Sequence[Row], now: float) -> None:
    """Take node rows: snapshots of managers, of which the last inserted counts.

    There are two a task, nearly all alike: of each manager only the last row of a batch is looked at closely.
    """
    stamps = runs.stamps
    last: dict[tuple[str, str], tuple[Row, int, int]] = {}
    newest: dict[tuple[str, str], int] = {}
    active_rows: dict[tuple[str, str], tuple[int, int]] = {}
    for row in rows:
        place, run_id, uid, _, _, cpus, memory, active, workers, _, stamp, heartbeat = row
        try:
            us = stamps[stamp[:19]] + int(stamp[20:]) if len(stamp) == 26 else stamps.read(stamp)
            if heartbeat is None:
                beat_us = us
            elif len(heartbeat) == 26:
                beat_us = stamps[heartbeat[:19]] + int(heartbeat[20:])
            else:
                beat_us = stamps.read(heartbeat)
            finite = -TOO_MUCH < cpus + memory + active + workers < TOO_MUCH
        except (ValueError, TypeError):
            us = _stamp(runs, NODE, row, stamp)
            beat_us = us if us < 0 or heartbeat is None else _stamp(runs, NODE, row, heartbeat)
            if beat_us < 0:
                continue
            finite = False
        if not finite and not usable((cpus, memory, active, workers)):
            runs.reject(NODE, "number", row)
            continue
        if run_id.__class__ is not str or not run_id or uid is None or uid == "":
            runs.reject(NODE, "key", row)
            continue
        key = (run_id, uid)
        if key not in last or place > last[key][0][0]:
            last[key] = (row, us, beat_us)
        if us > newest.get(key, -1):
            newest[key] = us
        if active:
            low, high = active_rows.get(key, (place, place))
            active_rows[key] = min(low, place), max(high, place)
    for key, (row, us, beat_us) in last.items():
        manager = _take_manager(runs, row, us, beat_us, newest[key], now)
        if manager is not None and key in active_rows:
            manager.take_active(*active_rows[key])


def _take_manager(
    runs: Runs, row: Row, us: int, heartbeat_us: int, newest_us: int, now: float
) -> Manager | None:
    place, _, uid, hostname, block_id, cpus, memory, active, workers, python, _, _ = row
    run = _run(runs, NODE, row, now)
    if run is None:
        return None
    names = runs.names
    snapshot = NodeRow(
        place,
        names[hostname],
        names[block_id],
        cpus or 0.0,
        memory or 0.0,
        bool(active),
        workers or 0.0,
        names[python],
        us,
        heartbeat_us,
    )
    run.host(snapshot.hostname)
    manager = run.managers.get(names[uid])
    if manager is None:
        manager = run.managers[names[uid]] = Manager(snapshot)
    manager.take(snapshot, newest_us)
    run.newest_us = max(run.newest_us, newest_us)
    return manager


ONE_BY_ONE: dict[str, Callable[[Runs, Sequence[Row], float], None]] = {
    WORKFLOW.name: take_workflow,
    BLOCK.name: take_block,
    NODE.name: take_node,
}


def _stamp(runs: Runs, table: Table, row: Row, value: object) -> int:
    """Microseconds of a stamp; -1 when it is none, and the row is rejected then."""
    try:
        us = runs.stamps.read(value)
    except ValueError:
        us = -1
    if us < 0:
        runs.reject(table, "timestamp", row)
    return us


def _run(runs: Runs, table: Table, row: Row, now: float) -> Run | None:
    """The run that a row belongs to, seen; None when it is of no interest, or the row is rejected."""
    run_id = row[1]
    if not isinstance(run_id, str) or not run_id:
        runs.reject(table, "key", row)
        return None
    run = runs.run(run_id, now)
    if run is not None:
        run.seen_row(now)
    return run
