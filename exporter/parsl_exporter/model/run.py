"""One run: its live tasks in columns, what they come to as sums, its blocks, managers and hosts.

Rows change the columns of tries, and a step brings the sums up to date with the tasks that rows touched: by the
difference between what their tries add now and what they had added before (`contribution.py`). A first read, a poll,
a late row, a try that closes or opens again, a task that is forgotten are that step for other tasks. Times: stamps are
microseconds UTC; `now` is seconds of one clock that never steps.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterator
from operator import itemgetter

import numpy as np

from parsl_exporter.base.columns import (
    Codes,
    Ints,
    Mask,
    any_of,
    distinct,
    grouped,
    indices,
)
from parsl_exporter.base.tables import STATUS
from parsl_exporter.model import contribution
from parsl_exporter.model.contribution import Observed
from parsl_exporter.model.exemplars import Ends
from parsl_exporter.model.failures import DEPENDENCY_ERROR
from parsl_exporter.model.observations import (
    CPU_USAGE,
    MEMORY_PEAK,
    STATE_DURATION,
    TASK_DURATION,
    Observation,
)
from parsl_exporter.model.run_facts import Info, Limits, Waiting
from parsl_exporter.model.run_sums import RunSums
from parsl_exporter.model.standing import FIRST_ODD, standing
from parsl_exporter.model.states import FIRST_FINAL, PENDING, RUNNING
from parsl_exporter.model.timestamps import MICROSECONDS
from parsl_exporter.model.tries import NEVER, NONE, NOWHERE, joined

_CLOCKS_APART_US = 2 * 3_600 * MICROSECONDS
"""How far the clocks of two workers may be apart: an hour each from the submit host's."""
_OBSERVED_AT_ONCE = 8_192
"""Tries: what is observed of so many stays in a processor's cache."""
_PACKED_FROM = 4_096
"""Places from which on it pays to move the live tasks together when most of them have gone."""


class Run(RunSums):
    """One run of one database, brought up to date in steps."""

    def learn(self, info: Info) -> None:
        """Take the workflow row."""
        if info.end_us is not None and not self.over:
            self.touch(self._live())
        self.info = info

    def _settle_end(self) -> None:
        if self.info is not None:
            self.info = self.info.ending_after(self.newest_of.get(STATUS.name, 0))

    def _live(self) -> Codes:
        return indices((self.tasks.head >= 0) | (self.tasks.app >= 0)).astype(np.int32)

    def reopen(self, tasks: Codes) -> None:
        """Take all closes of tasks back: another row has come before anything of the run was published."""
        places, _ = self.tries.of(tasks)
        closed = places[self.tries.closed[places]]
        self._observe(closed, -1)
        counted = self.tries.counted_failure[closed]
        for place, reason in zip(closed[counted >= 0].tolist(), counted[counted >= 0].tolist(), strict=True):
            self.sums.failures[int(self.tries.group[place]), self.names.texts[reason]] -= 1
        self.tries.counted_failure[closed] = NONE
        self.tries.closed[closed] = False
        self.tries.queued[closed] = False
        self.tasks.partly_closed[tasks] = False

    def unsettled(self, now: float) -> bool:
        """Say whether `settle` would bring any sum up to date."""
        begins_to_be_over = self.over and self.over_since is None
        due = bool(self._closing) and self._closing[0][0] <= now
        return bool(self._touched) or begins_to_be_over or due

    def settle(self, now: float, *, close: bool = True) -> None:
        """Bring every sum up to date with the rows taken so far, and `close` the tries that have been quiet."""
        self._settle_end()
        if self.over and self.over_since is None:
            self.over_since = now
        tasks = joined(self._touched)
        self._touched.clear()
        tasks = tasks[self.tasks.touched[tasks]]
        if len(tasks):
            places = self._settle(tasks)
            self._queue(places)
            self._retire(tasks[self.tasks.partly_closed[tasks]])
        if close:
            self._close_quiet(now)
        if self.tasks.size > _PACKED_FROM and 4 * len(self.tasks) < self.tasks.size:
            self._pack()

    def _settle(self, tasks: Codes) -> Codes:
        """Bring the sums up to date with these tasks; give the places of their tries."""
        places, owner = self.tries.of(tasks)
        if len(places):
            ran = places[self.tries.last[places, RUNNING] >= 0]
            self.ran.update(distinct(self.tries.executor[ran]).tolist())
            self._note_ends(places)
            self._place(places)
            self.offsets.note(self.tries, places, self.names.texts)
            self._count(places)
        found = standing(self.tries, places, owner, len(tasks), self.odd)
        self._show(tasks, found)
        self.tasks.touched[tasks] = False
        self.tasks.settled[tasks] = True
        return places

    def _queue(self, places: Codes) -> None:
        """Have the tries that are over close when they have been quiet."""
        tries = self.tries
        over = contribution.ended(self.tasks, tries, places, over=self.over)
        places = places[over & ~tries.closed[places] & ~tries.queued[places]]
        if len(places):
            tries.queued[places] = True
            self._look_again(float(tries.seen[places].min()) + self._limits.close_after, places)

    def _look_again(self, due: float, places: Codes) -> None:
        """Have tries be looked at when the first of them may have been quiet for long enough."""
        insort(self._closing, (due, places), key=itemgetter(0))

    def _close_quiet(self, now: float) -> None:
        tries = self.tries
        again: list[tuple[float, Codes]] = []
        while self._closing and self._closing[0][0] <= now:
            _, places = self._closing.popleft()
            places = places[tries.queued[places]]
            due = tries.seen[places] + self._limits.close_after
            if any_of(later := due > now):
                again.append((float(due[later].min()), places[later]))
                places = places[~later]
            # The row that a try lacks, or the end of the run, will touch it again.
            tries.queued[places] = False
            self._close_and_retire(distinct(places[self._attributed(places)]))
        for part in again:
            self._look_again(*part)

    def _close_and_retire(self, places: Codes) -> None:
        if len(places):
            self._close(places)
            self._retire(distinct(self.tries.task[places]))
            self.changed = True

    def _attributed(self, places: Codes) -> Mask:
        return np.full(len(places), True) if self.over else self._complete(places)

    def _close(self, places: Codes) -> None:
        """Observe the histograms of ended tries, once, and count what was held of them."""
        tries = self.tries
        held = places[
            (tries.group[places] < 0)
            | (tries.cpu_host[places] == NONE)
            | (contribution.wasteful(tries, places) & (tries.counted_failure[places] < 0))
        ]
        if len(held):
            self._before.append(self._added(held))
        tries.closed[places] = True
        self.tasks.partly_closed[tries.task[places]] = True
        if len(held):
            self._count(held)
        self._observe(places, 1)

    def _observe(self, places: Codes, times: int) -> None:
        if not len(places):
            return
        if self.published:
            self.sums.observations.fix()
        tries = self.tries
        ended = contribution.ended_at(tries, places)
        task_ids, try_ids = self.tasks.task_id[tries.task[places]], tries.try_id[places]
        order = np.lexsort([try_ids, task_ids, ended])
        ends = Ends(ended, task_ids, try_ids)
        for begin in range(0, len(order), _OBSERVED_AT_ONCE):
            part = order[begin : begin + _OBSERVED_AT_ONCE]
            self._observe_in_order(places[part], ends.only(part), times)

    def _observe_in_order(self, places: Codes, ends: Ends, times: int) -> None:
        tries = self.tries
        groups = self.sums.groups(self.tasks.app[tries.task[places]], tries.executor[places])
        self.sums.changed[groups] = True
        observed = {STATE_DURATION[s]: o for s, o in contribution.durations(tries, places).items()}
        observed[TASK_DURATION] = self._task_durations(places, times)
        observed[CPU_USAGE] = contribution.cpu(tries, places)
        observed[MEMORY_PEAK] = contribution.peak(tries, places)
        parts = [Observation(kind, groups[of], of, values) for kind, (of, values) in observed.items()]
        self.sums.observations.observe(parts, ends, times)

    def _task_durations(self, places: Codes, times: int) -> Observed:
        """Give how long tasks took, of those whose try that ended last is among these, and note that they have it."""
        tries, tasks = self.tries, self.tasks
        final = contribution.final_at(tries, places)
        ending = indices((final >= 0) & (tasks.timed[tries.task[places]] == (times < 0)))
        places, final = places[ending], final[ending]
        if not len(places):
            return Observed(ending, final)
        first, of = grouped(tries.task[places])
        owners = tries.task[places[first]]
        siblings, owner = self.tries.of(owners)
        begin = np.full(len(owners), NEVER)
        np.minimum.at(begin, owner, tries.first[siblings, PENDING])
        finals = contribution.final_at(tries, siblings)
        latest = np.full(len(owners), NONE)
        np.maximum.at(latest, owner, finals)
        last = np.full(len(owners), NONE)
        greatest = finals == latest[owner]
        np.maximum.at(last, owner[greatest], tries.try_id[siblings[greatest]])
        timed = (final == latest[of]) & (tries.try_id[places] == last[of]) & (begin[of] < NEVER)
        tasks.timed[owners[of[timed]]] = times > 0
        return Observed(ending[timed], np.maximum(0, final[timed] - begin[of[timed]]))

    def _retire(self, tasks: Codes) -> None:
        """Forget finished tasks: their sums stay, and a late row has them read again by key.

        Not those that lack names: read again, they might have them, and not be what the sums hold.
        """
        state = self.tasks.shown_state[tasks]
        tasks = tasks[(state >= FIRST_FINAL) & (state < FIRST_ODD) & ~self.tasks.touched[tasks]]
        if not len(tasks):
            return
        places, owner = self.tries.of(tasks)
        open_ = np.full(len(tasks), False)
        np.logical_or.at(open_, owner, ~(self.tries.closed[places] & self._complete(places)))
        gone = tasks[~open_]
        places = places[~open_[owner]]
        if self.odd:
            for place in places[self.tries.odd_at[places] >= 0].tolist():
                del self.odd[place]
        self.tries.forget(places)
        self.tasks.forget(gone)

    def _pack(self) -> None:
        tries, tasks = self.tries.pack()
        self.odd = {int(tries[place]): rows for place, rows in self.odd.items()}
        self._shown_odd = {int(tasks[task]): shown for task, shown in self._shown_odd.items()}
        self._closing = deque((due, _kept(tries[places])) for due, places in self._closing)
        self.unnamed = [_kept(tries[places]) for places in self.unnamed]
        for oldest in self.sums.oldest.values():
            oldest.moved(tasks)

    def close_history(self, before_us: float) -> None:
        """In a first read: let go of the finished tasks all of whose rows lie before `before_us`."""
        tasks = self._live()
        tasks = tasks[~self.tasks.settled[tasks]]
        places, owner = self.tries.of(tasks)
        before_us -= self._limits.close_after * MICROSECONDS
        over = contribution.ended(self.tasks, self.tries, places, over=self.over)
        ready = self._complete(places) & self._quiet(places, before_us) & over
        open_ = np.full(len(tasks), False)
        np.logical_or.at(open_, owner, ~ready)
        final = np.full(len(tasks), False)
        np.logical_or.at(final, owner, contribution.final_at(self.tries, places) >= 0)
        done = tasks[final & ~open_]
        if len(done):
            self._close(self._settle(done))
            self._retire(done)
        touched = joined(self._touched)
        self._touched = [touched[self.tasks.touched[touched]]]

    def settle_first_read(self, now: float, wall: float, *, whole: bool) -> None:
        """End a first read at `wall` (UTC epoch seconds): close what is past, take ages from the stamps.

        `whole` is a dump: every ended try closes, whatever its age. So it does when the run is over; but a try
        that lacks a row, or an update of it, may get that in a moment unless the run was over long ago.
        """
        self._settle_end()
        close_after_us = self._limits.close_after * MICROSECONDS
        end_us = self.info.end_us if self.info is not None else None
        long_over = end_us is not None and end_us + close_after_us < wall * MICROSECONDS
        tasks = self._live()
        places = self._settle(tasks)
        over = contribution.ended(self.tasks, self.tries, places, over=self.over)
        closing = over & ~self.tries.closed[places] & self._attributed(places)
        if not (whole or long_over):
            closing &= self._quiet(places, float("inf") if self.over else self.last_us - close_after_us)
        self._close(places[closing])
        self._retire(tasks)
        live = self._live()
        self.tasks.touched[live] = True
        self._touched = [live]
        self._before = [self._added(self.tries.of(live)[0])]
        if end_us is not None:
            self.over_since = now - max(0.0, wall - end_us / MICROSECONDS)
        self.seen = now - max(0.0, wall - self.last_us / MICROSECONDS)

    def close_unwatched(self, since: float, now_us: float) -> None:
        """Close the tries of which rows have come after `since`, while nobody watched when, and whose time is over.

        By their stamps: those of the run are at `now_us` now. An exporter that was killed may have shown them as
        closed, and no histogram may fall; so it is enough that they have been quiet for half the time.
        """
        tries = self.tries
        places, _ = tries.of(self._live())
        places = places[(tries.seen[places] > since) & ~tries.closed[places]]
        over = contribution.ended(self.tasks, tries, places, over=self.over)
        before_us = max(now_us, self.last_us) - self._limits.close_after / 2 * MICROSECONDS
        quiet = self._quiet(places, float("inf") if self.over else before_us)
        places = places[over & quiet & self._attributed(places)]
        tries.queued[places] = False
        self._close_and_retire(places)

    def _quiet(self, places: Codes, before_us: float) -> Mask:
        """Say of each try whether all its rows lie before `before_us`, and none that it lacks is just being written."""
        newest = contribution.newest(self.tries, places)
        lacking = ~self._complete(places) | self._lacking(places)
        long_before = min(before_us, self.last_us - _CLOCKS_APART_US)
        return np.where(lacking, (newest > 0) & (newest < long_before), newest < before_us)

    def note_missing(self) -> tuple[Codes, Codes]:
        """Note the tasks and the tries among `unnamed` as to be asked for, and give their places, each once."""
        columns, tries = self.tasks, self.tries
        places = joined(self.unnamed)
        self.unnamed.clear()
        places = places[tries.task[places] >= 0]
        tasks = distinct(tries.task[places])
        tasks = tasks[(columns.app[tasks] < 0) & ~columns.asked[tasks]]
        places = places[(tries.executor[places] < 0) & ~tries.asked[places]]
        columns.asked[tasks] = True
        tries.asked[places] = True
        return tasks, places

    def missing(self, *, again: bool) -> tuple[list[int], list[tuple[int, int]]]:
        """Give the tasks (task_id) and tries (task_id, try_id) whose own rows have not come.

        Those that `note_missing` notes now; or `again` all that it has noted and that have not closed without.
        """
        columns, tries = self.tasks, self.tries
        tasks, places = self.note_missing()
        if again:
            places = indices(tries.asked & (tries.executor < 0) & ~tries.closed).astype(np.int32)
            nameless = columns.asked & (columns.app < 0) & ~columns.partly_closed
            tasks = indices(nameless).astype(np.int32)
        of = columns.task_id[tries.task[places]]
        return columns.task_id[tasks].tolist(), list(
            zip(of.tolist(), tries.try_id[places].tolist(), strict=True)
        )

    def asks(self) -> Iterator[tuple[int, int]]:
        """The tries (task_id, try_id) whose rows should be read again by key."""
        places = indices(self.tries.incomplete).astype(np.int32)
        places = places[self._lacking(places)]
        task_ids = self.tasks.task_id[self.tries.task[places]]
        yield from zip(task_ids.tolist(), self.tries.try_id[places].tolist(), strict=True)

    def come_back(self, task_ids: Ints) -> None:
        """Finished tasks are back as their rows were when they were forgotten: all of those are in the sums already."""
        tasks = self.tasks.find(task_ids)
        tasks = tasks[tasks >= 0]
        tries = self.tries
        places, owner = tries.of(tasks)
        self.tasks.touched[tasks] = False
        on_block = (tries.block[places] >= 0) & (tries.executor[places] >= 0)
        tries.alive[places[on_block]] = NONE  # what they showed of their life is in their blocks already
        tries.closed[places] = True
        app, executor = self.tasks.app[tries.task[places]], tries.executor[places]
        tries.group[places] = self.sums.groups(app, executor)
        tries.cpu_host[places] = np.where(tries.host[places] >= 0, tries.host[places], NOWHERE)
        wasted = contribution.wasteful(tries, places)
        reason = np.where(wasted, tries.failure[places].clip(0), NONE)
        dependency = ~wasted & contribution.failed_dependency(tries, places)
        tries.counted_failure[places] = np.where(dependency, self.names.code(DEPENDENCY_ERROR), reason)
        for place in places[tries.odd_at[places] >= 0].tolist():
            for rows in self.odd[place].values():
                rows.counted, rows.group = rows.rows, int(tries.group[place])
        found = standing(tries, places, owner, len(tasks), self.odd)
        latest = self.tasks.latest[tasks]
        last_executor = np.where(latest >= 0, tries.executor[latest], NONE)
        self.tasks.shown_group[tasks] = self.sums.groups(self.tasks.app[tasks], last_executor)
        self.tasks.shown_state[tasks] = found.state
        self.tasks.shown_since[tasks] = found.since
        pending = np.full(len(tasks), False)
        np.logical_or.at(pending, owner, tries.last[places, PENDING] >= 0)
        self.tasks.timed[tasks] = pending
        self.tasks.partly_closed[tasks] = True
        self.tasks.settled[tasks] = True


def _kept(places: Codes) -> Codes:
    """Of new places those that there are."""
    return places[places >= 0]


__all__ = ["Info", "Limits", "Run", "Waiting"]
