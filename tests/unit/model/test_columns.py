"""A first read in columns: the same page as row by row, whatever is ordinary and whatever is not."""

from __future__ import annotations

import math

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import differences
from reading import Options, Reading
from telling import Told, as_rows, attempt, lifecycle, sample, status, task, workflow
from unit.test_order import CLOSE_AFTER, Telling, oracle, tellings

from parsl_exporter.model.columns import Columns

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


quick = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


@quick
@given(tellings(ordinary_tasks()), st.lists(st.booleans(), min_size=5, max_size=5))
def test_ordinary_tasks_and_such_as_nearly_are(telling: Telling, settled: list[bool]) -> None:
    reading = Reading(Options(close_after=CLOSE_AFTER))
    columns = Columns(reading.runs, CLOSE_AFTER)
    for rows, settle in zip(telling.polls, settled, strict=False):
        reading.take_in_columns(columns, rows)
        if settle:
            columns.settle(math.inf)
    columns.release()
    reading.runs.finish_first_read(reading.clock, reading.wall, whole=True)
    assert differences(oracle(telling.story), reading.series()) == []


def test_ordinary_tasks_are_not_held_once_they_are_over() -> None:
    story = [workflow()]
    for task_id in range(50):
        at = 10 * task_id
        story += [task(task_id), attempt(task_id, host="node1", block="0")]
        story += lifecycle(task_id, *((state, at + i) for i, state in enumerate(ORDINARY)))
    reading = Reading(Options(close_after=CLOSE_AFTER))
    columns = Columns(reading.runs, CLOSE_AFTER)
    reading.take_in_columns(columns, as_rows(story))
    columns.settle(math.inf)
    run = reading.runs.runs["run-1"]
    assert columns.live_tasks() == 4  # the last 30 seconds
    assert run.tasks == {}
    assert run.groups["add", "htex"].tasks["exec_done"] == 46
