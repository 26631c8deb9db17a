"""Tasks and tries known by their status and resource rows alone, where their own rows must be asked for by key."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeVar

from parsl_exporter.model.runs import Runs, TaskKey, TryKey
from parsl_exporter.model.tasks import Task
from parsl_exporter.tables import Row

Key = TypeVar("Key", TaskKey, TryKey)

_SELDOM = 32


class Nameless:
    """What has no row of its own yet: asked for at once, then less and less often, down to every 32nd time.

    `tasks` and `tries` are to be asked for now.
    """

    def __init__(self) -> None:
        self.tasks: set[TaskKey] = set()
        self.tries: set[TryKey] = set()
        self._waiting_tasks: dict[TaskKey, int] = {}
        self._waiting_tries: dict[TryKey, int] = {}

    def add(self, runs: Runs, rows: Sequence[Row]) -> None:
        """Note what these status or resource rows, which `runs` has taken, name for the first time."""
        for _, run_id, task_id, try_id, *_ in rows:
            run = runs.runs.get(run_id)
            task = run.tasks.get(task_id) if run is not None else None
            if task is None:
                continue
            if task.app is None and (key := TaskKey(run_id, task_id)) not in self._waiting_tasks:
                self.tasks.add(key)
            one = task.tries.get(try_id)
            if one is not None and one.executor is None:
                place = TryKey(run_id, task_id, try_id)
                if place not in self._waiting_tries:
                    self.tries.add(place)

    def asked(self, runs: Runs) -> None:
        """All that was to be asked for was, and `runs` has taken what came: the others have to wait."""
        for key in self.tasks:
            task = _task(runs, key)
            if task is None or task.app is not None:
                self._waiting_tasks.pop(key, None)
            else:
                self._waiting_tasks.setdefault(key, 0)
        for place in self.tries:
            task = _task(runs, place)
            one = task.tries.get(place.try_id) if task is not None else None
            if one is None or one.executor is not None:
                self._waiting_tries.pop(place, None)
            else:
                self._waiting_tries.setdefault(place, 0)
        self.tasks.clear()
        self.tries.clear()

    def again(self, ending: Collection[str]) -> None:
        """A poll is at its end: those that wait are to be asked for when it is their turn, or their run is to end."""
        self.tasks.update(_due(self._waiting_tasks, ending))
        self.tries.update(_due(self._waiting_tries, ending))


def _task(runs: Runs, key: TaskKey | TryKey) -> Task | None:
    run = runs.runs.get(key.run_id)
    return None if run is None else run.tasks.get(key.task_id)


def _due(waiting: dict[Key, int], ending: Collection[str]) -> list[Key]:
    due = []
    for key, times in waiting.items():
        waiting[key] = times + 1
        if times & (times - 1) == 0 or times % _SELDOM == 0 or key.run_id in ending:
            due.append(key)
    return due
