"""Rows in: folds the rows of one table into the runs that they belong to.

These loops see every row of a database once, millions in a first read: what can be decided later is decided
when a task is settled. A row that cannot be used is rejected with a reason from `REASONS` and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from parsl_exporter.model.blocks import Entry
from parsl_exporter.model.managers import Manager, NodeRow
from parsl_exporter.model.names import name
from parsl_exporter.model.run import Info, Run
from parsl_exporter.model.tasks import Span, Task, Try, failure_class
from parsl_exporter.model.usage import Usage, usable
from parsl_exporter.tables import BLOCK, NODE, RESOURCE, STATUS, TASK, TRY, WORKFLOW, Row

if TYPE_CHECKING:
    from parsl_exporter.model.runs import Runs

REASONS = ("key", "timestamp", "number")
"""Why a row is rejected: NULL or no identifier where a key belongs, no time, no finite number."""

_NOTHING = Task()


def _integer(value: Any) -> bool:
    return isinstance(value, int) and value >= 0


def _number(value: Any) -> float | None:
    """A finite number, 0 for NULL; None when the value is something else."""
    if value is None:
        return 0.0
    return value if usable((value,)) else None


def _keyed(run_id: Any, task_id: Any, try_id: Any = 0) -> bool:
    return isinstance(run_id, str) and run_id != "" and _integer(task_id) and _integer(try_id)


def take_workflow(runs: Runs, rows: Sequence[Row], now: float) -> None:
    """Take workflow rows; a row seen before brings what was updated in it."""
    for row in rows:
        _, run_id, workflow, version, began, completed, host, user, rundir = row
        if not isinstance(run_id, str) or not run_id:
            runs.reject(WORKFLOW, "key", row)
            continue
        try:
            begin_us = runs.stamps.read(began)
            end_us = None if completed in (None, "") else runs.stamps.read(completed)
        except ValueError:
            runs.reject(WORKFLOW, "timestamp", row)
            continue
        run = runs.run(run_id, now)
        if run is None:
            continue
        info = Info(name(workflow), name(version), name(host), name(user), name(rundir), begin_us, end_us)
        if info != run.info:
            run.info = info
            run.last_us = max(run.last_us, begin_us, end_us or 0)
            runs.touch(run)


def take_task(runs: Runs, rows: Sequence[Row], now: float) -> None:
    """Take task rows: the app of each task."""
    current: str | None = None
    run: Run | None = None
    for row in rows:
        run_id, task_id = row[1], row[2]
        if run_id != current or run is None:
            if not _keyed(run_id, task_id):
                runs.reject(TASK, "key", row)
                continue
            run = runs.run(run_id, now)
            if run is None:
                continue
            current = run_id
            runs.touch(run)
        task = run.tasks.get(task_id)
        if task is None:
            task = _task(runs, run, TASK, row)
            if task is None:
                continue
        if task.partly_closed:
            _late(runs, run, TASK, task, None)
        app = name(row[3])
        label = run.apps.get(app)
        if label is None:
            label, folded = run.app_label(app)
            if folded:
                runs.fold((run_id, app))
        task.app = label
        run.touched[task_id] = task


def take_try(runs: Runs, rows: Sequence[Row], now: float) -> None:
    """Take try rows; a row seen before brings what was updated in it (hostname, block, failure)."""
    current: str | None = None
    run: Run | None = None
    for row in rows:
        _, run_id, task_id, try_id, executor, block_id, hostname, history, _ = row
        if run_id != current or run is None or try_id.__class__ is not int:
            if not _keyed(run_id, task_id, try_id):
                runs.reject(TRY, "key", row)
                continue
            run = runs.run(run_id, now)
            if run is None:
                continue
            current = run_id
            runs.touch(run)
        task = run.tasks.get(task_id)
        if task is None:
            task = _task(runs, run, TRY, row)
            if task is None:
                continue
        one = task.tries.get(try_id)
        if one is None:
            if not _integer(try_id):
                runs.reject(TRY, "key", row)
                continue
            one = task.tries[try_id] = Try()
            one.seen = now
        if task.partly_closed:
            _late(runs, run, TRY, task, one)
        one.executor = name(executor)
        if block_id is not None and block_id != "":
            one.block = name(block_id)
        if hostname is not None and hostname != "":
            one.host = name(hostname)
        if history is not None and history.__class__ is str:
            one.failure = runs.failure_label(failure_class(history))
        run.touched[task_id] = task


def take_status(runs: Runs, rows: Sequence[Row], now: float) -> None:
    """Take status rows: each is counted once, its stamp widens the span of its state in its try."""
    current: str | None = None
    run: Run | None = None
    seconds = runs.stamps
    for row in rows:
        _, run_id, task_id, try_id, state, stamp = row
        try:
            us = seconds[stamp[:19]] + int(stamp[20:]) if len(stamp) == 26 else seconds.read(stamp)
        except (ValueError, TypeError):
            us = _stamp(runs, STATUS, row, stamp)
            if us < 0:
                continue
        if run_id != current or run is None:
            if not _keyed(run_id, task_id, try_id):
                runs.reject(STATUS, "key", row)
                continue
            run = runs.run(run_id, now)
            if run is None:
                continue
            current = run_id
            tasks, touched = run.tasks, run.touched
            runs.touch(run)
        task = tasks.get(task_id, _NOTHING)
        if task is _NOTHING:
            found = _task(runs, run, STATUS, row)
            if found is None:
                continue
            task = found
        one = task.tries.get(try_id)
        if one is None:
            if not _integer(try_id):
                runs.reject(STATUS, "key", row)
                continue
            one = task.tries[try_id] = Try()
        if task.partly_closed:
            _late(runs, run, STATUS, task, one)
        span = one.spans.get(state)
        if span is None:
            state = name(state)
            span = one.spans.get(state)
        if span is None:
            one.spans[state] = Span(us)
        else:
            span.rows += 1
            span.first = min(span.first, us)
            span.last = max(span.last, us)
        if us > one.latest:
            one.latest = us
            run.last_us = max(run.last_us, us)
        one.seen = now
        touched[task_id] = task


def take_resource(runs: Runs, rows: Sequence[Row], now: float) -> None:
    """Take resource samples."""
    current: str | None = None
    run: Run | None = None
    seconds = runs.stamps
    for row in rows:
        _, run_id, task_id, try_id, stamp, children, user, system, virtual, resident, *rest = row
        try:
            us = seconds[stamp[:19]] + int(stamp[20:]) if len(stamp) == 26 else seconds.read(stamp)
        except (ValueError, TypeError):
            us = _stamp(runs, RESOURCE, row, stamp)
            if us < 0:
                continue
        if not usable(row[5:]):
            runs.reject(RESOURCE, "number", row)
            continue
        if run_id != current or run is None:
            if not _keyed(run_id, task_id, try_id):
                runs.reject(RESOURCE, "key", row)
                continue
            run = runs.run(run_id, now)
            if run is None:
                continue
            current = run_id
            runs.touch(run)
        task = run.tasks.get(task_id)
        if task is None:
            task = _task(runs, run, RESOURCE, row)
            if task is None:
                continue
        one = task.tries.get(try_id)
        if one is None:
            if not _integer(try_id):
                runs.reject(RESOURCE, "key", row)
                continue
            one = task.tries[try_id] = Try()
        if task.partly_closed:
            _late(runs, run, RESOURCE, task, one)
        if one.usage is None:
            one.usage = Usage(us, children, virtual, resident, (user, system, *rest))
        else:
            one.usage.add(us, children, virtual, resident, (user, system, *rest))
        if us > one.latest:
            one.latest = us
            run.last_us = max(run.last_us, us)
        one.seen = now
        run.touched[task_id] = task


def take_block(runs: Runs, rows: Sequence[Row], now: float) -> None:
    """Take block rows; the position in the table is their order."""
    for row in rows:
        place, run_id, executor, block_id, job_id, stamp, state = row
        us = _stamp(runs, BLOCK, row, stamp)
        if us < 0:
            continue
        if not isinstance(run_id, str) or not run_id or block_id is None or block_id == "":
            runs.reject(BLOCK, "key", row)
            continue
        run = runs.run(run_id, now)
        if run is None:
            continue
        label, block = name(executor), name(block_id)
        run.block(label, block).take(Entry(place, us, name(state), name(job_id)))
        run.executors_of_block.setdefault(block, set()).add(label)
        run.last_us = max(run.last_us, us)
        runs.touch(run)


def take_node(runs: Runs, rows: Sequence[Row], now: float) -> None:
    """Take node rows: snapshots of managers, of which the last inserted counts."""
    for row in rows:
        place, run_id, uid, hostname, block_id, cpus, memory, active, workers, python, stamp, heartbeat = row
        us = _stamp(runs, NODE, row, stamp)
        if us < 0:
            continue
        if not isinstance(run_id, str) or not run_id or uid is None or uid == "":
            runs.reject(NODE, "key", row)
            continue
        numbers = [_number(v) for v in (cpus, memory, active, workers)]
        if None in numbers:
            runs.reject(NODE, "number", row)
            continue
        heartbeat_us = us if heartbeat is None else _stamp(runs, NODE, row, heartbeat)
        if heartbeat_us < 0:
            continue
        run = runs.run(run_id, now)
        if run is None:
            continue
        snapshot = NodeRow(
            place,
            name(hostname),
            name(block_id),
            numbers[0] or 0.0,
            numbers[1] or 0.0,
            bool(numbers[2]),
            numbers[3] or 0.0,
            name(python),
            us,
            heartbeat_us,
        )
        run.host(snapshot.hostname)
        key = name(uid)
        manager = run.managers.get(key)
        if manager is None:
            run.managers[key] = Manager(snapshot)
        else:
            manager.take(snapshot)
        run.last_us = max(run.last_us, us)
        runs.touch(run)


INTAKES: dict[str, Callable[[Runs, Sequence[Row], float], None]] = {
    WORKFLOW.name: take_workflow,
    TASK.name: take_task,
    TRY.name: take_try,
    STATUS.name: take_status,
    RESOURCE.name: take_resource,
    BLOCK.name: take_block,
    NODE.name: take_node,
}


def _stamp(runs: Runs, table: Any, row: Row, value: object) -> int:
    """Microseconds of a stamp; -1 when it is none, and the row is rejected then."""
    try:
        us = runs.stamps.read(value)
    except ValueError:
        us = -1
    if us < 0:
        runs.reject(table, "timestamp", row)
    return us


def _task(runs: Runs, run: Run, table: Any, row: Row) -> Task | None:
    """The new record of a task seen for the first time; None when the row was set aside or rejected."""
    task_id = row[2]
    if not _integer(task_id):
        runs.reject(table, "key", row)
        return None
    if task_id in run.retired:
        runs.set_aside(run, task_id, table, row)
        return None
    task = run.tasks[task_id] = Task()
    return task


def _late(runs: Runs, run: Run, table: Any, task: Task, one: Try | None) -> None:
    """A row of a task some of whose tries are closed."""
    if not run.published:
        run.reopen(task)
    elif one is not None and one.closed:
        runs.late[table.name] += 1
