"""A first read in columns: the ordinary tasks of one run as arrays, folded thousands at a time.

`model/intake.py` and `Run` say what rows mean; this is a shorter way to the same sums for tasks of one try that
went pending, launched, running, running_ended, exec_done. A task of which anything else is seen is given up: what
is known of it becomes a `Task`, and its rows go the ordinary way. Needs numpy; without it all rows do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from parsl_exporter.model.groups import Group
from parsl_exporter.model.histogram import Histogram
from parsl_exporter.model.run import Run
from parsl_exporter.model.runs import Runs
from parsl_exporter.model.stamp_columns import read_stamps
from parsl_exporter.model.stamps import MICROSECONDS
from parsl_exporter.model.tasks import Task, Try
from parsl_exporter.model.usage import CUMULATIVE, SYSTEM, TOO_MUCH, USER, Usage
from parsl_exporter.model.writers import SUBMIT
from parsl_exporter.tables import RESOURCE, STATUS, TASK, TRY, Row, Table

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

ORDINARY = ("pending", "launched", "running", "running_ended", "exec_done")
PENDING, LAUNCHED, RUNNING, RUNNING_ENDED, EXEC_DONE = range(5)


class _Codes(dict[str, int]):
    def __missing__(self, state: str) -> int:
        return -1


_CODES = _Codes((state, code) for code, state in enumerate(ORDINARY))
_MOST = 1 << 26
"""Tasks held at once; ids further apart are given up."""
_GAP = 1 << 16
"""Ids that may be missing before the next: one far beyond the others must not cost memory for those between."""
_ROOM = 1 << 8
_DOUBTFUL = 450
"""Seconds by which a task may begin before it was launched, or end after it was told to have, as clocks differ."""
_WORKERS = (RUNNING, RUNNING_ENDED)
_SUBMIT = -2
"""Stands for the executor of rows that no worker wrote."""


class Bulk:
    """Ordinary tasks of one run that are not finished yet, in columns by task_id.

    Each `take_*` gives the mask of the rows that must go the ordinary way, or None when all must: their tasks
    have been given up by then (of all rows: `give_up` must be called with their task ids).
    """

    def __init__(self, run: Run, runs: Runs) -> None:
        self.run = run
        self._runs = runs
        self._stamps = runs.stamps
        self._names = runs.names
        self._base = 0
        self._codes: dict[str, int] = {}
        self._texts: list[str] = []
        self._far: set[int] = set()  # given up, and beyond the columns
        self._allocate(_ROOM)
        self.give_up(run.tasks)  # of an earlier reading that was interrupted

    def __len__(self) -> int:
        """The number of tasks held."""
        return int(np.count_nonzero(self._held))

    def _allocate(self, size: int) -> None:
        self._held: Mask = np.zeros(size, bool)
        self._given_up: Mask = np.zeros(size, bool)
        self._names_of: Ints = np.full((4, size), -1)
        self._at: Ints = np.zeros((len(ORDINARY), size), np.int64)
        self._sampled_at: Ints = np.zeros(size, np.int64)
        self._latest: Floats = np.full((3, size), np.nan)
        self._peak: Floats = np.full(size, np.nan)
        self._low: Floats = np.full((CUMULATIVE, size), np.nan)
        self._high: Floats = np.full((CUMULATIVE, size), np.nan)

    # --- rows in --------------------------------------------------------------------------------------------

    def take_tasks(self, rows: Sequence[Row], label: Callable[[str], str]) -> Mask | None:
        """Take task rows; `label` gives the app's label."""
        columns = list(zip(*rows, strict=True))
        index = self._index(columns[2])
        if index is None:
            return None
        codes = {function: self._code(label(self._names[function])) for function in dict.fromkeys(columns[3])}
        apps = np.fromiter(map(codes.__getitem__, columns[3]), np.int64, len(rows))
        ordinary = self._ordinary(index, (index < 0) | (self._names_of[0, index.clip(0)] >= 0))
        self._names_of[0, index[ordinary]] = apps[ordinary]
        return self._took(index, ordinary, TASK)

    def take_tries(self, rows: Sequence[Row]) -> Mask | None:
        """Take try rows."""
        columns = list(zip(*rows, strict=True))
        index = self._index(columns[2])
        if index is None:
            return None
        tries = self._small(columns[3])
        if tries is None:
            return None
        places = np.stack([self._coded(columns[i]) for i in (4, 6, 5)])
        odd = (index < 0) | (tries != 0) | (places[0] < 0) | (self._names_of[1, index.clip(0)] >= 0)
        odd |= np.fromiter(map(bool, columns[7]), bool, len(rows))
        ordinary = self._ordinary(index, odd)
        self._names_of[1:, index[ordinary]] = places[:, ordinary]
        return self._took(index, ordinary, TRY)

    def _coded(self, column: Sequence[Any]) -> Ints:
        """The codes of a column of names; -1 for NULL and the empty text."""
        codes = {v: -1 if v is None or v == "" else self._code(self._names[v]) for v in set(column)}
        return np.fromiter(map(codes.__getitem__, column), np.int64, len(column))

    def take_status(
        self,
        task_ids: str,
        try_ids: str,
        states: str,
        stamps: str,
        count: int,
        end: int,
        before: Callable[[Mask], None] = lambda mask: None,
    ) -> Mask | None:
        """Take status rows as texts: ids and states with commas between, stamps of 26 characters without.

        `end` is the position of the last. `before` is given the mask first; when it raises, no row has been taken.
        """
        index = self._numbers(task_ids, count)
        tries = self._numbers(try_ids, count)
        at = read_stamps(stamps, count, self._stamps)
        names = states.split(",")
        if index is None or tries is None or at is None or len(names) != count:
            return None
        codes = np.fromiter(map(_CODES.__getitem__, names), np.int64, count)
        index = self._within(index)
        if index is None or not self._plain(STATUS, at, index, np.isin(codes, _WORKERS), end):
            return None
        safe = codes.clip(0), index.clip(0)
        odd = (index < 0) | (codes < 0) | (tries != 0) | (at <= 0) | (self._at[safe] != 0)
        pairs = index * (len(ORDINARY) + 1) + codes + 1  # the code of another state is -1
        _, first, times = np.unique(pairs, return_index=True, return_counts=True)
        odd[first[times > 1]] = True
        ordinary = self._ordinary(index, odd)
        before(~ordinary)
        self._at[codes[ordinary], index[ordinary]] = at[ordinary]
        return self._took(index, ordinary, STATUS, at)

    def take_status_rows(self, rows: Sequence[Row]) -> Mask | None:
        """Take status rows."""
        _, _, task_ids, try_ids, states, stamps = zip(*rows, strict=True)
        if not all(i.__class__ is int for i in (*task_ids, *try_ids)):
            return None
        try:
            texts = (
                ",".join(map(str, task_ids)),
                ",".join(map(str, try_ids)),
                ",".join(states),
                "".join(stamps),
            )
        except TypeError:
            return None
        return self.take_status(*texts, len(rows), rows[-1][0])

    def take_samples(self, rows: Sequence[Row]) -> Mask | None:
        """Take resource samples."""
        columns = list(zip(*rows, strict=True))
        index = self._index(columns[2])
        try:
            at = read_stamps("".join(columns[4]), len(rows), self._stamps)
            values = _floats(columns[5:])
        except (TypeError, ValueError, OverflowError):
            return None
        tries = self._small(columns[3])
        if index is None or at is None or tries is None or values is None:
            return None
        if not self._plain(RESOURCE, at, index, np.full(len(rows), True), rows[-1][0]):
            return None
        odd = (index < 0) | (tries != 0) | (at <= 0) | (np.abs(values) >= TOO_MUCH).any(axis=0)
        ordinary = self._ordinary(index, odd)
        if ordinary.any():
            self._fold_samples(index[ordinary], at[ordinary], values[:, ordinary])
        return self._took(index, ordinary, RESOURCE, at)

    def _fold_samples(self, index: Ints, at: Ints, values: Floats) -> None:
        order = np.lexsort((at, index))
        index, at, values = index[order], at[order], values[:, order]
        begins = np.flatnonzero(np.r_[True, index[1:] != index[:-1]])
        ends = np.r_[begins[1:], len(index)] - 1
        tasks = index[begins]
        # The columns are those of `tables.RESOURCE`: children, user, system, virtual, resident, then the other four.
        cumulative = values[[1, 2, 5, 6, 7, 8]]
        self._low[:, tasks] = np.fmin(self._low[:, tasks], np.fmin.reduceat(cumulative, begins, axis=1))
        self._high[:, tasks] = np.fmax(self._high[:, tasks], np.fmax.reduceat(cumulative, begins, axis=1))
        self._peak[tasks] = np.fmax(self._peak[tasks], np.fmax.reduceat(values[4], begins))
        newer = at[ends] >= self._sampled_at[tasks]
        self._sampled_at[tasks[newer]] = at[ends][newer]
        self._latest[:, tasks[newer]] = values[[0, 3, 4]][:, ends][:, newer]

    # --- places in the columns ------------------------------------------------------------------------------

    def _code(self, text: str) -> int:
        code = self._codes.get(text)
        if code is None:
            code = self._codes[text] = len(self._texts)
            self._texts.append(text)
        return code

    def _numbers(self, text: str, count: int) -> Ints | None:
        if not text.isascii() or any(c in text for c in " .eE"):
            return None
        try:
            numbers = np.fromstring(text, np.int64, sep=",")
        except (ValueError, DeprecationWarning):
            return None
        return numbers if len(numbers) == count else None

    def _index(self, task_ids: Sequence[Any]) -> Ints | None:
        ids = self._small(task_ids)
        return None if ids is None else self._within(ids)

    def _small(self, column: Sequence[Any]) -> Ints | None:
        """A column of integers; None when it has anything else."""
        if set(map(type, column)) != {int}:
            return None
        try:
            return np.array(column, np.int64)
        except OverflowError:
            return None

    def _within(self, ids: Ints) -> Ints | None:
        """The columns' places of these tasks, made when they are new; None when they lie too far apart."""
        index = ids - self._base
        most = int(index.max(initial=-1))
        if most >= _MOST:
            return None
        size = len(self._held)
        if most >= size:
            if most >= 2 * int(np.count_nonzero(self._held | self._given_up)) + _GAP:
                return None
            old = self.__dict__.copy()
            self._allocate(max(2 * size, most + _ROOM))
            self._copy(old, slice(0, size), size)
            near = {i for i in self._far if i - self._base < len(self._held)}
            self._far -= near
            self.give_up(near)
        return index

    def _copy(self, old: dict[str, Any], part: slice, size: int) -> None:
        for key, new in self.__dict__.items():
            if isinstance(new, np.ndarray):
                new[..., :size] = old[key][..., part]

    def _ordinary(self, index: Ints, odd: Mask) -> Mask:
        """The rows whose tasks are in the columns; the tasks of `odd` ones are given up."""
        place = index.clip(0)
        # A finished task comes back to the run with this row, and its later rows must go there, too.
        self._given_up[place[(index >= 0) & self.run.retired.among(place + self._base)]] = True
        known: Mask = (index >= 0) & ~self._given_up[place]
        if (odd & known).any():
            self._give_up(np.unique(index[odd & known]))
            known &= ~self._given_up[place]
        return known

    def _plain(self, table: Table, at: Ints, index: Ints, worker: Mask, end: int) -> bool:
        """Say whether stamps can be taken as they are, none of which came twice; tell the run's writers where they ask.

        `worker`: rows that workers wrote; `end`: the position of the last.
        """
        newest = int(at.max())
        if newest < self._runs.plain_until(self.run, int(at.min())):
            return True
        if newest > self._runs.wall_us or self.run.clock_ahead:
            return False
        watched = at >= self._runs.watched_from(self.run, newest)
        executors = np.where(worker, self._names_of[1, index.clip(0)], _SUBMIT)[watched]
        if (executors == -1).any() or (index < 0).any():
            return False
        for code in np.unique(executors).tolist():
            writer = SUBMIT if code == _SUBMIT else self._texts[code]
            self.run.writers[table.name, writer].wrote(end, int(at[watched][executors == code].max()))
        return True

    def _took(self, index: Ints, ordinary: Mask, table: Table, at: Ints | None = None) -> Mask:
        self._held[index[ordinary]] = True
        if at is not None and ordinary.any():
            self._runs.took(self.run, table, int(at[ordinary].max()))
        self.run.changed = True
        return ~ordinary

    # --- out of the columns ---------------------------------------------------------------------------------

    def give_up(self, task_ids: Iterable[Any]) -> None:
        """Hand these tasks over to the ordinary way, for good; what is no task_id is left to that."""
        places = {i - self._base for i in task_ids if i.__class__ is int and i >= self._base}
        size = len(self._held)
        self._give_up(np.array([place for place in places if place < size], np.int64))
        self._far.update(place + self._base for place in places if place >= size)

    def _give_up(self, index: Ints) -> None:
        for place in index[self._held[index]]:
            self.run.tasks[int(place) + self._base] = self._task(int(place))
        self._held[index] = False
        self._given_up[index] = True

    def release(self) -> None:
        """Hand all tasks that are left over to the ordinary way."""
        self._give_up(np.flatnonzero(self._held))

    def _task(self, place: int) -> Task:
        app, executor, host, block = (int(code) for code in self._names_of[:, place])
        task = Task()
        task.app = self._texts[app] if app >= 0 else None
        one = task.tries[0] = Try()
        one.executor = self._texts[executor] if executor >= 0 else None
        one.host = self._texts[host] if host >= 0 else None
        one.block = self._texts[block] if block >= 0 else None
        one.seen = self.run.seen
        for code, state in enumerate(ORDINARY):
            if self._at[code, place]:
                one.first[state] = int(self._at[code, place])
        if self._sampled_at[place]:
            children, virtual, resident = (_nullable(v) for v in self._latest[:, place])
            low = [_nullable(v) for v in self._low[:, place]]
            one.usage = Usage(int(self._sampled_at[place]), children, virtual, resident, low)
            one.usage.high = [_nullable(v) for v in self._high[:, place]]
            one.usage.peak = _nullable(self._peak[place])
        if app >= 0 and executor < 0 and not one.first and one.usage is None:
            task.tries.clear()
        return task

    def flush(self, before_us: float) -> None:
        """Add the finished tasks all of whose rows lie before `before_us` to the run's sums, and forget them."""
        newest = np.maximum(self._at.max(axis=0, initial=0), self._sampled_at)
        whole = self._held & (self._at > 0).all(axis=0) & (self._names_of[:3] >= 0).all(axis=0)
        done = np.flatnonzero(whole & (newest < before_us))
        if len(done):
            self._add_groups(done)
            self._add_places(done, newest)
            self._add_offsets(done)
            self.run.retired.add_all(done + self._base)
            self._held[done] = False
        self._shrink()

    def _add_groups(self, done: Ints) -> None:
        app, executor = self._names_of[0, done], self._names_of[1, done]
        pairs, of = np.unique(app * len(self._texts) + executor, return_inverse=True)
        at = self._at[:, done]
        used = np.nan_to_num(self._high[:, done] - self._low[:, done])
        cpu = used[USER] + used[SYSTEM]
        sampled = ~np.isnan(self._high[USER, done]) & ~np.isnan(self._high[SYSTEM, done])
        peak = self._peak[done]
        groups = [
            self.run.group(self._texts[pair // len(self._texts)], self._texts[pair % len(self._texts)])
            for pair in pairs.tolist()
        ]
        for group, count in zip(groups, np.bincount(of, minlength=len(groups)).tolist(), strict=True):
            group.counted = True
            group.tasks["exec_done"] += count
            for state in ORDINARY:
                group.transitions[state] += count
        for column in range(CUMULATIVE):
            sums = np.bincount(of, used[column], len(groups)).tolist()
            for group, total in zip(groups, sums, strict=True):
                group.used[column] += total
        whole = np.full(len(done), True)
        for get, values, where in (
            (lambda g: g.durations["pending"], at[LAUNCHED] - at[PENDING], whole),
            (lambda g: g.durations["launched"], at[RUNNING] - at[LAUNCHED], whole),
            (lambda g: g.durations["running"], at[RUNNING_ENDED] - at[RUNNING], whole),
            (lambda g: g.task_duration, at[EXEC_DONE] - at[PENDING], whole),
            (lambda g: g.cpu, cpu, sampled),
            (lambda g: g.peak, peak, ~np.isnan(peak)),
        ):
            _observe(
                groups, get, of[where], values[where].clip(0) if values.dtype == np.int64 else values[where]
            )
        hosts, of_host = np.unique(self._names_of[2, done], return_inverse=True)
        for host, total in zip(hosts.tolist(), np.bincount(of_host, cpu).tolist(), strict=True):
            self.run.host(self._texts[host]).cpu += total

    def _add_places(self, done: Ints, newest: Ints) -> None:
        done = done[self._names_of[3, done] >= 0]
        if not len(done):
            return
        _, executor, host, block = self._names_of[:, done]
        alive = np.maximum(self._at[RUNNING:, done].max(axis=0), self._sampled_at[done])
        order = np.lexsort((host, block, executor))
        keys = np.stack([executor, block, host])[:, order]
        begins = np.flatnonzero(np.r_[True, (keys[:, 1:] != keys[:, :-1]).any(axis=0)])
        latest = np.maximum.reduceat(alive[order], begins)
        for (e, b, h), us in zip(keys[:, begins].T.tolist(), latest.tolist(), strict=True):
            block_facts = self.run.block(self._texts[e], self._texts[b])
            block_facts.activity = max(block_facts.activity, us)
            self.run.executors_seen_on.setdefault((self._texts[b], self._texts[h]), set()).add(self._texts[e])

    def _add_offsets(self, done: Ints) -> None:
        """What the tasks say of their hosts' clocks: one of each host and offset is enough, to the second."""
        begin = (self._at[RUNNING, done] - self._at[LAUNCHED, done]) // MICROSECONDS
        end = (self._at[RUNNING_ENDED, done] - self._at[EXEC_DONE, done]) // MICROSECONDS
        odd = (begin < -_DOUBTFUL) | (end > _DOUBTFUL)
        places = self._names_of[1, done] * len(self._texts) + self._names_of[2, done]
        of = np.r_[np.flatnonzero(odd), np.unique(np.where(odd, -1, places), return_index=True)[1]]
        for place, begin_s, end_s in set(
            zip(places[of].tolist(), begin[of].tolist(), end[of].tolist(), strict=True)
        ):
            executor, host = (self._texts[code] for code in divmod(place, len(self._texts)))
            self.run.offsets.add(executor, host, begin_s * MICROSECONDS, end_s * MICROSECONDS)

    def _shrink(self) -> None:
        """Let go of the columns below the first task that is still held."""
        held = np.flatnonzero(self._held)
        first = int(held[0]) if len(held) else 0
        if 2 * first > len(self._held) + _ROOM:
            old, size = self.__dict__.copy(), len(self._held) - first
            self._allocate(size)
            self._copy(old, slice(first, first + size), size)
            self._base += first


def _observe(
    groups: Sequence[Group], get: Callable[[Group], Histogram], of: Ints, values: npt.NDArray[Any]
) -> None:
    if not len(values):
        return
    width = len(get(groups[0]).counts)
    places = np.searchsorted(np.array(get(groups[0]).bounds), values, side="left")
    counts = (
        np.bincount(of * width + places, minlength=len(groups) * width).reshape(len(groups), width).tolist()
    )
    sums = np.bincount(of, values, len(groups)).tolist()
    for group, row, total in zip(groups, counts, sums, strict=True):
        histogram = get(group)
        histogram.counts = [a + b for a, b in zip(histogram.counts, row, strict=True)]
        histogram.sum += int(total) if values.dtype == np.int64 else total


def _floats(columns: Sequence[Sequence[Any]]) -> Floats | None:
    """Columns of numbers, NULL as NaN; None when there is anything else, such as the text of a number."""
    try:
        for column in columns:
            sum(column)  # raises where a value is no number, sooner than their types are looked at
    except TypeError:
        if not {int, float, type(None)}.issuperset(map(type, chain(*columns))):
            return None
    return np.array(columns, np.float64)


def _nullable(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)
