"""Tasks and tries known by their status and resource rows alone, where their own rows must be asked for by key."""

from __future__ import annotations

from collections.abc import Sequence

from parsl_exporter.model.runs import Runs, TaskKey, TryKey
from parsl_exporter.model.tasks import Task
from parsl_exporter.tables import Row


class Nameless:
    """What has no row of its own yet. `tasks` and `tries` are to be asked for now, others once a poll."""

    def __init__(self) -> None:
        self.tasks: set[TaskKey] = set()
        self.tries: set[TryKey] = set()
        self._waiting_tasks: set[TaskKey] = set()
        self._waiting_tries: set[TryKey] = set()

    def add(self, runs: Runs, rows: Sequence[Row]) -> None:
        """Note what these status or resource rows, which `runs` has taken, name for the first time."""
        for _, run_id, task_id, try_id, *_ in rows:
            run = runs.runs.get(run_id)
            task = run.tasks.get(task_id) if run is not None else None
            if task is None:
                continue
            if task.app is None:
                self.tasks.add(TaskKey(run_id, task_id))
            one = task.tries.get(try_id)
            if one is not None and one.executor is None:
                self.tries.add(TryKey(run_id, task_id, try_id))
        self.tasks -= self._waiting_tasks
        self.tries -= self._waiting_tries

    def asked(self, runs: Runs) -> None:
        """All that was to be asked for was, and `runs` has taken what came: the others have to wait."""
        self._waiting_tasks |= {
            k for k in self.tasks if (task := _task(runs, k)) is not None and task.app is None
        }
        for key in self.tries:
            task = _task(runs, key)
            one = task.tries.get(key.try_id) if task is not None else None
            if one is not None and one.executor is None:
                self._waiting_tries.add(key)
        self.tasks.clear()
        self.tries.clear()

    def again(self) -> None:
        """A poll is at its end: all that wait are to be asked for again."""
        self.tasks |= self._waiting_tasks
        self.tries |= self._waiting_tries
        self._waiting_tasks.clear()
        self._waiting_tries.clear()


def _task(runs: Runs, key: TaskKey | TryKey) -> Task | None:
    run = runs.runs.get(key.run_id)
    return None if run is None else run.tasks.get(key.task_id)
