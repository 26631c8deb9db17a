"""A task's state: the greatest of its rows, whatever their order."""

from __future__ import annotations

import itertools

import pytest
from support.model_harness import ModelHarness, told
from support.rows import EPOCH, Told, as_rows, attempt, status, task

from parsl_exporter.model.states import PROGRESS, STATES


def states(rows: list[tuple[int, str, int]]) -> list[str]:
    """The state of a task of status rows: try_id, state, stamp."""
    story: list[Told] = [task(0), *(attempt(0, try_id) for try_id in {row[0] for row in rows})]
    story += [status(0, state, at, try_id) for try_id, state, at in rows]
    return told(story).lines("parsl_tasks")


@pytest.mark.parametrize(
    ("rows", "state"),
    [
        ([(0, "pending", 9), (0, "launched", 1)], "launched"),
        ([(0, "running", 9), (0, "running_ended", 1)], "running_ended"),
        ([(0, "running_ended", 9), (0, "joining", 1)], "joining"),
        ([(0, "joining", 9), (0, "fail_retryable", 1)], "fail_retryable"),
        ([(0, "fail_retryable", 9), (1, "pending", 1)], "pending"),
        ([(1, "running", 9), (0, "exec_done", 1)], "exec_done"),
        ([(0, "running", 9), (0, "exec_done", 1)], "exec_done"),
        ([(0, "exec_done", 1), (0, "memo_done", 2)], "memo_done"),
        ([(0, "exec_done", 2), (0, "memo_done", 2)], "exec_done"),
        ([(0, "exec_done", 2), (0, "dep_fail", 2)], "dep_fail"),
        ([(0, "dep_fail", 2), (0, "failed", 2)], "failed"),
        ([(0, "exec_done", 2), (1, "failed", 1)], "exec_done"),
        ([(0, "runnable", 9), (0, "launched", 1)], "launched"),
        ([(0, "pending", 9), (0, "runnable", 1)], "runnable"),
        ([(0, "runnable", 9), (0, "unsched", 1)], "unsched"),
        ([(0, "launched", 9), (1, "runnable", 1)], "runnable"),
    ],
)
def test_the_greatest_row_is_the_state_in_any_order(rows: list[tuple[int, str, int]], state: str) -> None:
    for order in itertools.permutations(rows):
        assert states(list(order)) == [f'{{app="add",executor="htex",state="{state}"}} 1']


@pytest.mark.parametrize(
    ("rows", "since"),
    [
        ([(0, "running", 7), (0, "running", 5), (1, "running", 9)], 9),
        ([(0, "running", 7), (0, "running", 5)], 5),
        ([(0, "running", 7), (0, "launched", 5)], 7),
    ],
)
def test_it_is_in_its_state_since_the_earliest_row_of_that(
    rows: list[tuple[int, str, int]], since: int
) -> None:
    story = [task(0), *(status(0, state, at, try_id) for try_id, state, at in rows)]
    (line,) = told(story).lines("parsl_task_oldest_timestamp_seconds")
    assert float(line.rpartition(" ")[2]) == EPOCH + since


@pytest.mark.parametrize("state", [*STATES, "runnable"])
def test_a_row_stamped_at_the_epoch_itself_is_a_row(state: str) -> None:
    assert states([(0, state, -int(EPOCH))]) == [f'{{app="add",executor="htex",state="{state}"}} 1']


def test_the_tries_of_each_task_are_its_own() -> None:
    """However many tasks are looked at together."""
    story = [row for task_id in range(3) for row in (task(task_id), attempt(task_id), attempt(task_id, 1))]
    for task_id in (0, 1):
        story += [status(task_id, "exec_done", 5), status(task_id, "running", 9, 1)]
    story += [status(2, "fail_retryable", 5), status(2, "pending", 9, 1)]
    reading = ModelHarness()
    reading.take_by_tables(as_rows(story))
    assert reading.poll().lines("parsl_tasks") == [
        '{app="add",executor="htex",state="pending"} 1',
        '{app="add",executor="htex",state="exec_done"} 2',
    ]


def test_rows_in_a_state_that_is_not_parsls_are_counted_as_it_is_spelt() -> None:
    story = [task(0), attempt(0), *(status(0, "runnable", at) for at in (1, 2, 3)), status(0, "unsched", 2)]
    assert told(story).lines("parsl_task_transitions_total") == [
        '{app="add",executor="htex",state="runnable"} 3',
        '{app="add",executor="htex",state="unsched"} 1',
    ]


def test_a_task_without_a_status_row_has_no_state() -> None:
    assert told([task(0), attempt(0)]).lines("parsl_tasks") == []


def test_parsls_ten_states_are_known() -> None:
    assert len(set(STATES)) == 10
    assert PROGRESS[0] == "pending"
