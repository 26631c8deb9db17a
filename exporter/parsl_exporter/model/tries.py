"""The live tasks of one run and their tries, in columns.

A try is a place in the columns, a task another one; both are used again when a finished task is forgotten. Of a
finished task four bytes stay: that it was there. Stamps are microseconds UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from parsl_exporter.base.columns import (
    Codes,
    Floats,
    Ints,
    Mask,
    any_of,
    distinct,
    grouped,
    indices,
)
from parsl_exporter.model.states import STATES
from parsl_exporter.model.usage import CUMULATIVE

NONE = -1
FINISHED = -2
NOWHERE = -2
"""The host of what tries used whose host nobody named."""
NEVER = 1 << 62
"""The earliest stamp of a state that a try has no row of."""
_FIRST_ROOM = 64
_SLACK = 65_536
"""Task ids that may be missing before the next: one far beyond the others must not cost memory for those between."""
_GROWTH = 1.3

_TASKS: dict[str, tuple[type, tuple[int, ...], float]] = {
    "task_id": (np.int64, (), 0),
    "app": (np.int32, (), NONE),
    "head": (np.int32, (), NONE),
    "latest": (np.int32, (), NONE),
    "shown_group": (np.int32, (), NONE),
    "shown_state": (np.int16, (), NONE),
    "shown_since": (np.int64, (), 0),
    "touched": (np.bool_, (), False),
    "settled": (np.bool_, (), False),
    "asked": (np.bool_, (), False),
    "timed": (np.bool_, (), False),
    "partly_closed": (np.bool_, (), False),
}
_TRIES: dict[str, tuple[type, tuple[int, ...], float]] = {
    "task": (np.int32, (), NONE),
    "following": (np.int32, (), NONE),
    "try_id": (np.int64, (), 0),
    "first": (np.int64, (len(STATES),), NEVER),
    "last": (np.int64, (len(STATES),), NONE),
    "rows": (np.int32, (len(STATES),), 0),
    "low": (np.float64, (CUMULATIVE,), np.inf),
    "high": (np.float64, (CUMULATIVE,), -np.inf),
    "latest_sample": (np.float64, (3,), np.nan),
    "sampled_at": (np.int64, (), NONE),
    "peak": (np.float64, (), -np.inf),
    "cpu_from": (np.int64, (), NEVER),
    "cpu_to": (np.int64, (), NONE),
    "odd_at": (np.int64, (), NONE),
    "alive": (np.int64, (), NONE),
    "executor": (np.int32, (), NONE),
    "block": (np.int32, (), NONE),
    "host": (np.int32, (), NONE),
    "failure": (np.int32, (), NONE),
    "counted_failure": (np.int32, (), NONE),
    "group": (np.int32, (), NONE),
    "cpu_host": (np.int32, (), NONE),
    "seen": (np.float64, (), 0.0),
    "closed": (np.bool_, (), False),
    "queued": (np.bool_, (), False),
    "asked": (np.bool_, (), False),
    "incomplete": (np.bool_, (), False),
}


class Table:
    """Columns of one length, and which of their places are free. A column is an attribute of its name."""

    _columns: ClassVar[dict[str, tuple[type, tuple[int, ...], float]]]

    def __init__(self) -> None:
        self.size = 0
        self._free: Codes = np.empty(0, np.int32)
        self._resize(_FIRST_ROOM)

    def _resize(self, size: int) -> None:
        for name, (kind, shape, empty) in self._columns.items():
            column: npt.NDArray[Any] = np.full((size, *shape), empty, kind)
            if self.size:
                column[: self.size] = getattr(self, name)
            setattr(self, name, column)
        self._free = np.concatenate([np.arange(size - 1, self.size - 1, -1, dtype=np.int32), self._free])
        self.size = size

    def __getstate__(self) -> dict[str, Any]:
        """All but the columns' ends, in which no place is in use: these are empty."""
        used = self._used()
        end = self.size - int(np.argmax(used[::-1])) if any_of(used) else 0
        return {**self.__dict__, **{name: getattr(self, name)[:end] for name in self._columns}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what `__getstate__` gave."""
        self.__dict__.update(state)
        for name, (kind, shape, empty) in self._columns.items():
            column: npt.NDArray[Any] = np.full((self.size, *shape), empty, kind)
            column[: len(state[name])] = state[name]
            setattr(self, name, column)

    def _used(self) -> Mask:
        used = np.full(self.size, True)
        used[self._free] = False
        return used

    def __len__(self) -> int:
        """The number of places in use."""
        return self.size - len(self._free)

    def allocate(self, count: int) -> Codes:
        """Give so many empty places."""
        if len(self._free) < count:
            self._resize(int((self.size + count) * _GROWTH) + _FIRST_ROOM)
        places: Codes = self._free[len(self._free) - count :][::-1].copy()
        self._free = self._free[: len(self._free) - count]
        return places

    def free(self, places: Codes) -> None:
        """Empty these places."""
        for name, (_, _, empty) in self._columns.items():
            getattr(self, name)[places] = empty
        self._free = np.concatenate([self._free, places])

    def packed(self) -> Codes:
        """Move what is in use together; give the new place of each old one, NONE for one that was free.

        Behind them stand FINISHED and NONE: as an index those give themselves.
        """
        used = self._used()
        count = int(np.count_nonzero(used))
        size = int(count * _GROWTH) + _FIRST_ROOM
        for name, (kind, shape, empty) in self._columns.items():
            column: npt.NDArray[Any] = np.full((size, *shape), empty, kind)
            column[:count] = getattr(self, name)[used]
            setattr(self, name, column)
        self._free = np.arange(size - 1, count - 1, -1, dtype=np.int32)
        self.size = size
        moved = np.where(used, np.cumsum(used) - 1, NONE)
        return np.append(moved, [FINISHED, NONE]).astype(np.int32)


class Tasks(Table):
    """The live tasks. `latest` is the place of the try with the greatest try_id, `head` of the first that came."""

    _columns = _TASKS
    task_id: Ints
    app: Codes
    head: Codes
    latest: Codes
    shown_group: Codes
    shown_state: Codes
    shown_since: Ints
    touched: Mask
    settled: Mask
    asked: Mask
    timed: Mask
    partly_closed: Mask

    def __init__(self) -> None:
        super().__init__()
        self._dense: Codes = np.full(_FIRST_ROOM, NONE, np.int32)
        self._sparse: dict[int, int] = {}
        self._known = 0

    @property
    def finished(self) -> int:
        """The number of finished tasks."""
        return self._known - len(self)

    def find(self, task_ids: Ints) -> Codes:
        """Give the places of these tasks: NONE for one never seen, FINISHED for one that is forgotten."""
        if not len(task_ids):
            return np.empty(0, np.int32)
        if int(task_ids.max()) < len(self._dense):
            return self._dense[task_ids]
        near = task_ids < len(self._dense)
        found = np.full(len(task_ids), NONE)
        found[near] = self._dense[task_ids[near]]
        if self._sparse:
            far = indices(~near)
            found[far] = [self._sparse.get(task_id, NONE) for task_id in task_ids[far].tolist()]
        return found

    def add(self, task_ids: Ints) -> Codes:
        """Make these tasks, none of which is there or was given twice; give their places."""
        places = self.allocate(len(task_ids))
        self.task_id[places] = task_ids
        self._known += len(task_ids)
        self._enter(task_ids, places)
        return places

    def _enter(self, task_ids: Ints, places: Codes) -> None:
        most = int(task_ids.max(initial=-1))
        room = max(len(self._dense), 2 * self._known + _SLACK)
        size = len(self._dense)
        if self._sparse and room >= 2 * size:  # no sooner, for all of those are looked at
            size = room
        elif size <= most < room:
            size = min(room, int(most * _GROWTH) + _FIRST_ROOM)
        if size > len(self._dense):
            self._dense = np.concatenate([self._dense, np.full(size - len(self._dense), NONE, np.int32)])
            for task_id in [t for t in self._sparse if t < size]:
                self._dense[task_id] = self._sparse.pop(task_id)
        near = task_ids < len(self._dense)
        self._dense[task_ids[near]] = places[near]
        if not near.all():
            self._sparse.update(zip(task_ids[~near].tolist(), places[~near].tolist(), strict=True))

    def forget(self, places: Codes) -> None:
        """These tasks are finished."""
        task_ids = self.task_id[places]
        self._enter(task_ids, np.full(len(places), FINISHED))
        self.free(places)

    def take_back(self, task_ids: Ints) -> None:
        """Have these finished tasks be as if they had never been seen."""
        self._known -= len(task_ids)
        self._enter(task_ids, np.full(len(task_ids), NONE))

    def pack(self, tries: Codes) -> Codes:
        """Move the tasks together; `tries` are the new places of tries. Gives the new places of tasks."""
        moved = self.packed()
        self._dense = moved[self._dense]
        self._sparse = {task_id: int(moved[place]) for task_id, place in self._sparse.items()}
        self.head = tries[self.head]
        self.latest = tries[self.latest]
        return moved


class Tries(Table):
    """The tries of the live tasks; `following` is the next try of the same task, in no order.

    `first`, `last`, `rows` are the earliest and the latest stamp of each state of `STATES` and its number of rows;
    `odd_at` is the latest stamp of its rows in other states, `alive` its newest sign of life on a block, each no later
    than when its row was taken. `low`, `high`, `peak` are what its samples say, `latest_sample` the newest one's
    children, virtual and resident; `cpu_from` and `cpu_to` are the first and the last that had CPU time. `group` is
    where its counters count, and `cpu_host` where its CPU does, NONE while they are held. `asked`: its try row was
    asked for; `incomplete`: that row still lacks something.
    """

    _columns = _TRIES
    task: Codes
    following: Codes
    try_id: Ints
    first: Ints
    last: Ints
    rows: Codes
    low: Floats
    high: Floats
    latest_sample: Floats
    sampled_at: Ints
    peak: Floats
    cpu_from: Ints
    cpu_to: Ints
    odd_at: Ints
    alive: Ints
    executor: Codes
    block: Codes
    host: Codes
    failure: Codes
    counted_failure: Codes
    group: Codes
    cpu_host: Codes
    seen: Floats
    closed: Mask
    queued: Mask
    asked: Mask
    incomplete: Mask

    def __init__(self, tasks: Tasks) -> None:
        super().__init__()
        self._tasks = tasks
        self._others: dict[tuple[int, int], int] = {}

    def find_or_add(self, tasks: Codes, try_ids: Ints) -> Codes:
        """Give the places of these tries of tasks (by place), made when they are new."""
        head = self._tasks.head[tasks]
        new = head < 0
        if any_of(new):
            owners, try_of = tasks[new], try_ids[new]
            first, _ = grouped(owners)
            self._add(self.allocate(len(first)), owners[first], try_of[first])
            head = self._tasks.head[tasks]
        others = indices(self.try_id[head] != try_ids)
        if len(others):
            keys = list(zip(tasks[others].tolist(), try_ids[others].tolist(), strict=True))
            if new_keys := [key for key in dict.fromkeys(keys) if key not in self._others]:
                self._add_others(new_keys)
            head = head.copy()
            head[others] = [self._others[key] for key in keys]
        return head

    def last_by_state(self, places: Codes) -> Ints:
        """Give `last` of these tries, a line for each state: NumPy is slow to go through many lines of few values."""
        return np.ascontiguousarray(self.last.take(places, 0).T)

    def find(self, tasks: Codes, try_ids: Ints) -> Codes:
        """Give the places of these tries of tasks, NONE where there is none."""
        places: Codes = self._tasks.head[tasks].copy()
        others = indices((places >= 0) & (self.try_id[places] != try_ids))
        for i, key in zip(
            others.tolist(), zip(tasks[others].tolist(), try_ids[others].tolist(), strict=True), strict=True
        ):
            places[i] = self._others.get(key, NONE)
        return places

    def _add_others(self, keys: Sequence[tuple[int, int]]) -> None:
        """Make tries that are not the first of their tasks, one of each task after the other."""
        places = self.allocate(len(keys))
        self._others.update(zip(keys, places.tolist(), strict=True))
        tasks, try_ids = np.array(keys, np.int64).reshape(-1, 2).T
        left = np.arange(len(keys))
        while len(left):
            first, _ = grouped(tasks[left])
            chosen = left[first]
            self._add(places[chosen], tasks[chosen].astype(np.int32), try_ids[chosen])
            left = np.delete(left, first)

    def _add(self, places: Codes, tasks: Codes, try_ids: Ints) -> None:
        """Make tries at empty places, each of another task."""
        self.task[places] = tasks
        self.try_id[places] = try_ids
        head = self._tasks.head[tasks]
        later = head >= 0
        self.following[places[later]] = self.following[head[later]]
        self.following[head[later]] = places[later]
        self._tasks.head[tasks[~later]] = places[~later]
        latest = self._tasks.latest[tasks]
        newer = (latest < 0) | (self.try_id[latest] < try_ids)
        self._tasks.latest[tasks[newer]] = places[newer]

    def of(self, tasks: Codes) -> tuple[Codes, Codes]:
        """Give all tries of these tasks, task by task, and of each the index of its task among `tasks`."""
        owner = indices(self._tasks.head[tasks] >= 0).astype(np.int32)
        place = self._tasks.head[tasks[owner]]
        places, owners = [place], [owner]
        while len(place):
            place = self.following[place]
            there = place >= 0
            place, owner = place[there], owner[there]
            places.append(place)
            owners.append(owner)
        if len(places) <= 2:
            return places[0], owners[0]
        found, of = np.concatenate(places), np.concatenate(owners)
        order = np.argsort(of, kind="stable")
        return found[order], of[order]

    def forget(self, places: Codes) -> None:
        """Let these tries go, before their tasks."""
        tasks = self.task[places]
        others = self._tasks.head[tasks] != places
        for key in zip(tasks[others].tolist(), self.try_id[places[others]].tolist(), strict=True):
            self._others.pop(key, None)
        self.free(places)

    def pack(self) -> tuple[Codes, Codes]:
        """Move all together; give the new places of tries and of tasks, as `packed` does."""
        tries = self.packed()
        tasks = self._tasks.pack(tries)
        self.following = tries[self.following]
        self.task = tasks[self.task]
        self._others = {
            (int(tasks[task]), try_id): int(tries[place]) for (task, try_id), place in self._others.items()
        }
        return tries, tasks


def joined(parts: Iterable[Codes]) -> Codes:
    """Places put together, each once."""
    parts = list(parts)
    if not parts:
        return np.empty(0, np.int32)
    return distinct(np.concatenate(parts))
