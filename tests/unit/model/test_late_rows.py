"""Rows of finished tasks that come late."""

from __future__ import annotations

from one_task import CLOSE_AFTER, ONE_TASK, at_rest, late
from reading import Options, Reading, told
from telling import (
    as_rows,
    sample,
    status,
)

# --- late rows ------------------------------------------------------------------------------------------------


def closed() -> Reading:
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


def test_before_anything_is_published_a_late_row_is_as_good_as_any() -> None:
    """A first read may let go of a task too early: what it observed is taken back and made again."""
    without_pending = [told for told in ONE_TASK if told.values.get("task_status_name") != "pending"]
    reading = Reading(Options(close_after=CLOSE_AFTER))
    reading.take(as_rows([*without_pending, status(1, "pending", 100)]))
    reading.runs.settle_history()
    assert reading.runs.live_tasks() == 1
    reading.take(late(status(0, "pending", 1)))
    reading.runs.finish_first_read(0.0, reading.wall, whole=True)
    assert reading.lines("parsl_task_duration_seconds") == [
        '_count{app="add",executor="htex"} 1',
        '_sum{app="add",executor="htex"} 9',
    ]
    assert reading.runs.late.total() == 0
