"""A run over time: sums brought up to date with the tasks that rows touched, tries closed, finished tasks let go.

Rows are folded by `model/intake.py`. Times: stamps are microseconds UTC; `now` is seconds of one clock that never
steps.
"""

from __future__ import annotations

from collections import deque

from parsl_exporter.model.groups import Buckets, Group
from parsl_exporter.model.names import UNKNOWN
from parsl_exporter.model.run_sums import Info, Limits, RunSums, shown_of
from parsl_exporter.model.stamps import MICROSECONDS
from parsl_exporter.model.tasks import FINAL, Task, Try
from parsl_exporter.model.usage import CUMULATIVE, SYSTEM, USER

_CLOCKS_APART_US = 2 * 3_600 * MICROSECONDS
"""How far the clocks of two workers may be apart: an hour each from the submit host's."""


class Run(RunSums):
    """One run of one database.

    Until anything of it has been published a histogram's observation can be taken back and made again, afterwards
    late rows only reach counters.
    """

    def __init__(self, run_id: str, buckets: Buckets, limits: Limits) -> None:
        super().__init__(run_id, buckets, limits)
        self._closing: deque[tuple[float, int, int]] = deque()

    # --- settling -------------------------------------------------------------------------------------------

    def unsettled(self, now: float) -> bool:
        """Say whether `settle` would bring any sum up to date."""
        begins_to_be_over = self.over and self.over_since is None
        due = bool(self._closing) and self._closing[0][0] <= now
        return bool(self.touched) or begins_to_be_over or due

    def settle(self, now: float) -> None:
        """Bring every sum up to date with the rows taken so far, and close the tries that have been quiet."""
        over = self.over
        self._settle_end()
        if over and self.over_since is None:
            self.over_since = now
            self.touched.update(self.tasks)
        touched, self.touched = self.touched, {}
        for task_id, task in touched.items():
            self._settle_task(task_id, task)
            for try_id, one in task.tries.items():
                shown = shown_of(one)
                if not one.closed and not shown.queued and self._ended(task, try_id, one):
                    shown.queued = True
                    self._closing.append((one.seen + self._limits.close_after, task_id, try_id))
            if task.partly_closed:
                self._retire(task_id, task)
        self._close_quiet(now)

    def _settle_end(self) -> None:
        if self.info is not None:
            self.info = self.info.ending_after(self.newest_status_us)

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
                shown_of(one).queued = False
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
        self._settle_end()
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

    def _quiet(self, task: Task, one: Try, before_us: float) -> bool:
        """Say whether all its rows lie before `before_us`, and none that it lacks is just being written."""
        if not self._complete(task, one) or self._incomplete(one):
            before_us = min(before_us, self.last_us - _CLOCKS_APART_US)
            return 0 < one.newest() < before_us
        return one.newest() < before_us

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
                self.offsets.note(one)
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
            shown = shown_of(one)
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


__all__ = ["Info", "Limits", "Run"]
