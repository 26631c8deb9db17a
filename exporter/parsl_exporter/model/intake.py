"""Rows in: what rows of each table become for the model, and which cannot be used.

Rows of tasks and tries become columns (`columns.py`); workflow, block and node rows, of which there are few or of
which few count, are taken one by one. A row that cannot be used is rejected with a reason from `REJECTION_REASONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import compress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from parsl_exporter.base.columns import (
    TOO_MUCH,
    Columns,
    Ints,
    Mask,
    Named,
    SampleColumns,
    StatusColumns,
    TaskColumns,
    TryColumns,
)
from parsl_exporter.base.tables import BLOCK, NODE, RESOURCE, STATUS, TASK, TRY, WORKFLOW, Row, Table
from parsl_exporter.model.blocks import Entry
from parsl_exporter.model.managers import Manager, NodeRow
from parsl_exporter.model.run import Info, Run
from parsl_exporter.model.timestamps import NO_STAMP, Readings, Stamps
from parsl_exporter.model.usage import usable
from parsl_exporter.model.writers import SUBMIT

if TYPE_CHECKING:
    from parsl_exporter.model.taking import Taking

REJECTION_REASONS = ("key", "timestamp", "number", "size")
"""Why a row is rejected: NULL or no identifier where a key belongs, no time, no finite number, too much to read."""
_GREATEST = (1 << 63) - 1

Reject = Callable[[Table, str, Row], None]


class PlacedColumns(NamedTuple):
    """Rows of one run in columns, and their places in the order of insertion."""

    run_id: str
    columns: Columns
    places: Ints


def columns_of(
    table: Table, rows: Sequence[Row], stamps: Stamps, reject: Reject, others: Sequence[Stamps] = ()
) -> Iterator[PlacedColumns]:
    """Give the rows of the task tables in columns, run by run, stamps in naive microseconds; reject what is none.

    `others` may read the stamps as well: one that is none for any of them is rejected.
    """
    if table is STATUS or table is RESOURCE:
        at = stamps.naive([row[5 if table is STATUS else 4] for row in rows])
        good = at != NO_STAMP
        for zone in (stamps, *others):
            good &= zone.marked_all(at) != NO_STAMP
        if not good.all():
            for row in compress(rows, (~good).tolist()):
                reject(table, "timestamp", row)
            rows, at = list(compress(rows, good.tolist())), at[good]
    else:
        at = np.empty(0, np.int64)
    if table is RESOURCE:
        numbers = _usable(rows)
        if not numbers.all():
            for row in compress(rows, (~numbers).tolist()):
                reject(table, "number", row)
            rows, at = list(compress(rows, numbers.tolist())), at[numbers]
    keyed = _keyed(table, rows)
    if not all(keyed):
        for row in compress(rows, [not good for good in keyed]):
            reject(table, "key", row)
        rows = list(compress(rows, keyed))
        at = at[keyed] if len(at) else at
    if not rows:
        return
    places = np.array([row[0] for row in rows], np.int64)
    runs: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        runs.setdefault(row[1], []).append(i)
    for run_id, of in runs.items():
        if len(runs) == 1:  # as most polls bring
            yield PlacedColumns(run_id, _columns(table, rows, at), places)
            continue
        part = _columns(table, [rows[i] for i in of], at[of] if len(at) else at)
        yield PlacedColumns(run_id, part, places[of])


def _usable(rows: Sequence[Row]) -> Mask:
    numbers = [row[5:] for row in rows]
    try:
        values = np.array(numbers, np.float64)
        if values.ndim == 2 and not any(isinstance(v, (str, bytes)) for row in numbers for v in row):
            missing = np.array([[v is None for v in row] for row in numbers])
            return np.asarray(((np.abs(values) < TOO_MUCH) | missing).all(axis=1))
    except (TypeError, ValueError, OverflowError):
        pass
    return np.array([usable(row) for row in numbers])


def _integer(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value <= _GREATEST


def _keyed(table: Table, rows: Sequence[Row]) -> list[bool]:
    """Say of each row whether it names a run, a task and, but for a task row, a try."""
    ids = slice(2, 3 if table is TASK else 4)
    return [row[1].__class__ is str and row[1] != "" and all(map(_integer, row[ids])) for row in rows]


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


def take_workflow(runs: Taking, stamps: Stamps, rows: Sequence[Row], now: float) -> None:
    """Take workflow rows; a row seen before brings what was updated in it."""
    names = runs.names
    for row in rows:
        _, _, workflow, version, began, completed, host, user, rundir = row
        begin = _readings(runs, stamps, WORKFLOW, row, began)
        if begin is None:
            continue
        end = None if completed in (None, "") else _readings(runs, stamps, WORKFLOW, row, completed)
        if end is None and completed not in (None, ""):
            continue
        run = _run(runs, WORKFLOW, row, now)
        if run is None:
            continue
        info = Info(
            names[workflow],
            names[version],
            names[host],
            names[user],
            names[rundir],
            begin.first,
            *((None, None) if end is None else end),
        ).ending_after(run.newest_of.get(STATUS.name, 0))
        if info != run.info:
            run.learn(info)
            run.changed = True
            run.seen = now
            runs.heard(run, info.begin_us)
            runs.heard(run, info.end_us or 0)


def take_block(runs: Taking, stamps: Stamps, rows: Sequence[Row], now: float) -> None:
    """Take block rows; the position in the table is their order."""
    names = runs.names
    for row in rows:
        place, _, executor, block_id, job_id, stamp, state = row
        readings = _readings(runs, stamps, BLOCK, row, stamp)
        if readings is None:
            continue
        if block_id is None or block_id == "":
            runs.reject(BLOCK, "key", row)
            continue
        run = _run(runs, BLOCK, row, now)
        if run is None:
            continue
        us = run.writers.read(BLOCK.name, SUBMIT, place, readings)
        label, block = names[executor], names[block_id]
        run.block(label, block).take(Entry(place, us, names[state], names[job_id]))
        run.executors_of_block.setdefault(block, set()).add(label)
        run.note_first(us)
        runs.took(run, us)


def take_node(runs: Taking, stamps: Stamps, rows: Sequence[Row], now: float) -> None:
    """Take node rows: snapshots of managers, of which the last inserted counts.

    There are two a task, nearly all alike: of each manager on a host only the last row of a batch is looked at closely.
    """
    run: Run | None = None
    heard = 0
    last: dict[tuple[str, str, object], tuple[Row, int, int]] = {}
    newest: dict[tuple[str, str, object], int] = {}
    active_rows: dict[tuple[str, str, object], tuple[int, int]] = {}
    for row in rows:
        place, run_id, uid, hostname, _, cpus, memory, active, workers, _, stamp, heartbeat = row
        try:
            us = _us(stamps, stamp)
            beat_us = us if heartbeat is None else _us(stamps, heartbeat)
            finite: bool = -TOO_MUCH < cpus + memory + active + workers < TOO_MUCH
        except (ValueError, TypeError):
            if _readings(runs, stamps, NODE, row, stamp) is None:
                continue
            if heartbeat is not None and _readings(runs, stamps, NODE, row, heartbeat) is None:
                continue
            us = stamps.marked(stamp)
            beat_us = us if heartbeat is None else stamps.marked(heartbeat)
            finite = False
        if not finite and not usable((cpus, memory, active, workers)):
            runs.reject(NODE, "number", row)
            continue
        if run_id.__class__ is not str or not run_id or uid is None or uid == "":
            runs.reject(NODE, "key", row)
            continue
        if run is None or run_id != run.run_id:
            if run is not None:
                runs.heard(run, heard)
            run = _run(runs, NODE, row, now)
            if run is None:
                continue
            heard, watched = 0, runs.watched_from(run, stamps, us)
        if not 0 <= us < watched:
            us = run.writers.read(NODE.name, SUBMIT, place, stamps.readings(stamp))
        if us > runs.wall_us:
            runs.heard(run, us)
        elif us > heard:
            heard = us
        if heartbeat is None:
            beat_us = us
        elif beat_us < 0:
            readings = stamps.readings(heartbeat)
            beat_us = readings.again if readings.again <= us else readings.first
        key = (run_id, uid, hostname)
        if key not in last or place > last[key][0][0]:
            last[key] = (row, us, beat_us)
        if us > newest.get(key, -1):
            newest[key] = us
        if active:
            low, high = active_rows.get(key, (place, place))
            active_rows[key] = min(low, place), max(high, place)
    if run is not None:
        runs.heard(run, heard)
    for key, (row, us, beat_us) in last.items():
        manager = _take_manager(runs, row, us, beat_us, newest[key], now)
        if manager is not None and key in active_rows:
            manager.take_active(*active_rows[key])


def _us(stamps: Stamps, stamp: str) -> int:
    """What `Stamps.marked` gives, quickly for a stamp as Parsl writes it; less than 0 for one that came twice."""
    return stamps[stamp[:19]] + int(stamp[20:]) if len(stamp) == 26 else stamps.marked(stamp)


def _take_manager(
    runs: Taking, row: Row, us: int, heartbeat_us: int, newest_us: int, now: float
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
    manager.take(snapshot, min(newest_us, runs.wall_us))
    run.newest_us = max(run.newest_us, newest_us)
    return manager


ONE_BY_ONE: dict[str, Callable[[Taking, Stamps, Sequence[Row], float], None]] = {
    WORKFLOW.name: take_workflow,
    BLOCK.name: take_block,
    NODE.name: take_node,
}


def _readings(runs: Taking, stamps: Stamps, table: Table, row: Row, value: object) -> Readings | None:
    """What a stamp may mean; None when it is none, and the row is rejected then."""
    try:
        return stamps.readings(value)
    except ValueError:
        runs.reject(table, "timestamp", row)
        return None


def _run(runs: Taking, table: Table, row: Row, now: float) -> Run | None:
    """The run that a row belongs to; None when it is of no interest, or the row is rejected.

    A workflow row is read again by key, which is no sign of life.
    """
    run_id = row[1]
    if not isinstance(run_id, str) or not run_id:
        runs.reject(table, "key", row)
        return None
    run = runs.run(run_id, now)
    if run is not None and table is not WORKFLOW:
        run.changed = True
        run.seen = now
    return run
