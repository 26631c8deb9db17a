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
from parsl_exporter.model.tasks import DEPENDENCY_ERROR, FINAL, Counted, Running, Standing, Task, Try


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
        self.last_us = 0
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

    # --- settling -------------------------------------------------------------------------------------------

    def settle(self, now: float) -> None:
        """Bring every sum up to date with the rows taken so far, and close the tries that have been quiet."""
        over = self.over
        if over and self.over_since is None:
            self.over_since = now
            self.touched.update(self.tasks)
        for task_id, task in self.touched.items():
            self._settle_task(task_id, task, over)
            last = task.last_try()
            for try_id, one in task.tries.items():
                if not one.closed and not one.queued and (over or try_id < last or one.finished()):
                    one.queued = True
                    self._closing.append((one.seen + self._limits.close_after, task_id, try_id))
        self.touched.clear()
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
                self.close(task, try_id, one)
                self._retire(task_id, task)
            else:  # the row that it lacks, or the end of the run, will touch it again
                one.queued = False
        waiting.extend(again)

    def close_history(self, before_us: float, *, all_ended: bool = False) -> None:
        """Settle all live tasks of a first read; close ended tries whose rows all lie before `before_us`.

        `all_ended` closes every ended try: of a run that is over, and in a dump.
        """
        over = self.over
        close_after_us = self._limits.close_after * MICROSECONDS
        for task_id, task in list(self.tasks.items()):
            self._settle_task(task_id, task, over)
            last = task.last_try()
            for try_id, one in task.tries.items():
                if (
                    not one.closed
                    and (over or try_id < last or one.finished())
                    and (all_ended or one.latest + close_after_us < before_us)
                    and self._attributed(task, one)
                ):
                    self.close(task, try_id, one)
            self._retire(task_id, task)
        if not all_ended:
            self.touched.update(self.tasks)
        else:
            self.touched.clear()

    def settle_first_read(self, now: float, wall: float, *, whole: bool) -> None:
        """End a first read at `wall` (UTC epoch seconds): close what is past, take ages from the stamps."""
        self.close_history(self.last_us, all_ended=whole or self.over)
        if self.info is not None and self.info.end_us is not None:
            self.over_since = now - max(0.0, wall - self.info.end_us / MICROSECONDS)
        self.seen = now - max(0.0, wall - self.last_us / MICROSECONDS)

    def _attributed(self, task: Task, one: Try) -> bool:
        return self.over or (task.app is not None and one.executor is not None)

    def _settle_task(self, task_id: int, task: Task, over: bool) -> None:
        standing = task.standing()
        app = task.app or UNKNOWN
        if standing is not None:
            self._show(task_id, task, (app, task.executor(), standing))
        last = task.last_try()
        for try_id, one in task.tries.items():
            ended = over or try_id < last or one.finished()
            running = not ended and "running" in one.spans and "running_ended" not in one.spans
            self._show_running(one, self._running(app, one) if running else None)
            if one.host is not None:
                self.host(one.host)
            if one.block is not None and one.executor is not None:
                block = self.block(one.executor, one.block)
                block.activity = max(block.activity, one.activity())
                if one.host is not None:
                    self.executors_seen_on.setdefault((one.block, one.host), set()).add(one.executor)
            if over or (task.app is not None and one.executor is not None):
                self._count(app, one)
            if one.executor is not None and one.asked >= 0 and self._incomplete(one):
                self.asking[task_id, try_id] = one

    def _incomplete(self, one: Try) -> bool:
        """Say whether the try row lacks what its status rows say must come."""
        return not one.closed and (
            (one.host is None and "running" in one.spans) or (one.failure is None and one.wasteful())
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

    def _running(self, app: str, one: Try) -> Running:
        usage = one.usage
        return Running(
            app,
            one.executor or UNKNOWN,
            one.host or UNKNOWN,
            one.block,
            (usage.resident or 0.0) if usage is not None else 0.0,
            (usage.virtual or 0.0) if usage is not None else 0.0,
            1.0 + (usage.children or 0.0) if usage is not None else 0.0,
        )

    def _show_running(self, one: Try, running: Running | None) -> None:
        before = one.running
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
            if change.block is not None:
                self.block(change.executor, change.block).running += sign
        one.running = running

    def _count(self, app: str, one: Try) -> None:
        group = self.group(app, one.executor or UNKNOWN)
        for state, span in one.spans.items():
            if span.rows != span.counted:
                group.transitions[state] += span.rows - span.counted
                span.counted = span.rows
        if not one.failure_counted:
            reason = self._failure(one)
            if reason is not None:
                one.failure_counted = True
                group.failures[reason] += 1
        if one.usage is None:
            return
        counted = one.counted
        if counted is None:
            counted = one.counted = Counted()
        used = one.usage.used()
        for column, value in enumerate(used):
            group.used[column] += value - counted.used[column]
        counted.used = used
        cpu = used[0] + used[1]
        if one.wasteful():
            group.wasted += cpu - counted.wasted
            counted.wasted = cpu
        if one.host is not None or self.over:
            self.host(one.host or UNKNOWN).cpu += cpu - counted.host
            counted.host = cpu

    def _failure(self, one: Try) -> str | None:
        """The reason under which the try's failure counts now; None when there is none, or it may still come."""
        if one.wasteful():
            return one.failure or (UNKNOWN if self.over or one.closed else None)
        return DEPENDENCY_ERROR if "dep_fail" in one.spans else None

    # --- closing --------------------------------------------------------------------------------------------

    def close(self, task: Task, try_id: int, one: Try) -> None:
        """Observe the histograms of an ended try, once."""
        one.closed = task.partly_closed = True
        self._count(task.app or UNKNOWN, one)
        self._observe(task, try_id, one, 1)

    def reopen(self, task: Task) -> None:
        """Take all closes of a task back: another row has come before anything of the run was published."""
        for try_id, one in task.tries.items():
            if one.closed:
                self._observe(task, try_id, one, -1)
        for one in task.tries.values():
            one.closed = one.queued = False
        task.partly_closed = False

    def _observe(self, task: Task, try_id: int, one: Try, times: int) -> None:
        group = self.group(task.app or UNKNOWN, one.executor or UNKNOWN)
        spans = one.spans
        pending, launched, running = spans.get("pending"), spans.get("launched"), spans.get("running")
        final = one.final()
        durations = group.durations
        if pending is not None and launched is not None:
            durations["pending"].observe(max(0, launched.last - pending.first), times)
        if launched is not None and running is not None:
            durations["launched"].observe(max(0, running.last - launched.first), times)
        if running is not None:
            ended = spans.get("running_ended")
            if ended is not None:
                end_us = ended.last
            else:
                retry = spans.get("fail_retryable")
                end_us = max(retry.last if retry else 0, final.last if final else 0)
            if end_us:
                durations["running"].observe(max(0, end_us - running.first), times)
        if final is not None:
            joining = spans.get("joining")
            if joining is not None:
                durations["joining"].observe(max(0, final.last - joining.first), times)
            self._observe_task(task, try_id, final.last, group, times)
        if one.usage is not None:
            cpu = one.usage.cpu()
            if cpu is not None:
                group.cpu.observe(cpu, times)
            if one.usage.peak is not None:
                group.peak.observe(one.usage.peak, times)

    def _observe_task(self, task: Task, try_id: int, final_us: int, group: Group, times: int) -> None:
        begin = task.first_pending()
        if begin is None or task.timed == (times > 0):
            return
        if any(other > try_id and t.final() is not None for other, t in task.tries.items()):
            return
        task.timed = times > 0
        group.task_duration.observe(max(0, final_us - begin), times)

    def _retire(self, task_id: int, task: Task) -> None:
        """Forget a finished task: its sums stay, and a late row has it read again by key."""
        if task.shown is None or task.shown[2].state not in FINAL:
            return
        for one in task.tries.values():
            if not one.closed:
                return
        for one in task.tries.values():
            if one.counted is not None:
                self.unplaced_cpu += one.counted.used[0] + one.counted.used[1] - one.counted.host
        del self.tasks[task_id]
        self.touched.pop(task_id, None)
        self.retired.add(task_id)

    def revive(self, task_id: int, task: Task) -> None:
        """Bring a retired task back, as its rows were when it retired: all of them are in the sums already."""
        self.retired.remove(task_id)
        self.tasks[task_id] = task
        app = task.app or UNKNOWN
        standing = task.standing()
        task.shown = None if standing is None else (app, task.executor(), standing)
        task.timed = task.partly_closed = True
        for one in task.tries.values():
            one.closed = one.queued = one.failure_counted = True
            for span in one.spans.values():
                span.counted = span.rows
            if one.usage is not None:
                counted = one.counted = Counted()
                counted.used = one.usage.used()
                cpu = counted.used[0] + counted.used[1]
                counted.wasted = cpu if one.wasteful() else 0.0
                counted.host = cpu if one.host is not None or self.over else 0.0
                self.unplaced_cpu -= cpu - counted.host
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
        """The tries whose rows should be read again by key; each is asked for less and less often."""
        for key, one in list(self.asking.items()):
            if not self._incomplete(one):
                del self.asking[key]
                continue
            one.asked += 1
            if one.asked & (one.asked - 1) == 0:
                yield key
