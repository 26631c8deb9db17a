"""A first read in columns: the same page as row by row, whatever is ordinary and whatever is not."""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Sequence
from datetime import timezone
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oracle import BYTES, SECONDS, differences, expected, parse
from parsl_exporter.dump import dump
from parsl_exporter.model.columns import Columns
from parsl_exporter.model.groups import Buckets
from parsl_exporter.model.run import Limits
from parsl_exporter.read.sqlite import SqliteReader
from parsl_exporter.reading import SourceOptions
from parsl_exporter.source import Clock
from parsl_exporter.tables import Row, Table
from reading import FOREVER, REASONS, SOURCE, Options, Reading
from telling import Told, as_rows, attempt, lifecycle, sample, status, task, workflow, write
from unit.test_order import MEMORY, Numbered, Telling, oracle, stories, tellings

HOUR = 3600
ORDINARY = ("pending", "launched", "running", "running_ended", "exec_done")

numbers = st.integers(0, 1_000).map(float)


@st.composite
def ordinary_tasks(draw: st.DrawFn) -> list[Told]:
    """A run of tasks that did what tasks do, and now and then one that did more or lacks something."""
    story = [workflow(completed=draw(st.none() | st.just(500.0)))]
    for task_id in range(100, 100 + draw(st.integers(1, 8))):
        begin, shift = draw(st.integers(0, 300)), draw(st.sampled_from([0, HOUR, -HOUR]))
        rows = [
            task(task_id, draw(st.sampled_from(["add", "mul", "", "a,b"]))),
            attempt(task_id, executor=draw(st.sampled_from(["htex", "other"])), block="0", host="node1"),
            *lifecycle(
                task_id,
                *((s, begin + i + (shift if s.startswith("running") else 0)) for i, s in enumerate(ORDINARY)),
            ),
            sample(
                task_id,
                begin + shift + 2.25,
                user=draw(numbers),
                system=draw(numbers),
                resident=draw(numbers),
            ),
            sample(
                task_id, begin + shift + 2.5, user=draw(numbers), system=draw(numbers), resident=draw(numbers)
            ),
        ]
        if not draw(st.integers(0, 3)):
            del rows[draw(st.integers(0, len(rows) - 1))]
        if not draw(st.integers(0, 3)):
            rows.append(
                status(task_id, draw(st.sampled_from([*ORDINARY, "failed", "a,b", "joining"])), begin + 9.5)
            )
        if not draw(st.integers(0, 5)):
            rows += [
                attempt(task_id, 1, host=None),
                status(task_id, "pending", begin + 7, 1),
                sample(task_id, begin, 1),
            ]
        story += rows
    return story


class InColumns(Reading):
    """The same reading, as a first read in columns: rows of one table at a time, some of them late."""

    def __init__(self) -> None:
        super().__init__(Options(close_after=30.0))
        self.columns = Columns(self.runs, 30.0)

    def take_first(self, numbered: Sequence[Numbered]) -> None:
        for table, group in itertools.groupby(numbered, key=lambda row: row[0]):
            rows: list[Row] = [row for _, row in group]
            self.columns.take(table, rows, self.clock)
            self._revive()
            for row in rows:
                self._taken[table.name][row[0]] = row

    def finish(self) -> None:
        self.columns.release()
        self.runs.finish_first_read(self.clock, self.wall, whole=True)


def in_columns(polls: Sequence[Sequence[tuple[Table, Row]]], horizons: Sequence[float]) -> InColumns:
    reading = InColumns()
    for rows, horizon in itertools.zip_longest(polls, horizons, fillvalue=()):
        if rows:
            reading.take_first(rows)
        if isinstance(horizon, float):
            reading.columns.settle(horizon)
    reading.finish()
    return reading


quick = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
horizons = st.lists(st.sampled_from([0.0, math.inf, math.inf]), max_size=5)


@quick
@given(tellings(ordinary_tasks()), horizons)
def test_ordinary_tasks_in_any_order(telling: Telling, horizons: list[float]) -> None:
    assert differences(oracle(telling.story), in_columns(telling.polls, horizons).series()) == []


@quick
@given(tellings(), horizons)
def test_tasks_of_every_kind_in_any_order(telling: Telling, horizons: list[float]) -> None:
    assert differences(oracle(telling.story), in_columns(telling.polls, horizons).series()) == []


def test_ordinary_tasks_are_not_held_once_they_are_over() -> None:
    story = [workflow()]
    for task_id in range(50):
        at = 10 * task_id
        story += [task(task_id), attempt(task_id, host="node1", block="0")]
        story += lifecycle(task_id, *((state, at + i) for i, state in enumerate(ORDINARY)))
    reading = InColumns()
    reading.take_first(sorted(as_rows(story), key=lambda row: row[0].name))
    reading.columns.settle(math.inf)
    run = reading.runs.runs["run-1"]
    assert reading.columns.live_tasks() == 4  # the last 30 seconds
    assert run.tasks == {}
    assert run.groups["add", "htex"].tasks["exec_done"] == 46


@quick
@given(st.one_of(stories, ordinary_tasks()))
def test_a_dump_of_any_database_is_what_the_oracle_expects(story: list[Told]) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        database = write(Path(folder) / "monitoring.db", story)
        truth = expected(database, source=SOURCE, timezone="UTC", failure_reasons=REASONS)
        page = dump(SqliteReader(database), _OPTIONS, openmetrics=False, clock=Clock())
    shown = {
        name: series
        for name, series in parse(page.decode()).items()
        if not name.startswith("parsl_exporter_")
    }
    assert differences(truth, shown) == []


_OPTIONS = SourceOptions(
    name=SOURCE,
    zone=timezone.utc,
    buckets=Buckets.of(SECONDS, BYTES),
    limits=Limits(30.0, FOREVER, FOREVER, 1_000),
    runs=1_000,
    failure_reasons=REASONS,
    hidden=frozenset(),
)
