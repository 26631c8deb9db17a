"""What is known of one run: live tasks in full, finished ones as sums, blocks, managers, hosts.

Times: stamps are microseconds UTC; `now` is seconds of one clock that never steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from parsl_exporter.model.blocks import Block
from parsl_exporter.model.groups import TIMED, Buckets, Group
from parsl_exporter.model.managers import Host, Manager
from parsl_exporter.model.names import OTHER, UNKNOWN
from parsl_exporter.model.offsets import Offsets
from parsl_exporter.model.retired import Retired
from parsl_exporter.model.tasks import DEPENDENCY_ERROR, Running, Shown, Standing, Task, Try
from parsl_exporter.model.usage import CUMULATIVE, SYSTEM, USER
from parsl_exporter.model.writers import Writers
from parsl_exporter.tables import Row


class Limits(NamedTuple):
    """What the model may keep and when it lets go. Seconds, but for the number of apps."""

    close_after: float
    retention: float
    abandon_after: float
    apps: int


class Info(NamedTuple):
    """The run's workflow row; `end_us` is None while time_completed is NULL.

    `end_again_us` is the other reading of an end in an hour that came twice.
    """

    name: str
    version: str
    host: str
    user: str
    rundir: str
    begin_us: int
    end_us: int | None
    end_again_us: int | None = None

    def ending_after(self, status_us: int) -> Info:
        """The same with an end that is not before the newest status row, where it can be read so."""
        if self.end_us is None or self.end_again_us is None or self.end_us >= status_us:
            return self
        return self._replace(end_us=self.end_again_us)


class RunSums:
    """One run of one database. `published` says whether anything of it has been shown.

    `heard_us`: when a row of it was last taken, see `Runs.heard`. `clock_ahead`: a row was stamped later than that.
    `waiting`: rows, by table, whose stamps cannot be read before others have come. `placed`: executors with a block.
    """

    def __init__(self, run_id: str, buckets: Buckets, limits: Limits) -> None:
        self.run_id = run_id
        self.info: Info | None = None
        self.tasks: dict[int, Task] = {}
        self.retired = Retired()
        self.touched: dict[int, Task] = {}
        self.groups: dict[tuple[str, str], Group] = {}
        self.blocks: dict[tuple[str, str], Block] = {}
        self.executors_of_block: dict[str, set[str]] = {}
        self.executors_seen_on: dict[tuple[str, str], set[str]] = {}
        self.managers: dict[str, Manager] = {}
        self.hosts: dict[str, Host] = {}
        self.apps: dict[str, str] = {}
        self.newest_us = 0
        self.newest_status_us = 0
        self.heard_us = 0
        self.clock_ahead = False
        self.writers = Writers()
        self.watched: dict[int, int] = {}
        self.waiting: dict[str, list[Row]] = {}
        self.placed: set[str] = set()
        self.offsets = Offsets()
        self.seen = 0.0
        self.over_since: float | None = None
        self.published = False
        self.changed = True
        self.forget_at = float("inf")
        self.unplaced_cpu = 0.0
        self.asking: dict[tuple[int, int], Try] = {}
        self.buckets = buckets
        self._limits = limits

    @property
    def last_us(self) -> int:
        """Microseconds of the newest of its rows, its begin and its end as it is now; 0 when it has none."""
        if self.info is None:
            return self.newest_us
        return max(self.newest_us, self.info.begin_us, self.info.end_us or 0)

    @property
    def over(self) -> bool:
        """Say whether the database gives the run an end."""
        return self.info is not None and self.info.end_us is not None

    def app_label(self, app: str) -> tuple[str, bool]:
        """The label under which `app` is counted, and whether this call folded it for the first time."""
        label = self.apps.get(app)
        if label is not None:
            return label, False
        if len(self.apps) < self._limits.apps:
            self.apps[app] = app
            return app, False
        return OTHER, True

    def group(self, app: str, executor: str) -> Group:
        """The sums of one (app, executor), made when first asked for."""
        group = self.groups.get((app, executor))
        if group is None:
            group = self.groups[app, executor] = Group(self.buckets)
        return group

    def host(self, hostname: str) -> Host:
        """The facts of one host, made when first asked for."""
        host = self.hosts.get(hostname)
        if host is None:
            host = self.hosts[hostname] = Host()
        return host

    def block(self, executor: str, block_id: str) -> Block:
        """The facts of one block, made when first asked for."""
        block = self.blocks.get((executor, block_id))
        if block is None:
            block = self.blocks[executor, block_id] = Block()
            self.placed.add(executor)
        return block

    def touch(self, now: float) -> None:
        """A row of the run has come."""
        self.changed = True
        self.seen = now

    # --- tries ----------------------------------------------------------------------------------------------

    def _ended(self, task: Task, try_id: int, one: Try) -> bool:
        return one.finished() or self.over or (len(task.tries) > 1 and try_id < task.last_try())

    def _complete(self, task: Task, one: Try) -> bool:
        """Say whether the rows that name its app and its executor have come."""
        return task.app is not None and one.executor is not None

    def _place(self, one: Try) -> None:
        """Note on which host and block a try is, and its signs of life there."""
        if one.host is not None:
            self.host(one.host)
        if one.block is None or one.executor is None:
            return
        block = self.block(one.executor, one.block)
        activity = one.activity()
        if activity > block.activity:
            block.activity = activity
        if one.host is not None:
            seen = self.executors_seen_on.get((one.block, one.host))
            if seen is None:
                self.executors_seen_on[one.block, one.host] = {one.executor}
            else:
                seen.add(one.executor)

    def _settle_task(self, task_id: int, task: Task) -> None:
        standing = task.standing()
        app = task.app or UNKNOWN
        if standing is not None:
            self._show(task_id, task, (app, task.executor(), standing))
        for try_id, one in task.tries.items():
            self._place(one)
            self.offsets.note(one)
            if one.shown is not None or not one.finished():
                self._show_running(task, try_id, one, app)
            if one.closed or self._complete(task, one):
                self._count(app, one)
            elif one.usage is not None:
                used = one.usage.used()
                self._count_host(one, shown_of(one), used[USER] + used[SYSTEM])
            if one.executor is not None and self._incomplete(one):
                self.asking[task_id, try_id] = one

    def _incomplete(self, one: Try) -> bool:
        """Say whether the try row lacks what its status rows say must come."""
        return not one.closed and (
            (one.host is None and "running" in one.first) or (one.failure is None and one.wasteful())
        )

    def _show(self, task_id: int, task: Task, shown: tuple[str, str, Standing]) -> None:
        before = task.shown
        if before == shown:
            return
        if before is not None:
            app, executor, standing = before
            group = self.group(app, executor)
            group.tasks[standing.state] -= 1
            if standing.state in TIMED:
                group.left(standing.state, standing.since, task_id)
        app, executor, standing = task.shown = shown
        group = self.group(app, executor)
        group.tasks[standing.state] += 1
        if standing.state in TIMED:
            group.entered(standing.state, standing.since, task_id)

    def _show_running(self, task: Task, try_id: int, one: Try, app: str) -> None:
        """Bring the gauges of running tries up to date with this one."""
        running = None
        if "running" in one.first and "running_ended" not in one.first and not self._ended(task, try_id, one):
            usage = one.usage
            running = Running(
                app,
                one.executor or UNKNOWN,
                one.host or UNKNOWN,
                one.block,
                (usage.resident or 0.0) if usage is not None else 0.0,
                (usage.virtual or 0.0) if usage is not None else 0.0,
                1.0 + (usage.children or 0.0) if usage is not None else 0.0,
            )
        before = None if one.shown is None else one.shown.running
        if before == running:
            return
        for change, sign in ((before, -1), (running, 1)):
            if change is None:
                continue
            group = self.group(change.app, change.executor)
            group.running += sign
            group.resident += sign * change.resident
            group.virtual += sign * change.virtual
            group.processes += sign * change.processes
            host = self.host(change.host)
            host.running += sign
            host.resident += sign * change.resident
            if change.host == UNKNOWN and not host.running and not host.cpu:
                del self.hosts[UNKNOWN]
            if change.block is not None:
                self.block(change.executor, change.block).running += sign
        shown_of(one).running = running

    def _count(self, app: str, one: Try) -> None:
        """Add to the counters what of the try is not in them yet."""
        group = self.group(app, one.executor or UNKNOWN)
        group.counted = True
        shown = shown_of(one)
        transitions, counted = group.transitions, shown.rows
        for state in one.first:
            rows = 1 if one.rows is None else one.rows.get(state, 1)
            before = counted.get(state, 0)
            if rows != before:
                transitions[state] += rows - before
                counted[state] = rows
        if not shown.failure:
            self._count_failure(group, one, shown)
        if one.usage is None:
            return
        used, before_used = one.usage.used(), shown.used
        total = group.used
        for column in range(CUMULATIVE):
            total[column] += used[column] - before_used[column]
        shown.used = used
        cpu = used[USER] + used[SYSTEM]
        if one.wasteful():
            group.wasted += cpu - shown.wasted
            shown.wasted = cpu
        self._count_host(one, shown, cpu)

    def _count_host(self, one: Try, shown: Shown, cpu: float) -> None:
        if one.host is not None or (self.over and one.closed):
            self.host(one.host or UNKNOWN).cpu += cpu - shown.host_cpu
            shown.host_cpu = cpu

    def _count_failure(self, group: Group, one: Try, shown: Shown) -> None:
        reason = self._failure(one, closing=one.closed)
        if reason is not None:
            shown.failure = True
            group.failures[reason] += 1

    def _failure(self, one: Try, *, closing: bool) -> str | None:
        """The reason under which a try's failure counts; None when there is none, or it may still come."""
        if one.wasteful():
            return one.failure or (UNKNOWN if closing else None)
        return DEPENDENCY_ERROR if "dep_fail" in one.first else None

    def executor_of(self, manager: Manager) -> str:
        """The executor of a manager. Node rows give none, and a block_id is only unique within an executor."""
        block_id, hostname = manager.latest.block_id, manager.latest.hostname
        found = self.executors_of_block.get(block_id, set())
        if len(found) != 1:
            found = self.executors_seen_on.get((block_id, hostname), set())
        return next(iter(found)) if len(found) == 1 else UNKNOWN

    def place_cpu(self) -> None:
        """The run is over: what ran on hosts that nobody named ran on `unknown`."""
        if self.over and self.unplaced_cpu > 0:
            self.host(UNKNOWN).cpu += self.unplaced_cpu
            self.unplaced_cpu = 0.0

    def asks(self) -> Iterable[tuple[int, int]]:
        """The tries whose rows should be read again by key."""
        for key, one in list(self.asking.items()):
            if not self._incomplete(one):
                del self.asking[key]
            else:
                yield key


def shown_of(one: Try) -> Shown:
    """What of a try is in the sums; nothing at first."""
    if one.shown is None:
        one.shown = Shown()
    return one.shown
