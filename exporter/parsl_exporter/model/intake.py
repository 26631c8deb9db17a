"""Rows in: folds the rows of one table into the runs that they belong to.

These loops see every row of a database once, millions in a first read: what can be decided later is decided
when a task is settled, and a row like the one before is not looked at twice. A row that cannot be used is
rejected with a reason from `REASONS` and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from parsl_exporter.model.blocks import Entry
from parsl_exporter.model.managers import Manager, NodeRow
from parsl_exporter.model.placing import placed, readings_of, signed
from parsl_exporter.model.run import Info, Run
from parsl_exporter.model.tasks import ON_BLOCK, WORKER_STATES, Task, Try, failure_class, is_id
from parsl_exporter.model.usage import TOO_MUCH, Usage, usable
from parsl_exporter.model.writers import SUBMIT
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
        begin = readings_of(runs, WORKFLOW, row, began)
        if begin is None:
            continue
        end = None if completed in (None, "") else readings_of(runs, WORKFLOW, row, completed)
        if end is None and completed not in (None, ""):
            continue
        run = _run(runs, WORKFLOW, row, now)
        if run is None:
            continue
        end_us, end_again_us = (None, None) if end is None else end
        info = Info(
            names[workflow],
            names[version],
            names[host],
            names[user],
            names[rundir],
            begin.first,
            end_us,
            end_again_us,
        )
        info = info.ending_after(run.newest_status_us)
        if info != run.info:
            run.info = info
            run.touch(now)
            runs.heard(run, info.begin_us)
            runs.heard(run, info.end_us or 0)


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
            run.placed.add(one.executor)
        if hostname:
            one.host = names[hostname]
        if history and history.__class__ is str:
            one.failure = runs.failure_label(failure_class(history))
        run.touched[task_id] = task


def take_status(runs: Runs, rows: Sequence[Row], now: float) -> None:
    """Take status rows: the stamps of each state of a try."""
    stamps, names = runs.stamps, runs.names
    run: Run | None = None
    newest = 0
    for row in rows:
        _, run_id, task_id, try_id, state, stamp = row
        try:
            us = stamps[stamp[:19]] + int(stamp[20:]) if len(stamp) == 26 else stamps.marked(stamp)
        except (ValueError, TypeError):
            if readings_of(runs, STATUS, row, stamp) is None:
                continue
            us = stamps.marked(stamp)
        if run is None or run_id != run.run_id:
            if run is not None and newest:
                runs.took(run, STATUS, newest)
            run = _run(runs, STATUS, row, now)
            if run is None:
                continue
            tasks, touched, newest = run.tasks, run.touched, 0
            plain_until = runs.plain_until(run, us)
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
        if not 0 <= us < plain_until:
            us = placed(runs, run, STATUS, row, us, one.executor if state in WORKER_STATES else SUBMIT)
            if us < 0:
                continue
            plain_until = signed(runs, run, STATUS, us, one if state in ON_BLOCK else None)
        elif us > newest:
            newest = us
        if task.partly_closed:
            _late(runs, run, STATUS, task, one)
        state = names[state]
        if state in one.first:
            one.again(state, us)
        else:
            one.first[state] = us
        one.seen = now
        touched[task_id] = task
    if run is not None and newest:
        runs.took(run, STATUS, newest)


def take_resource(runs: Runs, rows: Sequence[Row], now: float) -> None:
    """Take resource samples."""
    stamps = runs.stamps
    run: Run | None = None
    newest = 0
    for row in rows:
        _, run_id, task_id, try_id, stamp, children, user, system, virtual, resident = row[:10]
        try:
            us = stamps[stamp[:19]] + int(stamp[20:]) if len(stamp) == 26 else stamps.marked(stamp)
        except (ValueError, TypeError):
            if readings_of(runs, RESOURCE, row, stamp) is None:
                continue
            us = stamps.marked(stamp)
        cumulative = (user, system, *row[10:])
        try:
            finite = -TOO_MUCH < sum(cumulative) + children + virtual + resident < TOO_MUCH
        except TypeError:
            finite = False
        if not finite and not usable(row[5:]):
            runs.reject(RESOURCE, "number", row)
            continue
        if run is None or run_id != run.run_id:
            if run is not None and newest:
                runs.took(run, RESOURCE, newest)
            run = _run(runs, RESOURCE, row, now)
            if run is None:
                continue
            newest, plain_until = 0, runs.plain_until(run, us)
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
        if not 0 <= us < plain_until:
            us = placed(runs, run, RESOURCE, row, us, one.executor)
            if us < 0:
                continue
            plain_until = signed(runs, run, RESOURCE, us, one)
        elif us > newest:
            newest = us
        if task.partly_closed:
            _late(runs, run, RESOURCE, task, one)
        usage = one.usage
        if usage is None:
            one.usage = Usage(us, children, virtual, resident, cumulative)
        else:
            usage.add(us, children, virtual, resident, cumulative)
        one.seen = now
        run.touched[task_id] = task
    if run is not None and newest:
        runs.took(run, RESOURCE, newest)


def take_block(runs: Runs, rows: Sequence[Row], now: float) -> None:
    """Take block rows; the position in the table is their order."""
    names = runs.names
    for row in rows:
        place, _, executor, block_id, job_id, stamp, state = row
        readings = readings_of(runs, BLOCK, row, stamp)
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
        runs.took(run, BLOCK, us)


def take_node(runs: Runs, rows: Sequence[Row], now: float) -> None:
    """Take node rows: snapshots of managers, of which the last inserted counts.

    There are two a task, nearly all alike: of each manager only the last row of a batch is looked at closely.
    """
    stamps = runs.stamps
    run: Run | None = None
    heard = 0
    last: dict[tuple[str, str], tuple[Row, int, int]] = {}
    newest: dict[tuple[str, str], int] = {}
    for row in rows:
        place, run_id, uid, _, _, cpus, memory, active, workers, _, stamp, heartbeat = row
        try:
            us = stamps[stamp[:19]] + int(stamp[20:]) if len(stamp) == 26 else stamps.marked(stamp)
            if heartbeat is None:
                beat_us = us
            elif len(heartbeat) == 26:
                beat_us = stamps[heartbeat[:19]] + int(heartbeat[20:])
            else:
                beat_us = stamps.marked(heartbeat)
            finite = -TOO_MUCH < cpus + memory + active + workers < TOO_MUCH
        except (ValueError, TypeError):
            if readings_of(runs, NODE, row, stamp) is None:
                continue
            if heartbeat is not None and readings_of(runs, NODE, row, heartbeat) is None:
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
            heard, plain_until = 0, runs.plain_until(run, us)
        if not 0 <= us < plain_until:
            us = placed(runs, run, NODE, row, us, SUBMIT)
            plain_until = signed(runs, run, NODE, us, None)
        elif us > heard:
            heard = us
        if heartbeat is None:
            beat_us = us
        elif beat_us < 0:
            readings = stamps.readings(heartbeat)
            beat_us = readings.again if readings.again <= us else readings.first
        key = (run_id, uid)
        if key not in last or place > last[key][0][0]:
            last[key] = (row, us, beat_us)
        if us > newest.get(key, -1):
            newest[key] = us
    if run is not None:
        runs.heard(run, heard)
    for key, (row, us, beat_us) in last.items():
        _take_manager(runs, row, us, beat_us, newest[key], now)


def _take_manager(runs: Runs, row: Row, us: int, heartbeat_us: int, newest_us: int, now: float) -> None:
    place, _, uid, hostname, block_id, cpus, memory, active, workers, python, _, _ = row
    run = _run(runs, NODE, row, now)
    if run is None:
        return
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
    runs.took(run, NODE, newest_us)


INTAKES: dict[str, Callable[[Runs, Sequence[Row], float], None]] = {
    WORKFLOW.name: take_workflow,
    TASK.name: take_task,
    TRY.name: take_try,
    STATUS.name: take_status,
    RESOURCE.name: take_resource,
    BLOCK.name: take_block,
    NODE.name: take_node,
}


def _run(runs: Runs, table: Table, row: Row, now: float) -> Run | None:
    """The run that a row belongs to, touched; None when it is of no interest, or the row is rejected."""
    run_id = row[1]
    if not isinstance(run_id, str) or not run_id:
        runs.reject(table, "key", row)
        return None
    run = runs.run(run_id, now)
    if run is not None:
        if table in (WORKFLOW, TASK, TRY):  # those are read again by key, which is no sign of life
            run.changed = run.changed or table is not WORKFLOW
        else:
            run.changed = True
            if not runs.last_call:  # which takes what came before
                run.seen = now
    return run


def _task(runs: Runs, run: Run, table: Table, row: Row) -> Task | None:
    """The new record of a task seen for the first time; None when the row was set aside or rejected."""
    task_id = row[2]
    if not is_id(task_id) or (table is not TASK and not is_id(row[3])):
        runs.reject(table, "key", row)
        return None
    if task_id in run.retired:
        runs.set_aside(run, task_id, table, row)
        return None
    task = run.tasks[task_id] = Task()
    return task


def _try(runs: Runs, task: Task, table: Table, row: Row) -> Try | None:
    """The new record of a try seen for the first time; None when the row is rejected."""
    if not is_id(row[3]):
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
