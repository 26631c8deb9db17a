"""The numbers of a run, twice: as its database says, and as panels show."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from dashboard_world import World, stamp
from grafana import inventory


class Numbers:
    """What the database says, in the terms of the contract."""

    def __init__(self, world: World) -> None:
        self.rows = world.rows
        self.apps = dict(world.rows("SELECT task_id, task_func_name FROM task"))

    def states(self) -> dict[int, str]:
        """Each task's state: here, where clocks agree and all has ended, the newest of its last try."""
        rank = "task_status_name IN ('exec_done', 'memo_done', 'failed', 'dep_fail')"
        found = self.rows(f"SELECT task_id, task_status_name FROM status WHERE {rank}")
        assert len(found) == len(self.apps)
        return dict(found)

    def steady(self) -> float:
        """A moment at which tries have run on workers for the longest time without any change of a task."""
        found = [
            (stamp(at), state) for at, state in self.rows("SELECT timestamp, task_status_name FROM status")
        ]
        busy = self.rows(
            "SELECT min(status.timestamp), max(status.timestamp) FROM status JOIN try USING (task_id, try_id) "
            "WHERE task_executor = 'htex' AND task_status_name IN ('running', 'running_ended') "
            "GROUP BY task_id, try_id"
        )
        gaps = [
            (end - begin, end - 0.5)
            for (begin, _), (end, _) in pairwise(sorted(found))
            if any(stamp(first) <= begin and end <= stamp(last) for first, last in busy)
        ]
        # Where the submit process is slow, it writes that it launched a task after the worker began it.
        length, moment = max(gap for gap in gaps if self.running_on_blocks(gap[1]))
        assert length > 3, "the exporter and Prometheus need time to see it"
        return moment

    def tries_at(self, moment: float) -> dict[int, tuple[int, str]]:
        """Each task's try and its state then: at a steady moment the newest row, where clocks agree."""
        found = self.rows(
            "SELECT task_id, try_id, task_status_name, timestamp FROM status ORDER BY timestamp"
        )
        return {task: (tried, state) for task, tried, state, at in found if stamp(at) <= moment}

    def states_at(self, moment: float) -> dict[int, str]:
        """Each task's state then."""
        return {task: state for task, (_, state) in self.tries_at(moment).items()}

    def running_on_blocks(self, moment: float) -> dict[str, float]:
        """Tries that run then on each block of htex that has some."""
        counted: dict[str, float] = defaultdict(float)
        tries = self.tries_at(moment)
        for task, tried, block in self.rows(
            "SELECT task_id, try_id, block_id FROM try WHERE task_executor = 'htex'"
        ):
            counted[block] += tries.get(task) == (tried, "running")
        return {block: count for block, count in counted.items() if count}

    def managers_at(self, moment: float) -> dict[str, tuple[str, bool, int, float]]:
        """Block, whether it is active, workers and heartbeat of each manager, by its newest row then."""
        columns = "uid, block_id, active, worker_count, last_heartbeat, timestamp"
        found = self.rows(f"SELECT {columns} FROM node ORDER BY id")
        return {
            uid: (block, bool(active), workers, stamp(heartbeat))
            for uid, block, active, workers, heartbeat, at in found
            if stamp(at) <= moment
        }

    def by_app(self, states: str) -> dict[str, float]:
        wanted = states.split("|")
        counted = dict.fromkeys(self.apps.values(), 0.0)
        for task, state in self.states().items():
            counted[self.apps[task]] += state in wanted
        return counted

    def tries_by_app(self, state: str) -> dict[str, float]:
        counted = dict.fromkeys(self.apps.values(), 0.0)
        for (task,) in self.rows("SELECT task_id FROM status WHERE task_status_name = ?", state):
            counted[self.apps[task]] += 1
        return counted

    def spread(self, *columns: str) -> dict[tuple[int, int], float]:
        """Of each try, the sum of the columns' max - min."""
        shown = " + ".join(f"max({column}) - min({column})" for column in columns)
        found = self.rows(f"SELECT task_id, try_id, {shown} FROM resource GROUP BY task_id, try_id")
        return {(task, tried): value for task, tried, value in found}

    def cpu(self) -> dict[tuple[int, int], float]:
        return self.spread("psutil_process_time_user", "psutil_process_time_system")

    def measured_cpu(self) -> dict[tuple[int, int], float]:
        """The same where samples measure it: of one sample alone the difference says nothing."""
        found = self.rows("SELECT task_id, try_id FROM resource GROUP BY task_id, try_id HAVING count(*) > 1")
        used = self.cpu()
        return {tried: used[tried] for tried in found}

    def peak(self) -> dict[tuple[int, int], float]:
        found = self.rows(
            "SELECT task_id, try_id, max(psutil_process_memory_resident) FROM resource GROUP BY task_id, try_id"
        )
        return {(task, tried): value for task, tried, value in found}

    def failed_tries(self) -> set[tuple[int, int]]:
        return set(
            self.rows(
                "SELECT task_id, try_id FROM status WHERE task_status_name IN ('failed', 'fail_retryable')"
            )
        )

    def ran(self) -> dict[tuple[int, int], float]:
        """Seconds from each try's running row to its running_ended row."""
        found = self.rows(
            "SELECT a.task_id, a.try_id, min(a.timestamp), max(b.timestamp) FROM status a JOIN status b "
            "ON a.task_id = b.task_id AND a.try_id = b.try_id WHERE a.task_status_name = 'running' "
            "AND b.task_status_name = 'running_ended' GROUP BY a.task_id, a.try_id"
        )
        return {(task, tried): stamp(end) - stamp(start) for task, tried, start, end in found}

    def tries_of_apps(self, tries: Mapping[tuple[int, int], float]) -> dict[str, list[float]]:
        """The values of each app's tries, the least first."""
        found: dict[str, list[float]] = defaultdict(list)
        for (task, _), value in tries.items():
            found[self.apps[task]].append(value)
        return {app: sorted(values) for app, values in found.items()}


def nearest_rank(values: Sequence[float], part: float) -> float:
    """The least of sorted values that at least this part of them does not exceed."""
    return values[math.ceil(part * len(values)) - 1]


class Shown:
    """What panels show after the run's end, or at another moment."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.panels = inventory.panels_by_title()

    def ask(
        self, query: Mapping[str, Any], at: float | None = None
    ) -> dict[frozenset[tuple[str, str]], float]:
        at = self.world.after if at is None else at
        return self.world.prometheus.instant(self.world.fill(query["expr"], at), at)

    def query(self, board: str, title: str, name: str) -> Mapping[str, Any]:
        """The query of a table's column."""
        return inventory.column(self.panels[board, title], name)

    def number(self, board: str, title: str, which: int = 0, at: float | None = None) -> float:
        (value,) = self.ask(self.panels[board, title]["targets"][which], at).values()
        return value

    def column(
        self, board: str, title: str, name: str, label: str, at: float | None = None
    ) -> dict[str, float]:
        """A table's column, by the rows' `label`."""
        query = self.query(board, title, name)
        return {dict(labels)[label]: value for labels, value in self.ask(query, at).items()}

    def bars(self, board: str, title: str, label: str) -> dict[str, float]:
        return {
            dict(labels)[label]: value
            for labels, value in self.ask(self.panels[board, title]["targets"][0]).items()
        }
