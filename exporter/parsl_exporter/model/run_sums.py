"""The sums of one run, brought up to date with its tries: by the difference to what these had added before.

Stamps are microseconds UTC.
"""

from __future__ import annotations

import numpy as np

from parsl_exporter.base.columns import (
    Codes,
    Floats,
    Ints,
    Mask,
    any_of,
    distinct,
    grouped,
    indices,
    paired,
)
from parsl_exporter.model import contribution
from parsl_exporter.model.contribution import Added
from parsl_exporter.model.failures import DEPENDENCY_ERROR
from parsl_exporter.model.oldest import Still
from parsl_exporter.model.run_facts import RunFacts
from parsl_exporter.model.standing import FIRST_ODD, Standing
from parsl_exporter.model.states import TIMED
from parsl_exporter.model.sums import COUNTERS, GAUGES, ON_HOST, RESIDENT
from parsl_exporter.model.tries import NONE, NOWHERE

_MOST_CODES = (1 << 21) - 2
"""Codes of which three fit into one number."""


class RunSums(RunFacts):
    """One run of one database, as far as its sums go."""

    def show_all_groups(self) -> None:
        """Have a group for each app and executor of the tries whose rows have come, though they count nothing yet."""
        places = np.arange(self.tries.size, dtype=np.int32)
        self._named_groups(places[self._complete(places)])

    def touch(self, tasks: Codes) -> None:
        """Rows of these tasks are about to be taken: note what their tries have added so far."""
        new = distinct(tasks[~self.tasks.touched[tasks]])
        if not len(new):
            return
        self.tasks.touched[new] = True
        self._touched.append(new)
        settled = new[self.tasks.settled[new]]
        if len(settled):
            places, _ = self.tries.of(settled)
            self._before.append(self._added(places))

    def _named_groups(self, places: Codes) -> Codes:
        """Give the groups of tries as far as their names are known."""
        return self.sums.groups(self.tasks.app[self.tries.task[places]], self.tries.executor[places])

    def _added(self, places: Codes) -> Added:
        groups = self._named_groups(places)
        return contribution.added(self.tasks, self.tries, places, groups, over=self.over)

    def _count(self, places: Codes) -> None:
        """Move counters and gauges by the difference to what these tries had added before."""
        before = self._noted(places)
        groups = self._named_groups(places)
        self._assign_groups(places, groups)
        self._count_failures(places)
        if self.odd:
            self._count_odd(places)
        after = contribution.added(self.tasks, self.tries, places, groups, over=self.over)
        values = after.values
        if before is not None:
            values = values.copy()
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
        self.sums.add(after.group, values, COUNTERS)
        self.sums.counted.update(distinct(after.group[after.group >= 0]).tolist())
        self._add_to_hosts(after.cpu_host, values[:, ON_HOST])
        self._run(after, 1)
        self._ask(places)

    def _noted(self, places: Codes) -> Added | None:
        """What those of these tries that were settled before have added until now."""
        if not self._before:
            return None
        parts = self._before
        self._before = []
        noted = Added.joined(parts)
        among = np.full(self.tries.size, False)
        among[places] = True
        of = among[noted.places]
        if of.all():
            return noted
        self._before.append(noted.only(~of))
        return noted.only(of)

    def _assign_groups(self, places: Codes, groups: Codes) -> None:
        """Say where each try counts, once its names are known or it has closed without them; nothing shown moves."""
        tries = self.tries
        counts = self._complete(places) | tries.closed[places]
        if self.published:
            counts &= tries.group[places] < 0
        tries.group[places[counts]] = groups[counts]
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
        if any_of(failed):
            reason[failed] = self.names.code(DEPENDENCY_ERROR)
        counts = indices(open_ & (reason >= 0))
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
        used = indices((values[:, 0] != 0.0) | (values[:, 1] != 0.0))
        if not len(used):
            return
        hosts = hosts[used]
        first, of = grouped(hosts)
        cpu = np.bincount(of, values[used, 0]).tolist()
        sampled = np.bincount(of, values[used, 1]).tolist()
        for code, seconds, tries in zip(hosts[first].tolist(), cpu, sampled, strict=True):
            host = self.nowhere if code < 0 else self.host(self.names.texts[code])
            host.cpu += seconds
            host.sampled += tries

    def _run(self, added: Added, sign: int) -> None:
        """Add the running ones among these tries to the gauges of their group, host and block, or take them away."""
        if not any_of(added.running):
            return
        values = sign * added.values[added.running]
        self.sums.add(added.running_group[added.running], values, GAUGES)
        keys = np.array([added.host, added.executor, added.block])[:, added.running]
        found, of = _different(keys)
        counts = np.bincount(of, minlength=found.shape[1]).tolist()
        resident = np.bincount(of, values[:, RESIDENT], found.shape[1]).tolist()
        texts = self.names.texts
        for (host, executor, block), count, size in zip(found.T.tolist(), counts, resident, strict=True):
            at = self.nowhere if host < 0 else self.host(texts[host])
            at.running += sign * count
            at.resident += size
            if block >= 0:
                self.block(texts[max(executor, 0)], texts[block]).running += sign * count

    def _note_ends(self, places: Codes) -> None:
        """Note when a try of each executor last ended."""
        executor, at = self.tries.executor[places], contribution.latest_end(self.tries, places)
        ended = (executor >= 0) & (at >= 0)
        for code in distinct(executor[ended]).tolist():
            newest = int(at[ended & (executor == code)].max())
            self.ended_on[code] = max(newest, self.ended_on.get(code, 0))

    def _place(self, places: Codes) -> None:
        """Note on which hosts and blocks tries are, and their signs of life there."""
        tries = self.tries
        host, block, executor = tries.host[places], tries.block[places], tries.executor[places]
        named = indices((host >= 0) | ((block >= 0) & (executor >= 0)))
        if not len(named):
            return
        keys = np.array([executor, block, host])[:, named]
        found, of = _different(keys)
        newest = np.full(found.shape[1], NONE)
        np.maximum.at(newest, of, tries.alive[places[named]])
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
        change = indices(there & ~same)
        if not len(change):
            return
        changed = tasks[change]
        old_group, old_state = columns.shown_group[changed], columns.shown_state[changed]
        was = (old_state >= 0) & (old_state < FIRST_ODD)
        np.add.at(sums.tasks, (old_group[was], old_state[was]), -1)
        new_group, new_state, since = groups[change], found.state[change], found.since[change]
        sums.changed[old_group[old_state >= 0]] = True
        sums.changed[new_group] = True
        ordinary = new_state < FIRST_ODD
        np.add.at(sums.tasks, (new_group[ordinary], new_state[ordinary]), 1)
        if found.odd or self.odd:
            self._show_odd(changed, new_group, {int(tasks[i]): name for i, name in found.odd.items()})
        columns.shown_group[changed] = new_group
        columns.shown_state[changed] = new_state
        columns.shown_since[changed] = since
        for state in TIMED:
            entered = new_state == state
            if any_of(entered):
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
            return np.asarray(
                (columns.shown_state[tasks] == state)
                & (columns.shown_group[tasks] == group)
                & (columns.shown_since[tasks] == at)
            )

        return still

    def oldest(self, group: int, state: int) -> int | None:
        """Microseconds at which the longest-waiting task of a group entered a state; None when none is in it."""
        return self.sums.oldest[state].first(group, self._still_in(state))

    def _ask(self, places: Codes) -> None:
        self.tries.incomplete[places] = (self.tries.executor[places] >= 0) & self._lacking(places)


def _different(codes: Codes) -> tuple[Codes, Ints]:
    """Give the different columns among these of three codes each, and of each the index among them."""
    if int(codes.max()) < _MOST_CODES:
        one, two, three = codes.astype(np.int64) + 1
        first, of = grouped(paired(paired(one, two), three))
        return codes[:, first], of
    found, of = np.unique(codes, axis=1, return_inverse=True)
    return found, of.reshape(-1)
