"""The rows of a first read, parted into those that are taken in columns and those that go the ordinary way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress
from operator import itemgetter
from typing import Any

from parsl_exporter.model.bulk import Bulk, Mask
from parsl_exporter.model.runs import Runs
from parsl_exporter.model.stamps import MICROSECONDS
from parsl_exporter.tables import RESOURCE, STATUS, TASK, TRY, Row, StatusColumns, Table

_RUN_ID = itemgetter(1)


class Columns:
    """Takes the rows of a first read into `runs`, ordinary tasks in columns. `release` ends it.

    Times and what is raised are as in `Runs`.
    """

    def __init__(self, runs: Runs, close_after: float) -> None:
        self._runs = runs
        self._close_after_us = close_after * MICROSECONDS
        self._bulks: dict[str, Bulk] = {}

    def take(self, table: Table, rows: Sequence[Row], now: float, wall: float) -> None:
        """Take rows of one table."""
        self._runs.take(table, (), now, wall)
        if table in (TASK, TRY, STATUS, RESOURCE):
            by_run: dict[Any, list[Row]] = {run_id: [] for run_id in set(map(_RUN_ID, rows))}
            if len(by_run) == 1:
                by_run[rows[0][1]] = list(rows)
            else:
                for row in rows:
                    by_run[row[1]].append(row)
            rows = [row for run_id, part in by_run.items() for row in self._rest(table, run_id, part, now)]
        if rows:
            self._runs.take(table, rows, now, wall)

    def take_status(
        self, text: StatusColumns, rows: Callable[[], Sequence[Row]], now: float, wall: float
    ) -> None:
        """Take status rows as texts; `rows` gives the same rows in the same order, should they be needed.

        When `rows` raises, none has been taken.
        """
        self._runs.take(STATUS, (), now, wall)
        bulk = self._bulk(text.run_id, now)
        if bulk is None:
            return
        rest: list[Row] = []

        def read_rest(mask: Mask) -> None:
            if mask.any():
                rest.extend(compress(rows(), mask.tolist()))

        texts = text.task_ids, text.try_ids, text.states, text.stamps
        if bulk.take_status(*texts, text.size, text.end, before=read_rest) is None:
            rest.extend(rows())
            bulk.give_up(row[2] for row in rest)
        if rest:
            self._runs.take(STATUS, rest, now, wall)

    def _rest(self, table: Table, run_id: Any, rows: list[Row], now: float) -> Sequence[Row]:
        """Take what can be taken in columns; give the rows that cannot."""
        bulk = self._bulk(run_id, now) if isinstance(run_id, str) and run_id else None
        if bulk is None:
            return rows
        mask: Mask | None = None
        if table is TASK:
            mask = bulk.take_tasks(rows, lambda app: self._runs.label(bulk.run, app))
        elif table is TRY:
            mask = bulk.take_tries(rows)
        elif table is RESOURCE:
            mask = bulk.take_samples(rows)
        elif table is STATUS:
            mask = bulk.take_status_rows(rows)
        if mask is None:
            bulk.give_up(row[2] for row in rows)
            return rows
        return list(compress(rows, mask.tolist()))

    def _bulk(self, run_id: str, now: float) -> Bulk | None:
        run = self._runs.run(run_id, now)
        if run is None:
            return None
        bulk = self._bulks.get(run_id)
        if bulk is None or bulk.run is not run:
            bulk = self._bulks[run_id] = Bulk(run, self._runs)
        return bulk

    def live_tasks(self) -> int:
        """The number of tasks held, in columns and in full."""
        return self._runs.live_tasks() + sum(len(bulk) for bulk in self._bulks.values())

    def settle(self, horizon_us: float) -> None:
        """Let go of the finished tasks whose rows have all been read, up to `horizon_us` in time."""
        for bulk in self._bulks.values():
            bulk.flush(min(horizon_us, bulk.run.last_us) - self._close_after_us)
        self._runs.settle_history(horizon_us)

    def release(self) -> None:
        """Hand all that is left over to the ordinary way: the first read has come to its end."""
        self.settle(float("inf"))
        for bulk in self._bulks.values():
            bulk.release()
        self._bulks.clear()
