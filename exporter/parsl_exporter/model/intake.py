"""Rows in: folds the rows of one table into the runs that they belong to.

These loops see every row of a database once, millions in a first read: what can be decided later is decided
when a task is settled, and a row like the one before is not looked at twice. A row that cannot be used is
rejected with a reason from `REASONS` and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from parsl_exporter.model.blocks import Entry
from parsl_exporter.model.managers import Manager, NodeRow
from parsl_exporter.model.run import Info, Run
from parsl_exporter.model.tasks import Task, Try, failure_class
from parsl_exporter.model.usage import TOO_MUCH, Usage, usable
from parsl_exporter.tables import BLOCK, NODE, RESOURCE, STATUS, TASK, TRY, WORKFLOW, Row, Table

if TYPE_CHECKING:
    from parsl_exporter.model.runs import Runs

REASONS = ("key", "timestamp", "number", "size")
"""Why a row is rejected: NULL or no identifier where a key belongs, no time, no finite number, too much to read."""


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
            run.info = info
            run.touch(now)


def take_task(runs: Runs, rows: Sequence[Row], now: float) -> None:
    """Take task rows: the app of each task."""
    names = runs.names
    run: Run | None = None
    for row in rows:
        _, run_id, task_id, function = row
        if run is None or run_id != run.run_id:
            run = _run(runs, TASK, row, now)
            if run is None:
                continue
        task = run.tasks.get(task_id)
        if task is None:
            task = _task(runs, run, TASK, row)
            if task is None:
                continue
        if task.partly_closed:
            _late(runs, run, TASK, task, None)
        app = names[function]
        label = run.apps.get(app)
        if label is None:
            label = runs.label(run, app)
        task.app = label
        run.touched[task_id] = task


def take_try(runs: Runs, rows: Sequence[Row], now: float) -> None:
    """Take try rows; a row seen before brings what was updated in it (hostname, block, failure)."""
    names = runs.names
    run: Run | None = None
    for row in rows:
        _, run_id, task_id, try_id, executor, block_id, hostname, history = row
        if run is None or run_id != run.run_id:
            run = _run(runs, TRY, row, now)
            if run is None:
                continue
        task = run.tasks.get(task_id)
        if task is None:
            task = _task(runs, run, TRY, row)
            if task is None:
                continue
        one = task.tries.get(try_id)
        if one is None:
            one = _try(runs, task, TRY, row)
            if one is None:
                continue
            one.seen = now
        if one.closed:
            _late(runs, run, TRY, task, one)
        one.executor = names[executor]
        if block_id:
            one.block = names[block_id]
        if hostname:
            one.host = names[hostname]
        if history and history.__class__ is str:
            one.failure = runs.failure_label(run, failure_class(history))
        run.touched[task_id] = task


def take_status(runs: Runs, rows: Sequence[Row], now: float) -> None:
    """Take status rows: the stamps of each state of a try."""
    stamps, names = runs.stamps, runs.names
    run: Run | None = None
    newest = 0
    for row in rows:
        _, run_id, task_id, try_id, state, stamp = row
        try:
            us = stamps[stamp[:19]] + int(stamp[20:]) if len(stamp) == 26 else stamps.read(stamp)
        except (ValueError, TypeError):
            us = _stamp(runs, STATUS, row, stamp)
            if us < 0:
                continue
        if run is None or run_id != run.run_id:
            if run is not None and newest > run.newest_us:
                run.newest_us = newest
            run = _run(runs, STATUS, row, now)
            if run is None:
                continue
            tasks, touched, newest = run.tasks, run.touched, 0
        task = tasks.get(task_id)
        if task is None:
            task = _task(runs, run, STATUS, row)
            if task is None:
                continue
        one = task.tries.get(try_id)
        if one is None:
            one = _try(runs, task, STATUS, row)
            if one is None:
                continue
        if task.partly_closed:
            _late(runs, run, STATUS, task, one)
        state = names[state]
        if state in one.first:
            one.again(state, us)
        else:
            one.first[state] = us
        if us > newest:
            newest = us
        one.seen = now
        touched[task_id] = task
    if run is not None and newest > run.newest_us:
        run.newest_us = newest


def take_resource(runs: Runs, rows: Sequence[Row], now: float) -> None:
    """Take resource samples."""
    stamps = runs.stamps
    run: Run | None = None
    for row in rows:
        _, run_id, task_id, try_id, stamp, children, user, system, virtual, resident = row[:10]
        try:
            us = stamps[stamp[:19]] + int(stamp[20:]) if len(stamp) == 26 else stamps.read(stamp)
        except (ValueError, TypeError):
            us = _stamp(runs, RESOURCE, row, stamp)
            if us < 0:
                continue
        cumulative = (user, system, *row[10:])
        try:
            finite = -TOO_MUCH < sum(cumulative) + children + virtual + resident < TOO_MUCH
        except TypeError:
            finite = False
        if not finite and not usable(row[5:]):
            runs.reject(RESOURCE, "number", row)
            continue
        if run is None or run_id != run.run_id:
            run = _run(runs, RESOURCE, row, now)
            if run is None:
                continue
        task = run.tasks.get(task_id)
        if task is None:
            task = _task(runs, run, RESOURCE, row)
            if task is None:
                continue
        one = task.tries.get(try_id)
        if one is None:
            one = _try(runs, task, RESOURCE, row)
            if one is None:
                continue
        if task.partly_closed:
            _late(runs, run, RESOURCE, task, one)
        usage = one.usage
        if usage is None:
            one.usage = Usage(us, children, virtual, resident, cumulative)
        else:
            usage.add(us, children, virtual, resident, cumulative)
        if us > run.newest_us:
            run.newest_us = us
        one.seen = now
        run.touched[task_id] = task


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
    run.host(snapshot.hostname).named = True
    manager = run.managers.get(names[uid])
    if manager is None:
        manager = run.managers[names[uid]] = Manager(snapshot)
    manager.take(snapshot, newest_us)
    run.newest_us = max(run.newest_us, newest_us)
    return manager


INTAKES: dict[str, Callable[[Runs, Sequence[Row], float], None]] = {
    WORKFLOW.name: take_workflow,
    TASK.name: take_task,
    TRY.name: take_try,
    STATUS.name: take_status,
    RESOURCE.name: take_resource,
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
    """The run that a row belongs to, touched; None when it is of no interest, or the row is rejected."""
    run_id = row[1]
    if not isinstance(run_id, str) or not run_id:
        runs.reject(table, "key", row)
        return None
    run = runs.run(run_id, now)
    if run is not None:
        run.touch(now)
    return run


def _integer(value: Any) -> bool:
    return isinstance(value, int) and value >= 0


def _task(runs: Runs, run: Run, table: Table, row: Row) -> Task | None:
    """The new record of a task seen for the first time; None when the row was set aside or rejected."""
    task_id = row[2]
    if not _integer(task_id) or (table is not TASK and not _integer(row[3])):
        runs.reject(table, "key", row)
        return None
    if task_id in run.retired:
        runs.set_aside(run, task_id, table, row)
        return None
    task = run.tasks[task_id] = Task()
    return task


def _try(runs: Runs, task: Task, table: Table, row: Row) -> Try | None:
    """The new record of a try seen for the first time; None when the row is rejected."""
    if not _integer(row[3]):
        runs.reject(table, "key", row)
        return None
    one = task.tries[row[3]] = Try()
    return one


def _late(runs: Runs, run: Run, table: Table, task: Task, one: Try | None) -> None:
    """A row of a task some of whose tries are closed."""
    if not run.published:
        run.reopen(task)
    elif one is not None and one.closed:
        runs.late[table.name] += 1
