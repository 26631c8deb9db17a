"""What the tasks of a run that do not run yet wait for: each task under exactly one cause.

A task in pending waits for `dependencies`, one in launched for what its executor lacks. All is told by sums and by what
blocks and managers are now, so neither the order of rows nor a restart changes it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from parsl_exporter.base.columns import indices
from parsl_exporter.model.blocks import TERMINAL
from parsl_exporter.model.groups import Group
from parsl_exporter.model.names import UNKNOWN
from parsl_exporter.model.run import Run
from parsl_exporter.model.states import EXEC_DONE, LAUNCHED, PENDING, STATES

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
TIMELESS = frozenset({"busy_workers", "untold", "dependencies"})
"""Those in which nothing is wrong, however long it takes."""
_QUEUED = frozenset({"PENDING", "HELD", "UNKNOWN"})


@dataclass(frozen=True, slots=True)
class WaitingTasks:
    """How many tasks wait, and in microseconds UTC since when the longest-waiting does; None where none waits."""

    count: int
    oldest_us: int | None


class _Pool:
    """What an executor has to run tasks on.

    `blocks`: the states of its blocks by id, None for one that only tries name. `slots`: those of its connected
    managers, None without one. `managed`: it had a manager. Of managers whose executor is not known, on blocks of its
    ids: `perhaps_managed`, and `perhaps_connected` when one of them is connected.
    """

    def __init__(self) -> None:
        self.blocks: dict[str, str | None] = {}
        self.slots: float | None = None
        self.managed = self.perhaps_managed = self.perhaps_connected = False


def waiting_tasks(
    run: Run, groups: Sequence[tuple[tuple[str, str], Group]]
) -> Mapping[tuple[str, str], WaitingTasks]:
    """Give the waiting tasks of a run by executor and cause: every cause for each executor of its `groups_of`.

    In a run that is over nothing waits.
    """
    of_executor: defaultdict[str, list[Group]] = defaultdict(list)
    for (_, executor), group in groups:
        of_executor[executor].append(group)
    found = {(executor, cause): WaitingTasks(0, None) for executor in of_executor for cause in CAUSES}
    if run.over:
        return found
    launched = {executor: _in_state(own, LAUNCHED) for executor, own in of_executor.items()}
    pools = _pools(run) if any(tasks.count for tasks in launched.values()) else {}
    untold = not run.ran and _works(run, groups)
    for executor, own in of_executor.items():
        found[executor, "dependencies"] = _in_state(own, PENDING)
        tasks = launched[executor]
        if not tasks.count:
            continue
        pool = pools.get(executor, _Pool())
        cause = "untold" if untold else _cause(run, executor, pool)
        found[executor, cause] = tasks
        idle = min(_free(pool, own), tasks.count) if cause == "busy_workers" else 0
        if idle:
            found[executor, "idle_workers"] = WaitingTasks(idle, tasks.oldest_us)
            found[executor, cause] = _but(run, executor, idle)
    return found


def held_since(run: Run, executor: str, cause: str) -> int:
    """Give since when a cause can hold an executor up, in microseconds UTC; 0 where nothing tells.

    Before, tries ended there or it had other blocks and managers: a task that waits longer waited for something else.
    """
    times = [0, run.ended_on.get(run.names.code(executor), 0)]
    entered: defaultdict[str, list[int]] = defaultdict(list)
    for (own, _), block in run.blocks.items():
        if own == executor and block.entries:
            change = block.changes()[-1]
            entered["over" if change.state in TERMINAL else change.state].append(change.us)
    if cause == "idle_workers":
        return max(times + entered["RUNNING"])
    if cause == "worker_start" and entered["RUNNING"]:
        times.append(min(entered["RUNNING"]))
    if cause == "no_block":
        times += entered["over"]
    for manager in run.managers.values():
        if run.executor_of(manager) == executor and not manager.connected:
            times.append(manager.latest.us)
    return max(times)


def _in_state(groups: Iterable[Group], state: int) -> WaitingTasks:
    name = STATES[state]
    there = [group for group in groups if group.tasks[name]]
    return WaitingTasks(
        sum(group.tasks[name] for group in there),
        min((group.oldest[name] for group in there), default=None),
    )


def _works(run: Run, groups: Iterable[tuple[tuple[str, str], Group]]) -> bool:
    """Say whether a task of the run has run, as its end or a second active row of a manager tells."""
    return any(group.tasks[STATES[EXEC_DONE]] for _, group in groups) or any(
        manager.worked for manager in run.managers.values()
    )


def _pools(run: Run) -> Mapping[str, _Pool]:
    pools: defaultdict[str, _Pool] = defaultdict(_Pool)
    for (executor, block_id), block in run.blocks.items():
        pools[executor].blocks[block_id] = block.state
    for manager in run.managers.values():
        executor = run.executor_of(manager)
        if executor != UNKNOWN:
            pool = pools[executor]
            pool.managed = True
            if manager.connected:
                pool.slots = (pool.slots or 0.0) + manager.latest.workers
            continue
        for pool in pools.values():
            if manager.latest.block_id in pool.blocks:
                pool.perhaps_managed = True
                pool.perhaps_connected |= manager.connected
    return pools


def _cause(run: Run, executor: str, pool: _Pool) -> str:
    """What launched tasks of an executor wait for, in a run that tells of starts: the first that fits.

    With connected managers it is `busy_workers`, and `idle_workers` for as many tasks as slots are free.
    """
    if executor == UNKNOWN or (pool.slots is not None and not run.ran):
        return "unknown"
    unmanaged = not (pool.managed or pool.perhaps_managed)
    if pool.slots is not None or (unmanaged and run.names.code(executor) in run.ran):
        return "busy_workers"
    if pool.perhaps_connected:
        return "unknown"
    states = set(pool.blocks.values())
    if "RUNNING" in states:
        return "worker_start"
    if states & _QUEUED:
        return "batch_queue"
    # No manager has an executor that has no block: its block is what tells the executor.
    return "no_block" if pool.blocks else "unknown"


def _free(pool: _Pool, groups: Iterable[Group]) -> int:
    """Give how many slots of an executor's connected managers run nothing.

    0 where tries run and none was sampled: a pool of ranks (MPI), whose tries may take many slots each.
    """
    groups = list(groups)
    running = sum(group.running for group in groups)
    if pool.slots is None or (running and not any(group.measured for group in groups)):
        return 0
    return max(0, int(pool.slots - running))


def _but(run: Run, executor: str, first: int) -> WaitingTasks:
    """Give the launched tasks of an executor but so many of the longest-waiting; which of equal ones makes no odds."""
    tasks = run.tasks
    own = np.array([name == executor for _, name in run.sums.pairs])
    launched = indices(tasks.shown_state == LAUNCHED)
    since = tasks.shown_since[launched[own[tasks.shown_group[launched]]]]
    if len(since) <= first:
        return WaitingTasks(0, None)
    return WaitingTasks(len(since) - first, int(np.partition(since, first)[first]))
