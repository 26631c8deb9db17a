"""Rows of finished tasks that come late."""

from __future__ import annotations

import pytest
from one_task import CLOSE_AFTER, ONE_TASK, at_rest, late
from support.model_harness import ModelHarness, Options, oracle_of, told
from support.oracle import differences
from support.rows import Told, as_rows, attempt, lifecycle, sample, status, task, workflow

from parsl_exporter.base.formats import Format

# --- late rows ------------------------------------------------------------------------------------------------


def closed() -> ModelHarness:
    """A finished task that the model has let go of, published."""
    reading = at_rest(told(ONE_TASK, Options(close_after=CLOSE_AFTER)))
    reading.draw()
    assert reading.runs.live_tasks() == 0
    return reading


def test_a_late_status_row_reaches_the_counter_but_no_histogram() -> None:
    reading = closed()
    before = reading.lines("parsl_task_state_duration_seconds", "parsl_task_duration_seconds")
    at_rest(reading.poll(late(status(0, "running", 3))))
    assert '{app="add",executor="htex",state="running"} 2' in reading.lines("parsl_task_transitions_total")
    assert reading.lines("parsl_task_state_duration_seconds", "parsl_task_duration_seconds") == before
    assert reading.runs.late == {"status": 1}
    assert reading.runs.live_tasks() == 0


def test_a_late_sample_widens_what_the_try_used() -> None:
    reading = closed()
    reading.poll(late(sample(0, 9, user=4.5, system=0.5, resident=30e6)))
    assert reading.lines("parsl_task_cpu_seconds_total")[0] == '{app="add",executor="htex",mode="user"} 3'
    assert reading.lines("parsl_node_task_cpu_seconds_total") == ['{hostname="node1"} 3.25']
    assert "_sum{" in reading.lines("parsl_task_memory_peak_bytes")[1]
    assert reading.lines("parsl_task_memory_peak_bytes")[1].endswith(" 20000000")


def test_a_late_final_row_can_still_change_the_state() -> None:
    reading = closed()
    reading.poll(late(status(0, "failed", 11)))
    assert reading.lines("parsl_tasks") == ['{app="add",executor="htex",state="failed"} 1']


def test_a_late_failure_of_a_try_that_had_none_counts() -> None:
    reading = at_rest(closed().poll(late(status(0, "fail_retryable", 11))))
    assert reading.lines("parsl_task_failures_total") == ['{app="add",executor="htex",reason="unknown"} 1']
    assert reading.lines("parsl_task_wasted_cpu_seconds_total") == ['{app="add",executor="htex"} 2.25']


def test_a_late_try_row_says_whose_the_finished_task_was() -> None:
    reading = closed()
    reading.poll(late(attempt(0, executor="other", block="0", host="node1")))
    assert reading.lines("parsl_tasks") == ['{app="add",executor="other",state="exec_done"} 1']
    assert reading.runs.late == {"try": 1}


def test_a_late_task_row_says_of_which_app_the_finished_task_was() -> None:
    reading = closed()
    reading.poll(late(task(0, "mul")))
    assert reading.lines("parsl_tasks") == ['{app="mul",executor="htex",state="exec_done"} 1']
    assert reading.runs.late == {"task": 1}


def test_a_late_row_leaves_what_was_counted_of_a_state_that_is_not_parsls() -> None:
    story = [*ONE_TASK[:3], status(0, "runnable", 1), *ONE_TASK[3:]]
    reading = at_rest(told(story, Options(close_after=CLOSE_AFTER)))
    reading.draw()
    assert reading.runs.live_tasks() == 0
    at_rest(reading.poll(late(status(0, "running", 3))))
    counted = '{app="add",executor="htex",state="runnable"} 1'
    assert counted in reading.lines("parsl_task_transitions_total")


@pytest.mark.parametrize("state", ["running", "runnable"])
def test_before_anything_is_published_all_that_counts_moves_with_its_try_to_its_executor(state: str) -> None:
    """Also a state that is not Parsl's."""
    story = [workflow(completed=9), task(0), status(0, state, 1), sample(0, 2, user=1), sample(0, 3, user=4)]
    reading = at_rest(told(story, Options(close_after=CLOSE_AFTER)))
    reading.poll(as_rows([attempt(0, host="node1")]))
    assert reading.lines("parsl_task_transitions_total", "parsl_task_cpu_seconds_total") == [
        f'{{app="add",executor="htex",state="{state}"}} 1',
        '{app="add",executor="htex",mode="user"} 3',
    ]
    assert reading.lines("parsl_node_task_cpu_seconds_total") == ['{hostname="node1"} 3']


@pytest.mark.parametrize("host", ["node1", "unknown"])
def test_once_it_is_published_nothing_that_counts_moves(host: str) -> None:
    reading = told([task(0), attempt(0, host=host), status(0, "running", 1), *ONE_TASK[-2:]])
    families = (
        "parsl_task_transitions_total",
        "parsl_task_cpu_seconds_total",
        "parsl_node_task_cpu_seconds_total",
    )
    before = reading.lines(*families)
    assert len(before) == 4
    reading.poll(as_rows([attempt(0, executor="other", host="node2")]))
    assert reading.lines(*families) == before
    assert reading.lines("parsl_node_tasks_running") == ['{hostname="node2"} 1']


def let_go_too_early(story: list[Told], row: Told) -> ModelHarness:
    """A first read, nothing of it published, that let go of finished tasks before this row of one came."""
    reading = ModelHarness(Options(close_after=CLOSE_AFTER))
    reading.take(as_rows([*story, status(9, "pending", 10_000)]))
    reading.runs.settle_history()
    assert reading.runs.live_tasks() == 1
    reading.take(late(row))
    reading.runs.finish_first_read(0.0, reading.wall, whole=True)
    return reading


@pytest.mark.parametrize(
    ("history", "final", "reason"),
    [
        ("ValueError('x')", "failed", "ValueError"),
        ("", "failed", "unknown"),
        ("", "dep_fail", "DependencyError"),
    ],
)
def test_a_failure_of_a_try_that_a_first_read_closed_too_early_counts_once(
    history: str, final: str, reason: str
) -> None:
    failed = [row for row in ONE_TASK if row.values.get("task_status_name") not in ("exec_done", "pending")]
    failed += [attempt(0, block="0", host="node1", history=history), status(0, final, 10)]
    reading = let_go_too_early(failed, status(0, "pending", 1))
    assert reading.lines("parsl_task_failures_total") == [
        f'{{app="add",executor="htex",reason="{reason}"}} 1'
    ]


def test_before_anything_is_published_a_late_row_is_as_good_as_any() -> None:
    """A first read may let go of a task too early: what it observed is taken back and made again."""
    without_pending = [told for told in ONE_TASK if told.values.get("task_status_name") != "pending"]
    reading = let_go_too_early(without_pending, status(0, "pending", 1))
    assert reading.lines("parsl_task_duration_seconds") == [
        '_count{app="add",executor="htex"} 1',
        '_sum{app="add",executor="htex"} 9',
    ]
    assert reading.runs.late.total() == 0


def test_before_anything_is_published_a_late_row_may_lower_the_greatest_value_and_change_an_exemplar() -> (
    None
):
    """The task that ran longest had ended sooner: another one is the longest now, and the last of its bucket."""
    story = [
        row
        for task_id, ended in ((0, 40), (1, 55), (2, 50))
        for row in (
            task(task_id),
            attempt(task_id, host="node1"),
            *lifecycle(task_id, ("pending", 0), ("launched", 0), ("running", 0), ("exec_done", ended)),
        )
    ]
    reading = let_go_too_early([workflow(), *story], status(1, "running_ended", 2))
    family = "parsl_task_state_summary_seconds"
    assert '{app="add",executor="htex",state="running",quantile="1.0"} 50' in reading.lines(family)
    page = reading.draw().body(Format.OPENMETRICS).decode().splitlines()
    family = "parsl_task_state_duration_seconds"
    found = {
        line.split('le="')[1].split('"')[0]: line.split('task_id="')[1].split('"')[0]
        for line in page
        if line.startswith(f"{family}_bucket") and 'state="running"' in line and "# {" in line
    }
    assert found == {"5.0": "1", "60.0": "2"}


def test_a_block_that_comes_late_shows_the_life_that_a_forgotten_try_showed_on_it() -> None:
    """A first read lets go of a try whose block is not known, where rows of others tell that no more will come."""
    story = [
        workflow(),
        task(0),
        attempt(0),
        *lifecycle(0, ("pending", 0), ("launched", 0), ("running_ended", 9), ("exec_done", 10)),
        task(1),
        status(1, "pending", 10 + 2 * CLOSE_AFTER),
    ]
    reading = ModelHarness(Options(close_after=CLOSE_AFTER)).poll(as_rows(story), first=True)
    assert reading.runs.live_tasks() == 1
    rest = [status(0, "running", 1), attempt(0, block="0", host="node1")]
    found = reading.poll(late(*rest)).series()
    activity = {"parsl_block_last_activity_timestamp_seconds"}
    assert differences(oracle_of([*story, *rest]), found, families=activity) == []
