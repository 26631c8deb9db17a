"""Everything known of one run: live tasks in full, finished ones as sums, blocks, managers, hosts.

Rows are folded by `model/intake.py`; `settle` then brings the sums up to date with the tasks that rows touched.
Times: stamps are microseconds UTC; `now` is seconds of one clock that never steps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from parsl_exporter.model.blocks import Block
from parsl_exporter.model.groups import TIMED, Buckets, Group
from parsl_exporter.model.managers import Host, Manager
from parsl_exporter.model.names import OTHER, UNKNOWN
from parsl_exporter.model.retired import Retired
from parsl_exporter.model.stamps import MICROSECONDS
from parsl_exporter.model.tasks import DEPENDENCY_ERROR, FINAL, Running, Shown, Standing, Task, Try
from parsl_exporter.model.usage import CUMULATIVE, SYSTEM, USER

_CLOCKS_APART_US = 2 * 3_600 * MICROSECONDS
"""How far the clocks of two workers may be apart: an hour each from the submit host's."""


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


class Run:
    """One run of one database.

    `published` says whether anything of it has been shown: until then a histogram's observation can be taken
    back and made again, afterwards late rows only reach counters.
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
        self.seen = 0.0
        self.over_since: float | None = None
        self.published = False
        self.changed = True
        self.forget_at = float("inf")
        self.unplaced_cpu = 0.0
        self.asking: dict[tuple[int, int], Try] = {}
        self.buckets = buckets
        self._limits = limits
        self._closing: deque[tuple[float, int, int]] = deque()

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
        return block

    def touch(self, now: float) -> None:
        """A row of the run has come."""
        self.changed = True
        self.seen = now

    # --- settling -------------------------------------------------------------------------------------------

    def unsettled(self, now: float) -> bool:
        """Say whether `settle` would bring any sum up to date."""
        begins_to_be_over = self.over and self.over_since is None
        due = bool(self._closing) and self._closing[0][0] <= now
        return bool(self.touched) or begins_to_be_over or due

    def settle(self, now: float) -> None:
        """Bring every sum up to date with the rows taken so far, and close the tries that have been quiet."""
        over = self.over
        if over and self.over_since is None:
            self.over_since = now
            self.touched.update(self.tasks)
        touched, self.touched = self.touched, {}
        for task_id, task in touched.items():
            self._settle_task(task_id, task)
            for try_id, one in task.tries.items():
                shown = _shown(one)
                if not one.closed and not shown.queued and self._ended(task, try_id, one):
                    shown.queued = True
                    self._closing.append((one.seen + self._limits.close_after, task_id, try_id))
            if task.partly_closed:
                self._retire(task_id, task)
        self._close_quiet(now)

    def _close_quiet(self, now: float) -> None:
        waiting = self._closing
        again = []
        while waiting and waiting[0][0] <= now:
            _, task_id, try_id = waiting.popleft()
            task = self.tasks.get(task_id)
            one = task.tries.get(try_id) if task is not None else None
            if task is None or one is None or one.closed:
                continue
            due = one.seen + self._limits.close_after
            if due > now:
                again.append((due, task_id, try_id))
            elif self._attributed(task, one):
                self._close(task, try_id, one)
                self._retire(task_id, task)
                self.changed = True
            else:  # the row that it lacks, or the end of the run, will touch it again
                _shown(one).queued = False
        waiting.extend(again)

    def close_history(self, before_us: float) -> None:
        """In a first read: let go of the finished tasks all of whose rows lie before `before_us`."""
        before_us -= self._limits.close_after * MICROSECONDS
        for task_id, task in list(self.tasks.items()):
            for try_id, one in task.tries.items():
                if not self._complete(task, one) or not self._quiet(task, one, before_us):
                    break
                if not self._ended(task, try_id, one):
                    break
            else:
                self._finish(task_id, task)

    def settle_first_read(self, now: float, wall: float, *, whole: bool) -> None:
        """End a first read at `wall` (UTC epoch seconds): close what is past, take ages from the stamps.

        `whole` is a dump: every ended try closes, whatever its age. So it does when the run is over; but a try
        that lacks a row, or an update of it, may get that in a moment unless the run was over long ago.
        """
        close_after_us = self._limits.close_after * MICROSECONDS
        before_us = self.last_us - close_after_us
        ended_us = self.info.end_us if self.info is not None else None
        long_over = ended_us is not None and ended_us + close_after_us < wall * MICROSECONDS
        for task_id, task in list(self.tasks.items()):
            self._settle_task(task_id, task)
            for try_id, one in task.tries.items():
                quiet = whole or long_over or self._quiet(task, one, float("inf") if self.over else before_us)
                if quiet and not one.closed and self._closable(task, try_id, one):
                    self._close(task, try_id, one)
            self._retire(task_id, task)
        self.touched.update(self.tasks)
        if self.info is not None and self.info.end_us is not None:
            self.over_since = now - max(0.0, wall - self.info.end_us / MICROSECONDS)
        self.seen = now - max(0.0, wall - self.last_us / MICROSECONDS)

    def _ended(self, task: Task, try_id: int, one: Try) -> bool:
        return one.finished() or self.over or (len(task.tries) > 1 and try_id < task.last_try())

    def _quiet(self, task: Task, one: Try, before_us: float) -> bool:
        """Say whether all its rows lie before `before_us`, and none that it lacks is just being written."""
        if not self._complete(task, one) or self._incomplete(one):
            before_us = min(before_us, self.last_us - _CLOCKS_APART_US)
            return 0 < one.newest() < before_us
        return one.newest() < before_us

    def _complete(self, task: Task, one: Try) -> bool:
        """Say whether the rows that name its app and its executor have come."""
        return task.app is not None and one.executor is not None

    def _attributed(self, task: Task, one: Try) -> bool:
        return self._complete(task, one) or self.over

    def _closable(self, task: Task, try_id: int, one: Try) -> bool:
        return self._ended(task, try_id, one) and self._attributed(task, one)

    def _finish(self, task_id: int, task: Task) -> None:
        """Add all of a finished task to the sums at once and forget it: what settle, close and retire come to."""
        standing = task.standing()
        if standing is None or standing.state not in FINAL or task.shown is not None or task.partly_closed:
            return
        app = task.app or UNKNOWN
        for try_id, one in task.tries.items():
            executor = one.executor or UNKNOWN
            group = self.group(app, executor)
            group.counted = True
            transitions = group.transitions
            for state in one.first:
                transitions[state] += 1 if one.rows is None else one.rows.get(state, 1)
            reason = self._failure(one, closing=True)
            if reason is not None:
                group.failures[reason] += 1
            if one.block is not None or one.host is not None:
                self._place(one)
            if one.usage is not None:
                used = one.usage.used()
                cpu = used[USER] + used[SYSTEM]
                total = group.used
                for column in range(CUMULATIVE):
                    total[column] += used[column]
                if reason is not None and one.wasteful():
                    group.wasted += cpu
                if one.host is not None or self.over:
                    self.host(one.host or UNKNOWN).cpu += cpu
                else:
                    self.unplaced_cpu += cpu
            self._observe(group, task, try_id, one, 1)
        self.group(app, task.executor()).tasks[standing.state] += 1
        del self.tasks[task_id]
        self.touched.pop(task_id, None)
        self.retired.add(task_id)

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
            if one.shown is not None or not one.finished():
                self._show_running(task, try_id, one, app)
            if one.closed or self._complete(task, one):
                self._count(app, one)
            elif one.usage is not None:
                used = one.usage.used()
                self._count_host(one, _shown(one), used[USER] + used[SYSTEM])
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
        _shown(one).running = running

    def _count(self, app: str, one: Try) -> None:
        """Add to the counters what of the try is not in them yet."""
        group = self.group(app, one.executor or UNKNOWN)
        group.counted = True
        shown = _shown(one)
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

    # --- closing --------------------------------------------------------------------------------------------

    def _close(self, task: Task, try_id: int, one: Try) -> None:
        """Observe the histograms of an ended try, once."""
        one.closed = task.partly_closed = True
        group = self.group(task.app or UNKNOWN, one.executor or UNKNOWN)
        if self.over and (one.host is None or not self._complete(task, one)):
            self._count(task.app or UNKNOWN, one)  # what was held for a row that did not come
        if one.shown is not None and not one.shown.failure:
            self._count_failure(group, one, one.shown)
        self._observe(group, task, try_id, one, 1)

    def reopen(self, task: Task) -> None:
        """Take all closes of a task back: another row has come before anything of the run was published."""
        for try_id, one in task.tries.items():
            if one.closed:
                group = self.group(task.app or UNKNOWN, one.executor or UNKNOWN)
                self._observe(group, task, try_id, one, -1)
        for one in task.tries.values():
            one.closed = False
        task.partly_closed = False

    def _observe(self, group: Group, task: Task, try_id: int, one: Try, times: int) -> None:
        first = one.first
        durations = group.durations
        launched, running = first.get("launched"), first.get("running")
        if launched is not None:
            if "pending" in first:
                durations["pending"].observe(max(0, one.latest("launched") - first["pending"]), times)
            if running is not None:
                durations["launched"].observe(max(0, one.latest("running") - launched), times)
        final_us = one.final()
        if running is not None:
            if "running_ended" in first:
                end_us = one.latest("running_ended")
            elif "fail_retryable" in first:
                end_us = max(one.latest("fail_retryable"), final_us)
            else:
                end_us = final_us
            if end_us:
                durations["running"].observe(max(0, end_us - running), times)
        if final_us:
            if "joining" in first:
                durations["joining"].observe(max(0, final_us - first["joining"]), times)
            self._observe_task(group, task, try_id, final_us, times)
        if one.usage is not None:
            if one.usage.cpu_sampled():
                used = one.usage.used()
                group.cpu.observe(used[USER] + used[SYSTEM], times)
            if one.usage.peak is not None:
                group.peak.observe(one.usage.peak, times)

    def _observe_task(self, group: Group, task: Task, try_id: int, final_us: int, times: int) -> None:
        begin_us = task.first_pending()
        if begin_us is None or task.timed == (times > 0):
            return
        if len(task.tries) > 1 and any((t.final(), i) > (final_us, try_id) for i, t in task.tries.items()):
            return
        task.timed = times > 0
        group.task_duration.observe(max(0, final_us - begin_us), times)

    def _retire(self, task_id: int, task: Task) -> None:
        """Forget a finished task: its sums stay, and a late row has it read again by key."""
        if task.shown is None or task.shown[2].state not in FINAL:
            return
        for one in task.tries.values():
            if not one.closed:
                return
        for one in task.tries.values():
            if one.host is None and one.shown is not None:
                self.unplaced_cpu += one.shown.used[USER] + one.shown.used[SYSTEM] - one.shown.host_cpu
        del self.tasks[task_id]
        self.touched.pop(task_id, None)
        self.retired.add(task_id)

    def revive(self, task_id: int, task: Task) -> None:
        """Bring a retired task back, as its rows were when it retired: all of them are in the sums already."""
        self.retired.remove(task_id)
        self.tasks[task_id] = task
        standing = task.standing()
        task.shown = None if standing is None else (task.app or UNKNOWN, task.executor(), standing)
        task.partly_closed = True
        task.timed = task.first_pending() is not None
        for one in task.tries.values():
            one.closed = True
            shown = _shown(one)
            shown.failure = one.wasteful() or "dep_fail" in one.first
            shown.rows = {state: 1 if one.rows is None else one.rows.get(state, 1) for state in one.first}
            if one.usage is not None:
                shown.used = one.usage.used()
                cpu = shown.used[USER] + shown.used[SYSTEM]
                shown.wasted = cpu if one.wasteful() else 0.0
                shown.host_cpu = cpu if one.host is not None or self.over else 0.0
                self.unplaced_cpu -= cpu - shown.host_cpu
        if not self.published:
            self.reopen(task)

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


def _shown(one: Try) -> Shown:
    if one.shown is None:
        one.shown = Shown()
    return one.shown
