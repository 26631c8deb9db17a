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
from parsl_exporter.model.retired import Retired
from parsl_exporter.model.tasks import DEPENDENCY_ERROR, Running, Shown, Standing, Task, Try
from parsl_exporter.model.usage import CUMULATIVE, SYSTEM, USER

_CLASSES_TOLD = 20
"""Exception classes of one run that are told to be counted as `_other`."""


class Limits(NamedTuple):
    """What the model may keep and when it lets go. Seconds, but for the number of apps."""

    close_after: float
    retention: float
    abandon_after: float
    apps: int


class Info(NamedTuple):
    """The run's workflow row; `end_us` is None while time_completed is NULL."""

    name: str
    version: str
    host: str
    user: str
    rundir: str
    begin_us: int
    end_us: int | None


class RunSums:
    """One run of one database. `published` says whether anything of it has been shown.

    `sought`: its workflow row has been asked for by key since rows of the run were first seen.
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
        self.oldest_us: int | None = None
        self.seen = 0.0
        self.over_since: float | None = None
        self.published = False
        self.sought = False
        self.changed = True
        self.forget_at = float("inf")
        self._folded_classes: set[str] = set()
        self._untold_classes: list[str] = []
        self.unplaced = 0
        self.unplaced_cpu = 0.0
        self.homeless = 0
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
    def first_us(self) -> int:
        """Microseconds of its first row: its begin or, without a workflow row, its oldest status row or sample."""
        return self.info.begin_us if self.info is not None else self.oldest_us or 0

    def note_first(self, us: int) -> None:
        """A row of this stamp has come of a run without a workflow row."""
        self.oldest_us = us if self.oldest_us is None else min(us, self.oldest_us)

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

    def fold_class(self, failure: str) -> None:
        """Note an exception class that is counted as `_other`, one of the first few of the run."""
        if failure not in self._folded_classes and len(self._folded_classes) < _CLASSES_TOLD:
            self._folded_classes.add(failure)
            self._untold_classes.append(failure)

    def untold_classes(self) -> list[str]:
        """The classes noted since the last call."""
        classes, self._untold_classes = self._untold_classes, []
        return classes

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
            self.host(one.host).named = True
        if one.block is None or one.executor is None:
            return
        block = self.block(one.executor, one.block)
        block.tried = True
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
        """Say whether the try row lacks what its status rows and samples say must come."""
        return not one.closed and (
            (one.host is None and ("running" in one.first or one.usage is not None))
            or (one.failure is None and one.wasteful())
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
            self._forget_unknown_host()
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
        if one.host is not None:
            if shown.homeless and not self.published:  # else it has been shown, and no counter may fall
                self.host(UNKNOWN).cpu -= shown.host_cpu
                shown.host_cpu = 0.0
                shown.homeless = False
                self.homeless -= 1
                self._forget_unknown_host()
            self.host(one.host).cpu += cpu - shown.host_cpu
        elif self.over and (one.closed or shown.homeless):
            if not shown.homeless:
                shown.homeless = True
                self.homeless += 1
            self.host(UNKNOWN).cpu += cpu - shown.host_cpu
        else:
            return
        shown.host_cpu = cpu

    def _forget_unknown_host(self) -> None:
        """Let the host `unknown` go when nothing is there (any more)."""
        host = self.hosts.get(UNKNOWN)
        if host is not None and not (host.running or host.named or self.homeless):
            del self.hosts[UNKNOWN]

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
        if self.over and self.unplaced:
            self.host(UNKNOWN).cpu += self.unplaced_cpu
            self.homeless += self.unplaced
            self.unplaced, self.unplaced_cpu = 0, 0.0

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
