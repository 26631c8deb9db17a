"""One run: its live tasks in columns, what they come to as sums, its blocks, managers and hosts.

Rows change the columns of tries, and a step brings the sums up to date with the tasks that rows touched: by the
difference between what their tries add now and what they had added before (`contribution.py`). A first read, a poll,
a late row, a try that closes or opens again, a task that is forgotten are that step for other tasks. Times: stamps are
microseconds UTC; `now` is seconds of one clock that never steps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from parsl_exporter.columns import Codes, Columns, Floats, Ints, Mask
from parsl_exporter.model import contribution
from parsl_exporter.model.blocks import Block
from parsl_exporter.model.contribution import Added
from parsl_exporter.model.failures import DEPENDENCY_ERROR
from parsl_exporter.model.managers import Host, Manager
from parsl_exporter.model.names import OTHER, UNKNOWN, Codebook
from parsl_exporter.model.offsets import Offsets
from parsl_exporter.model.oldest import Still
from parsl_exporter.model.stamps import MICROSECONDS
from parsl_exporter.model.standing import FIRST_ODD, OddStates, Standing, standing
from parsl_exporter.model.states import FIRST_FINAL, PENDING, RUNNING, TIMED
from parsl_exporter.model.sums import COUNTERS, GAUGES, ON_HOST, RESIDENT, Buckets, Sums
from parsl_exporter.model.tries import FINISHED, NEVER, NONE, NOWHERE, Tasks, Tries, joined
from parsl_exporter.model.writers import Writers
from parsl_exporter.tables import STATUS

_CLOCKS_APART_US = 2 * 3_600 * MICROSECONDS
"""How far the clocks of two workers may be apart: an hour each from the submit host's."""
_CLASSES_TOLD = 20
"""Exception classes of one run that are told to be counted as `_other`."""
_PACKED_FROM = 4_096
"""Places from which on it pays to move the live tasks together when most of them have gone."""


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


class Waiting(NamedTuple):
    """Rows that cannot be taken yet, stamps in naive microseconds, and their places in the order of insertion."""

    columns: Columns
    places: Ints | int


class Run:
    """One run of one database. `published` says whether anything of it has been shown.

    `sought`: its workflow row has been asked for by key since rows of the run were first seen. `heard_us`: when a
    row of it was last taken, see `Runs.heard`. `placed`: executors with a block.

    Until then a histogram's observation can be taken back and made again, afterwards late rows only reach counters.
    """

    def __init__(self, run_id: str, buckets: Buckets, limits: Limits) -> None:
        self.run_id = run_id
        self.info: Info | None = None
        self.names = Codebook()
        self.tasks = Tasks()
        self.tries = Tries(self.tasks)
        self.sums = Sums(self.names, buckets)
        self.odd: OddStates = {}
        self.blocks: dict[tuple[str, str], Block] = {}
        self.executors_of_block: dict[str, set[str]] = {}
        self.executors_seen_on: dict[tuple[str, str], set[str]] = {}
        self.managers: dict[str, Manager] = {}
        self.hosts: dict[str, Host] = {}
        self.nowhere = Host()
        self.apps: dict[str, str] = {}
        self.newest_us = 0
        self.oldest_us: int | None = None
        self.newest_of: dict[str, int] = {}
        self.heard_us = 0
        self.writers = Writers()
        self.watched: dict[int, int] = {}
        self.waiting: list[Waiting] = []
        self.placed: set[str] = set()
        self.offsets = Offsets()
        self.seen = 0.0
        self.over_since: float | None = None
        self.published = False
        self.sought = False
        self.changed = True
        self.forget_at = float("inf")
        self._folded_classes: set[str] = set()
        self._untold_classes: list[str] = []
        self.buckets = buckets
        self._limits = limits
        self.unnamed: list[Codes] = []
        self._shown_odd: dict[int, tuple[int, str]] = {}
        self._touched: list[Codes] = []
        self._before: list[Added] = []
        self._closing: deque[tuple[float, Codes]] = deque()

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
        """A row of this stamp has come."""
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

    def executor_of(self, manager: Manager) -> str:
        """The executor of a manager. Node rows give none, and a block_id is only unique within an executor."""
        block_id, hostname = manager.latest.block_id, manager.latest.hostname
        found = self.executors_of_block.get(block_id, set())
        if len(found) != 1:
            found = self.executors_seen_on.get((block_id, hostname), set())
        return next(iter(found)) if len(found) == 1 else UNKNOWN

    def finished(self, task_ids: Ints) -> Mask:
        """Say of each task whether it is finished and forgotten."""
        return self.tasks.find(task_ids) == FINISHED

    def executors_of(self, task_ids: Ints, try_ids: Ints) -> Codes:
        """Give the codes of the executors of tries: NONE where not known, FINISHED for those of finished tasks."""
        tasks = self.tasks.find(task_ids)
        found = np.where(tasks == FINISHED, FINISHED, NONE).astype(np.int32)
        live = np.flatnonzero(tasks >= 0)
        places = self.tries.find(tasks[live], try_ids[live])
        there = places >= 0
        found[live[there]] = self.tries.executor[places[there]]
        return found

    def show_all_groups(self) -> None:
        """Have a group for each app and executor of the tries whose rows have come, though they count nothing yet."""
        places = np.flatnonzero(self.tries.executor >= 0).astype(np.int32)
        places = places[self._complete(places)]
        self.sums.groups(self.tasks.app[self.tries.task[places]], self.tries.executor[places])

    def learn(self, info: Info) -> None:
        """Take the workflow row."""
        if info.end_us is not None and not self.over:
            self.touch(self._live())
        self.info = info

    def _settle_end(self) -> None:
        if self.info is not None:
            self.info = self.info.ending_after(self.newest_of.get(STATUS.name, 0))

    # --- rows come ------------------------------------------------------------------------------------------

    def _live(self) -> Codes:
        return np.flatnonzero((self.tasks.head >= 0) | (self.tasks.app >= 0)).astype(np.int32)

    def touch(self, tasks: Codes) -> None:
        """Rows of these tasks are about to be taken: note what their tries have added so far."""
        new = np.unique(tasks[~self.tasks.touched[tasks]])
        if not len(new):
            return
        self.tasks.touched[new] = True
        self._touched.append(new)
        settled = new[self.tasks.settled[new]]
        if len(settled):
            places, _ = self.tries.of(settled)
            self._before.append(self._added(places))

    def _added(self, places: Codes) -> Added:
        tasks = self.tries.task[places]
        groups = self.sums.groups(self.tasks.app[tasks], self.tries.executor[places])
        return contribution.added(self.tasks, self.tries, places, groups, over=self.over)

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

    # --- settling -------------------------------------------------------------------------------------------

    def unsettled(self, now: float) -> bool:
        """Say whether `settle` would bring any sum up to date."""
        begins_to_be_over = self.over and self.over_since is None
        due = bool(self._closing) and self._closing[0][0] <= now
        return bool(self._touched) or begins_to_be_over or due

    def settle(self, now: float) -> None:
        """Bring every sum up to date with the rows taken so far, and close the tries that have been quiet."""
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
        self._close_quiet(now)
        if self.tasks.size > _PACKED_FROM and 4 * len(self.tasks) < self.tasks.size:
            self._pack()

    def _settle(self, tasks: Codes) -> Codes:
        """Bring the sums up to date with these tasks; give the places of their tries."""
        places, owner = self.tries.of(tasks)
        if len(places):
            self._place(places)
            self.offsets.note(self.tries, places, self.names.texts)
            self._count(places)
        found = standing(self.tries, places, owner, len(tasks), self.odd)
        self._show(tasks, found)
        self.tasks.touched[tasks] = False
        self.tasks.settled[tasks] = True
        return places

    def _count(self, places: Codes) -> None:
        """Move counters and gauges by the difference to what these tries had added before."""
        before = self._noted(places)
        self._assign_groups(places)
        self._count_failures(places)
        if self.odd:
            self._count_odd(places)
        after = self._added(places)
        values = after.values.copy()
        if before is not None:
            order = np.argsort(places)
            at = order[np.searchsorted(places[order], before.places)]
            same = before.group == after.group[at]
            values[at[same], COUNTERS] -= before.values[same, COUNTERS]
            moved = ~same & (before.group >= 0)
            self.sums.add(before.group[moved], -before.values[moved], COUNTERS)
            same = before.cpu_host == after.cpu_host[at]
            values[at[same], ON_HOST] -= before.values[same, ON_HOST]
            self._add_to_hosts(before.cpu_host[~same], -before.values[~same, ON_HOST])
            self._run(before, -1)
        counted = after.group >= 0
        self.sums.add(after.group[counted], values[counted], COUNTERS)
        self.sums.counted.update(np.unique(after.group[counted]).tolist())
        self._add_to_hosts(after.cpu_host, values[:, ON_HOST])
        self._run(after, 1)
        self._ask(places)

    def _noted(self, places: Codes) -> Added | None:
        """What those of these tries that were settled before have added until now."""
        if not self._before:
            return None
        parts = self._before
        self._before = []
        noted = parts[0] if len(parts) == 1 else Added(*map(np.concatenate, zip(*parts, strict=True)))
        of = np.isin(noted.places, places)
        if of.all():
            return noted
        self._before.append(Added(*(column[~of] for column in noted)))
        return Added(*(column[of] for column in noted))

    def _assign_groups(self, places: Codes) -> None:
        """Say where each try counts, once its names are known or it has closed without them; nothing shown moves."""
        tries = self.tries
        app, executor = self.tasks.app[tries.task[places]], tries.executor[places]
        counts = ((app >= 0) & (executor >= 0)) | tries.closed[places]
        if self.published:
            counts &= tries.group[places] < 0
        tries.group[places[counts]] = self.sums.groups(app[counts], executor[counts])
        host, counted_on = tries.host[places], tries.cpu_host[places]
        found = np.where(host >= 0, host, np.where(tries.closed[places], NOWHERE, NONE))
        if self.published:
            stays = (counted_on >= 0) | ((counted_on == NOWHERE) & self.over)
            found = np.where(stays, counted_on, found)
        tries.cpu_host[places] = found

    def _count_failures(self, places: Codes) -> None:
        """Count each failure once, under its reason as soon as that is known, `unknown` at its close."""
        tries = self.tries
        open_ = (tries.counted_failure[places] < 0) & (tries.group[places] >= 0)
        wasted = contribution.wasteful(tries, places)
        reason = np.where(wasted & tries.closed[places], 0, NONE)
        reason = np.where(wasted & (tries.failure[places] >= 0), tries.failure[places], reason)
        failed = ~wasted & contribution.failed_dependency(tries, places)
        if failed.any():
            reason[failed] = self.names.code(DEPENDENCY_ERROR)
        counts = np.flatnonzero(open_ & (reason >= 0))
        if len(counts):
            tries.counted_failure[places[counts]] = reason[counts]
            groups = tries.group[places[counts]].tolist()
            for group, code in zip(groups, reason[counts].tolist(), strict=True):
                self.sums.failures[group, self.names.texts[code]] += 1

    def _count_odd(self, places: Codes) -> None:
        for place in places[self.tries.odd_at[places] >= 0].tolist():
            group = int(self.tries.group[place])
            for name, rows in self.odd[place].items():
                if rows.group not in (NONE, group):
                    self.sums.odd_transitions[rows.group, name] -= rows.counted
                    rows.counted = 0
                if group >= 0:
                    self.sums.odd_transitions[group, name] += rows.rows - rows.counted
                    rows.counted, rows.group = rows.rows, group

    def _add_to_hosts(self, hosts: Codes, values: Floats) -> None:
        used = np.flatnonzero(values.any(axis=1))
        if not len(used):
            return
        found, of = np.unique(hosts[used], return_inverse=True)
        cpu = np.bincount(of, values[used, 0], len(found)).tolist()
        sampled = np.bincount(of, values[used, 1], len(found)).tolist()
        for code, seconds, tries in zip(found.tolist(), cpu, sampled, strict=True):
            host = self.nowhere if code < 0 else self.host(self.names.texts[code])
            host.cpu += seconds
            host.sampled += tries

    def _run(self, added: Added, sign: int) -> None:
        """Add the running ones among these tries to the gauges of their group, host and block, or take them away."""
        if not added.running.any():
            return
        values = sign * added.values[added.running]
        self.sums.add(added.running_group[added.running], values, GAUGES)
        keys = np.stack([added.host, added.executor, added.block])[:, added.running]
        found, of = np.unique(keys, axis=1, return_inverse=True)
        counts = np.bincount(of.reshape(-1), minlength=found.shape[1]).tolist()
        resident = np.bincount(of.reshape(-1), values[:, RESIDENT], found.shape[1]).tolist()
        texts = self.names.texts
        for (host, executor, block), count, size in zip(found.T.tolist(), counts, resident, strict=True):
            at = self.nowhere if host < 0 else self.host(texts[host])
            at.running += sign * count
            at.resident += size
            if block >= 0:
                self.block(texts[max(executor, 0)], texts[block]).running += sign * count

    def _place(self, places: Codes) -> None:
        """Note on which hosts and blocks tries are, and their signs of life there."""
        tries = self.tries
        host, block, executor = tries.host[places], tries.block[places], tries.executor[places]
        named = np.flatnonzero((host >= 0) | ((block >= 0) & (executor >= 0)))
        if not len(named):
            return
        keys = np.stack([executor, block, host])[:, named]
        found, of = np.unique(keys, axis=1, return_inverse=True)
        newest = np.full(found.shape[1], NONE, np.int64)
        np.maximum.at(newest, of.reshape(-1), tries.alive[places[named]])
        texts = self.names.texts
        for (e, b, h), us in zip(found.T.tolist(), newest.tolist(), strict=True):
            if h >= 0:
                self.host(texts[h])
            if b < 0 or e < 0:
                continue
            facts = self.block(texts[e], texts[b])
            facts.tried = True
            facts.activity = max(facts.activity, us)
            if h >= 0:
                self.executors_seen_on.setdefault((texts[b], texts[h]), set()).add(texts[e])

    def _show(self, tasks: Codes, found: Standing) -> None:
        """Count each task in the state that it is in now, and no more in the one that it was in."""
        columns, sums = self.tasks, self.sums
        latest = columns.latest[tasks]
        executor = np.where(latest >= 0, self.tries.executor[latest], NONE)
        groups = sums.groups(columns.app[tasks], executor)
        there = found.state >= 0
        same = (
            (groups == columns.shown_group[tasks])
            & (found.state == columns.shown_state[tasks])
            & (found.since == columns.shown_since[tasks])
            & (found.state < FIRST_ODD)
        )
        change = np.flatnonzero(there & ~same)
        if not len(change):
            return
        changed = tasks[change]
        old_group, old_state = columns.shown_group[changed], columns.shown_state[changed]
        was = (old_state >= 0) & (old_state < FIRST_ODD)
        np.add.at(sums.tasks, (old_group[was], old_state[was]), -1)
        new_group, new_state, since = groups[change], found.state[change], found.since[change]
        ordinary = new_state < FIRST_ODD
        np.add.at(sums.tasks, (new_group[ordinary], new_state[ordinary]), 1)
        if found.odd or self.odd:
            self._show_odd(changed, new_group, {int(tasks[i]): name for i, name in found.odd.items()})
        columns.shown_group[changed] = new_group
        columns.shown_state[changed] = new_state
        columns.shown_since[changed] = since
        for state in TIMED:
            entered = new_state == state
            if entered.any():
                sums.oldest[state].enter(
                    new_group[entered], changed[entered], since[entered], self._still_in(state)
                )

    def _show_odd(self, changed: Codes, groups: Codes, names: dict[int, str]) -> None:
        for task, group in zip(changed.tolist(), groups.tolist(), strict=True):
            before = self._shown_odd.pop(task, None)
            if before is not None:
                self.sums.odd_tasks[before] -= 1
            if task in names:
                self._shown_odd[task] = (group, names[task])
                self.sums.odd_tasks[group, names[task]] += 1

    def _still_in(self, state: int) -> Still:
        columns = self.tasks

        def still(group: int, tasks: Codes, at: Ints) -> Mask:
            return (
                (columns.shown_state[tasks] == state)
                & (columns.shown_group[tasks] == group)
                & (columns.shown_since[tasks] == at)
            )

        return still

    def oldest(self, group: int, state: int) -> int | None:
        """Microseconds at which the longest-waiting task of a group entered a state; None when none is in it."""
        return self.sums.oldest[state].first(group, self._still_in(state))

    # --- closing --------------------------------------------------------------------------------------------

    def _queue(self, places: Codes) -> None:
        """Have the tries that are over close when they have been quiet."""
        tries = self.tries
        over = contribution.ended(self.tasks, tries, places, over=self.over)
        places = places[over & ~tries.closed[places] & ~tries.queued[places]]
        if len(places):
            tries.queued[places] = True
            self._closing.append((float(tries.seen[places].min()) + self._limits.close_after, places))

    def _close_quiet(self, now: float) -> None:
        tries = self.tries
        again: list[tuple[float, Codes]] = []
        while self._closing and self._closing[0][0] <= now:
            _, places = self._closing.popleft()
            places = places[tries.queued[places]]
            due = tries.seen[places] + self._limits.close_after
            if (later := due > now).any():
                again.append((float(due[later].min()), places[later]))
                places = places[~later]
            # The row that a try lacks, or the end of the run, will touch it again.
            tries.queued[places] = False
            places = np.unique(places[self._attributed(places)])
            if len(places):
                self._close(places)
                self._retire(np.unique(tries.task[places]))
                self.changed = True
        self._closing.extend(again)

    def _complete(self, places: Codes) -> Mask:
        """Say of each try whether the rows that name its app and its executor have come."""
        return (self.tasks.app[self.tries.task[places]] >= 0) & (self.tries.executor[places] >= 0)

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
        tries, sums = self.tries, self.sums
        groups = self.sums.groups(self.tasks.app[tries.task[places]], tries.executor[places])
        for state, (of, values) in contribution.durations(tries, places).items():
            sums.durations[state].observe(groups[of], values, times)
        for histograms, (of, values) in (
            (sums.cpu, contribution.cpu(tries, places)),
            (sums.peak, contribution.peak(tries, places)),
        ):
            histograms.observe(groups[of], values, times)
        self._observe_tasks(places, groups, times)

    def _observe_tasks(self, places: Codes, groups: Codes, times: int) -> None:
        """Observe how long tasks took, at the close of the try that ended last."""
        tries, tasks = self.tries, self.tasks
        final = contribution.final_at(tries, places)
        ending = (final >= 0) & (tasks.timed[tries.task[places]] == (times < 0))
        places, groups, final = places[ending], groups[ending], final[ending]
        if not len(places):
            return
        owners, of = np.unique(tries.task[places], return_inverse=True)
        siblings, owner = self.tries.of(owners)
        begin = np.full(len(owners), NEVER)
        np.minimum.at(begin, owner, tries.first[siblings, PENDING])
        finals = contribution.final_at(tries, siblings)
        latest = np.full(len(owners), NONE, np.int64)
        np.maximum.at(latest, owner, finals)
        last = np.full(len(owners), NONE, np.int64)
        greatest = finals == latest[owner]
        np.maximum.at(last, owner[greatest], tries.try_id[siblings[greatest]])
        timed = (final == latest[of]) & (tries.try_id[places] == last[of]) & (begin[of] < NEVER)
        tasks.timed[owners[of[timed]]] = times > 0
        self.sums.task_duration.observe(groups[timed], np.maximum(0, final[timed] - begin[of[timed]]), times)

    def _retire(self, tasks: Codes) -> None:
        """Forget finished tasks: their sums stay, and a late row has them read again by key."""
        state = self.tasks.shown_state[tasks]
        tasks = tasks[(state >= FIRST_FINAL) & (state < FIRST_ODD) & ~self.tasks.touched[tasks]]
        places, owner = self.tries.of(tasks)
        open_ = np.full(len(tasks), False)
        np.logical_or.at(open_, owner, ~self.tries.closed[places])
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
        moved = ((due, tries[places]) for due, places in self._closing)
        self._closing = deque((due, places[places >= 0]) for due, places in moved)
        for oldest in self.sums.oldest.values():
            oldest.moved(tasks)

    # --- a first read ---------------------------------------------------------------------------------------

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

    def _quiet(self, places: Codes, before_us: float) -> Mask:
        """Say of each try whether all its rows lie before `before_us`, and none that it lacks is just being written."""
        newest = contribution.newest(self.tries, places)
        lacking = ~self._complete(places) | self._lacking(places)
        long_before = min(before_us, self.last_us - _CLOCKS_APART_US)
        return np.where(lacking, (newest > 0) & (newest < long_before), newest < before_us)

    # --- what has to be read again --------------------------------------------------------------------------

    def missing(self, *, again: bool) -> tuple[list[int], list[tuple[int, int]]]:
        """Give the tasks (task_id) and tries (task_id, try_id) whose own rows have not come.

        Those among `unnamed`, each once; or `again` those that were given before.
        """
        columns, tries = self.tasks, self.tries
        places = joined(self.unnamed)
        self.unnamed.clear()
        if again:
            places = np.flatnonzero(tries.asked & (tries.executor < 0)).astype(np.int32)
            tasks = np.flatnonzero(columns.asked & (columns.app < 0)).astype(np.int32)
        else:
            places = places[tries.task[places] >= 0]
            tasks = np.unique(tries.task[places])
            tasks = tasks[(columns.app[tasks] < 0) & ~columns.asked[tasks]]
            places = places[(tries.executor[places] < 0) & ~tries.asked[places]]
            columns.asked[tasks] = True
            tries.asked[places] = True
        of = columns.task_id[tries.task[places]]
        return columns.task_id[tasks].tolist(), list(
            zip(of.tolist(), tries.try_id[places].tolist(), strict=True)
        )

    def _lacking(self, places: Codes) -> Mask:
        """Say of each try whether its row lacks what its status rows and samples say must come."""
        tries = self.tries
        hostless = (tries.last[places, RUNNING] >= 0) | (tries.sampled_at[places] >= 0)
        hostless &= tries.host[places] < 0
        reasonless = (tries.failure[places] < 0) & contribution.wasteful(tries, places)
        return ~tries.closed[places] & (hostless | reasonless)

    def _ask(self, places: Codes) -> None:
        self.tries.incomplete[places] = (self.tries.executor[places] >= 0) & self._lacking(places)

    def asks(self) -> Iterator[tuple[int, int]]:
        """The tries (task_id, try_id) whose rows should be read again by key."""
        places = np.flatnonzero(self.tries.incomplete).astype(np.int32)
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
        tries.alive[places] = NONE  # what they showed of their life is in their blocks already
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
