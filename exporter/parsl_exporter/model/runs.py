"""The run model of one database: all its runs, and which of them still matter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from parsl_exporter.base.columns import TaskColumns, distinct
from parsl_exporter.base.tables import RESOURCE, STATUS, Row, Table
from parsl_exporter.model.intake import PlacedColumns, columns_of
from parsl_exporter.model.offsets import Offset, zone_name
from parsl_exporter.model.run import Run, Waiting
from parsl_exporter.model.staleness import mark_gone
from parsl_exporter.model.taking import TASK_TABLES, Taking
from parsl_exporter.model.timestamps import MICROSECONDS


class TaskKey(NamedTuple):
    """One task of one run."""

    run_id: str
    task_id: int


class TryKey(NamedTuple):
    """One try of one task."""

    run_id: str
    task_id: int
    try_id: int


_NOT_KEPT = frozenset(
    {
        "last_call",
        "passing",
        "names",
        "first_rejected",
        "_only",
        "_beginnings",
        "_keyed",
        "_buckets",
        "_limits",
        "_reasons",
        "_labels",
        "_zones",
        "_workers",
        "_other_stamps",
    }
)
"""What is given at a model's beginning, is of one moment or for the log, or has a `kept` of its own.

All else of a model is kept.
"""


class Runs(Taking):
    """Folds rows of one database into runs.

    `now`: seconds of a clock that never steps; `wall`: UTC epoch seconds.
    """

    def kept(self) -> dict[str, object]:
        """Everything that rows have made of it, as it is between two steps: not a copy."""
        own = {name: getattr(self, name) for name in self._own()}
        return {**own, "run_zones": self._zones.kept(), "worker_zones": self._workers.kept()}

    def resume(self, kept: Mapping[str, Any]) -> None:
        """Go on, as an empty model of the same options, from what another one has `kept`."""
        for name in self._own():
            setattr(self, name, kept[name])
        self._zones.resume(kept["run_zones"])
        self._workers.resume(*kept["worker_zones"])

    def _own(self) -> list[str]:
        return [name for name in vars(self) if name not in _NOT_KEPT]

    def clocks(self) -> dict[str, float]:
        """By how many seconds the stamps of each run were ahead of `now` when its newest row came."""
        return {run_id: run.last_us / MICROSECONDS - run.seen for run_id, run in self.runs.items()}

    def close_unwatched(self, since: float, clocks: Mapping[str, float], now: float) -> None:
        """Close the tries of which rows have come after `since`, while nobody watched, and whose time is over.

        `clocks`: what `clocks` gave at `since`.
        """
        for run_id, run in self.runs.items():
            run.close_unwatched(since, (clocks.get(run_id, -now) + now) * MICROSECONDS)

    def late_tasks(self) -> dict[tuple[str, int], set[int]]:
        """Finished tasks of which more rows have come, and the try_ids that those give.

        Their earlier rows are needed to count the later ones truly.
        """
        found: dict[tuple[str, int], set[int]] = {}
        for run_id, parts in self.aside.items():
            for part, _ in parts:
                if isinstance(part, TaskColumns):
                    for task_id in distinct(part.task_ids).tolist():
                        found.setdefault(TaskKey(run_id, task_id), set())
                    continue
                for task_id, try_id in np.unique(np.stack([part.task_ids, part.try_ids]), axis=1).T.tolist():
                    found.setdefault(TaskKey(run_id, task_id), set()).add(try_id)
        return found

    def revive(self, history: Mapping[str, Sequence[Row]], now: float) -> None:
        """Take the earlier rows (table name -> rows) of all late tasks, then the rows that were set aside."""
        aside, self.aside = self.aside, defaultdict(list)
        past: defaultdict[str, list[PlacedColumns]] = defaultdict(list)
        for table in TASK_TABLES:
            for of_run in columns_of(
                table, history.get(table.name, ()), self._zones.default, lambda *_: None, self._other_stamps
            ):
                past[of_run.run_id].append(of_run)
        self.last_call = self.passing = True
        try:
            for run_id, parts in aside.items():
                run = self.runs.get(run_id)
                if run is not None:
                    self._revive(run, past[run_id], parts, now)
        finally:
            self.last_call = self.passing = False

    def _revive(self, run: Run, past: Sequence[PlacedColumns], parts: Sequence[Waiting], now: float) -> None:
        task_ids = distinct(np.concatenate([part.columns.task_ids for part in parts]))
        run.tasks.take_back(task_ids)
        newest_us, newest_of, heard_us = run.newest_us, run.newest_of.copy(), run.heard_us
        for _, columns, places in past:
            self._take(run.run_id, columns, places, run.seen)
        run.newest_us, run.newest_of, run.heard_us = newest_us, newest_of, heard_us
        run.come_back(task_ids)
        for late in parts:
            self._take(run.run_id, *late, now)

    def misread_runs(self) -> list[str]:
        """Forget the runs some of whose rows were read in another zone than it turned out: to be read again whole."""
        misread = [run_id for run_id, run in self.runs.items() if self._workers.misread(run)]
        for run_id in misread:
            del self.runs[run_id]
        self.abandoned.update(misread)
        self.awakened.update(misread)
        return misread

    def offsets(self) -> Iterable[tuple[Offset, str]]:
        """Hosts whose stamps speak against the zone that they are read in, and the one that they seem to be in."""
        for run in self.runs.values():
            for offset in run.offsets.found():
                own = self._zones.stamps(run.run_id)
                read_by = self._workers.read_by(run, offset.executor, own)
                yield offset, zone_name(read_by.offset_us(run.newest_us) + offset.us)

    def note_missing(self) -> None:
        """Note the tasks and tries that rows name and whose own rows have not come, for `missing` to give `again`."""
        for run in self.runs.values():
            run.note_missing()

    def missing(self, *, again: bool = False) -> tuple[list[TaskKey], list[TryKey]]:
        """Give the tasks and tries that rows name and whose own rows have not come, each once, or all `again`."""
        tasks: list[TaskKey] = []
        tries: list[TryKey] = []
        for run_id, run in self.runs.items():
            task_ids, keys = run.missing(again=again)
            tasks += [TaskKey(run_id, task_id) for task_id in task_ids]
            tries += [TryKey(run_id, *key) for key in keys]
        return tasks, tries

    def incomplete_tries(self) -> Iterable[TryKey]:
        """Tries whose row is updated after the status rows that announce it: to be read again by key."""
        for run in self.runs.values():
            for task_id, try_id in run.asks():
                yield TryKey(run.run_id, task_id, try_id)

    def sought(self, run_ids: Iterable[str]) -> None:
        """Note that the workflow rows of these runs were asked for by key."""
        for run_id in run_ids:
            if (run := self.runs.get(run_id)) is not None:
                run.sought = True

    @contextmanager
    def taken_whole(self, run_id: str) -> Iterator[None]:
        """Within, all rows of a run are taken that is `awakened`; if that fails it is as if none had been."""
        self.abandoned.discard(run_id)
        try:
            yield
        except BaseException:
            self.runs.pop(run_id, None)
            self.abandoned.add(run_id)
            raise
        self.awakened.discard(run_id)

    def known_runs(self) -> list[str]:
        """Runs whose workflow row may change: of an ended one too, as Parsl may write its end twice.

        `DatabaseManager.close` writes an end of its own before the run's arrives (`parsl/monitoring/db_manager.py`).
        """
        return list(self.runs)

    def settle(self, now: float, *, close: bool = True) -> None:
        """Bring all facts up to date after a poll's rows were taken; `close` what has been quiet."""
        self.take_waiting(now, last_call=True)
        for run in self.runs.values():
            run.settle(now, close=close)

    def unsettled(self, now: float) -> bool:
        """Say whether `settle` would bring anything up to date."""
        return any(run.unsettled(now) for run in self.runs.values())

    def shows_otherwise(self, now: float) -> bool:
        """Say whether anything shows otherwise than when it was last drawn, or has had its time."""
        return any(run.changed or run.forget_at <= now or self._past(run, now) for run in self.runs.values())

    def to_show(self, now: float, wall: float, retention: float) -> list[Run]:
        """Give the runs that are to be shown, with what of them has gone noted as `staleness.mark_gone` does."""
        chosen = [run for run in self.runs.values() if run.info is not None or run.sought]
        for run in chosen:
            if run.changed or run.forget_at <= now:
                mark_gone(run, now, retention, None if run.published else wall)
        return chosen

    def shown(self, runs: Iterable[Run], dropped: Iterable[str]) -> None:
        """Note that these runs are shown as they are now, and drop those that are over and have no room."""
        for run in runs:
            run.changed, run.published = False, True
        for run_id in dropped:
            del self.runs[run_id]
            self.ended.add(run_id)

    def settle_history(self, unread: Collection[Table] = ()) -> None:
        """In a first read: let go of the tasks whose rows have all been read, but for tables with `unread` rows.

        Of a run whose rows are in order of time that is so up to the newest row of it in each of these tables. In
        which no row of a run has come, it may have none: then the newest of all runs' counts.
        """
        now = max((run.seen for run in self.runs.values()), default=0.0)
        self.take_waiting(now, last_call=False)
        overall = {
            table: max((run.newest_of.get(table.name, 0) for run in self.runs.values()), default=0)
            for table in (STATUS, RESOURCE)
        }
        for run in self.runs.values():
            horizon = [run.newest_of.get(t.name, overall[t]) for t in (STATUS, RESOURCE) if t in unread]
            run.close_history(min((*horizon, run.last_us)))

    def all_blocks_taken(self) -> None:
        """In a first read: note that all block rows that are there have been taken."""
        self.blocks_later = False

    def live_tasks(self) -> int:
        """The number of tasks held in full."""
        return sum(len(run.tasks) for run in self.runs.values())

    def skip_ended(self, wall: float) -> None:
        """Before a first read: forget the runs that ended longer than the retention time before `wall`."""
        for run_id, run in list(self.runs.items()):
            end_us = None if run.info is None else run.info.end_again_us
            if end_us is not None and wall - end_us / MICROSECONDS > self._limits.retention:
                del self.runs[run_id]
                self.ended.add(run_id)

    def maybe_abandoned(self, wall: float) -> list[str]:
        """Before a first read: runs without an end that began long enough before `wall` to be abandoned."""
        oldest_us = (wall - self._limits.abandon_after) * MICROSECONDS
        return [r.run_id for r in self.runs.values() if not r.over and r.info and r.info.begin_us < oldest_us]

    def skip_abandoned(self, run_ids: Iterable[str]) -> None:
        """Before a first read: forget these runs until they write again."""
        for run_id in run_ids:
            del self.runs[run_id]
            self.abandoned.add(run_id)

    def keep_newest(self, number: int, silent: Collection[str]) -> None:
        """Before a first read: forget runs that are over or `silent`, the oldest first, until so many are left at most.

        All that live are kept.
        """
        gone = [run for run in self.runs.values() if run.over or run.run_id in silent]
        gone.sort(key=lambda run: (-run.first_us, run.run_id))
        for run in gone[max(0, number - (len(self.runs) - len(gone))) :]:
            del self.runs[run.run_id]
            (self.ended if run.over else self.abandoned).add(run.run_id)

    def finish_first_read(self, now: float, wall: float, *, whole: bool = False) -> None:
        """Everything that was there has been taken: what is over closes, ages come from the stamps.

        `whole` is a dump: every ended try closes, whatever its age.
        """
        self.take_waiting(now, last_call=True)
        for run in self.runs.values():
            if run.over_since is None:
                run.settle_first_read(now, wall, whole=whole)
            if run.info is not None and run.info.end_us is not None:
                self.heard(run, run.info.end_us)  # which its status rows may have told only now
        self.ready = self.blocks_later = True

    def expire(self, now: float) -> None:
        """Drop the runs whose time is over."""
        for run_id, run in list(self.runs.items()):
            if self._past(run, now):
                del self.runs[run_id]
                self._workers.forget(run_id)
                (self.abandoned if run.over_since is None else self.ended).add(run_id)

    def _past(self, run: Run, now: float) -> bool:
        if run.over_since is None:
            return now - run.seen > self._limits.abandon_after
        return now - run.over_since > self._limits.retention
