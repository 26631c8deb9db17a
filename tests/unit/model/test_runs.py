"""A run told row by row, and the exposition that comes of it."""

from __future__ import annotations

from datetime import timedelta, timezone

import pytest
from one_task import CLOSE_AFTER, ONE_TASK, at_rest, late
from support.model_harness import ModelHarness, Options, told
from support.oracle import BYTES, SECONDS
from support.rows import (
    EPOCH,
    RUN,
    Told,
    as_rows,
    attempt,
    later,
    lifecycle,
    sample,
    status,
    task,
    workflow,
)

from parsl_exporter.base.tables import WORKFLOW
from parsl_exporter.model.failures import failure_class
from parsl_exporter.model.observations import Buckets
from parsl_exporter.model.run import Limits
from parsl_exporter.model.runs import Runs


def test_a_finished_task() -> None:
    reading = at_rest(told(ONE_TASK, Options(close_after=CLOSE_AFTER)))
    assert reading.lines("parsl_tasks") == ['{app="add",executor="htex",state="exec_done"} 1']
    assert reading.lines("parsl_task_transitions_total") == [
        f'{{app="add",executor="htex",state="{state}"}} 1'
        for state in ("pending", "launched", "running", "running_ended", "exec_done")
    ]
    assert reading.lines("parsl_task_state_duration_seconds") == [
        '_count{app="add",executor="htex",state="pending"} 1',
        '_sum{app="add",executor="htex",state="pending"} 1',
        '_count{app="add",executor="htex",state="launched"} 1',
        '_sum{app="add",executor="htex",state="launched"} 3',
        '_count{app="add",executor="htex",state="running"} 1',
        '_sum{app="add",executor="htex",state="running"} 4',
    ]
    assert reading.lines("parsl_task_duration_seconds") == [
        '_count{app="add",executor="htex"} 1',
        '_sum{app="add",executor="htex"} 9',
    ]
    assert reading.lines("parsl_task_cpu_seconds_total", "parsl_node_task_cpu_seconds_total") == [
        '{app="add",executor="htex",mode="user"} 2',
        '{app="add",executor="htex",mode="system"} 0.25',
        '{hostname="node1"} 2.25',
    ]
    assert reading.lines("parsl_task_io_read_bytes_total", "parsl_task_io_written_bytes_total") == [
        '{app="add",executor="htex"} 200'
    ]
    assert reading.lines("parsl_task_memory_peak_bytes", "parsl_task_cpu_usage_seconds") == [
        '_count{app="add",executor="htex"} 1',
        '_sum{app="add",executor="htex"} 20000000',
        '_count{app="add",executor="htex"} 1',
        '_sum{app="add",executor="htex"} 2.25',
    ]
    assert reading.lines("parsl_task_memory_resident_bytes", "parsl_task_processes") == []


def test_a_try_with_one_sample_has_a_peak_of_memory_but_no_cpu_time_to_observe() -> None:
    reading = at_rest(told(ONE_TASK[:-1], Options(close_after=CLOSE_AFTER)))
    assert reading.lines("parsl_task_memory_peak_bytes", "parsl_task_cpu_usage_seconds") == [
        '_count{app="add",executor="htex"} 1',
        '_sum{app="add",executor="htex"} 20000000',
    ]
    assert reading.lines("parsl_task_cpu_seconds_total") == []


def test_all_ten_states_are_there_from_the_first() -> None:
    states = (
        "pending launched running running_ended joining fail_retryable memo_done exec_done dep_fail failed"
    )
    lines = told([task(0), attempt(0), status(0, "pending", 1)]).lines("parsl_tasks", zeros=True)
    assert lines == [
        f'{{app="add",executor="htex",state="{state}"}} {int(state == "pending")}' for state in states.split()
    ]


def test_a_running_task() -> None:
    reading = told(ONE_TASK[:6] + ONE_TASK[-2:])
    assert reading.lines("parsl_tasks", "parsl_task_oldest_timestamp_seconds") == [
        '{app="add",executor="htex",state="running"} 1',
        f'{{app="add",executor="htex",state="running"}} {EPOCH + 5:.0f}',
    ]
    assert reading.lines(
        "parsl_task_memory_resident_bytes", "parsl_task_memory_virtual_bytes", "parsl_task_processes"
    ) == [
        '{app="add",executor="htex"} 10000000',
        '{app="add",executor="htex"} 50000000',
        '{app="add",executor="htex"} 3',
    ]
    assert reading.lines("parsl_node_tasks_running", "parsl_node_task_memory_resident_bytes") == [
        '{hostname="node1"} 1',
        '{hostname="node1"} 10000000',
    ]
    assert reading.lines("parsl_block_tasks_running") == ['{executor="htex",block_id="0"} 1']


def test_a_host_uses_what_all_tries_use_that_run_on_it_whenever_they_came() -> None:
    reading = told(ONE_TASK[:6] + ONE_TASK[-2:])
    other = [attempt(1, host="node1"), status(1, "running", 7), sample(1, 8, resident=5e6)]
    reading.poll(late(task(1), *other))
    family = "parsl_node_task_memory_resident_bytes"
    assert reading.lines(family) == ['{hostname="node1"} 15000000']
    reading.poll(later(200, sample(1, 9, resident=7e6)))
    assert reading.lines(family) == ['{hostname="node1"} 17000000']
    reading.poll(later(300, status(0, "running_ended", 9)))
    assert reading.lines(family) == ['{hostname="node1"} 7000000']


def test_the_end_of_its_run_ends_a_running_try_but_not_the_tasks_state() -> None:
    reading = told([*ONE_TASK[:6], workflow(completed=20)])
    assert reading.lines("parsl_tasks") == ['{app="add",executor="htex",state="running"} 1']
    assert reading.lines("parsl_node_tasks_running", "parsl_task_processes") == []


def test_a_later_try_ends_an_earlier_one() -> None:
    story = [*ONE_TASK[:6], status(0, "pending", 30, try_id=1), attempt(0, 1, executor="other")]
    reading = at_rest(told(story, Options(close_after=CLOSE_AFTER)))
    assert reading.lines("parsl_tasks", "parsl_node_tasks_running") == [
        '{app="add",executor="other",state="pending"} 1'
    ]
    assert '_count{app="add",executor="htex",state="launched"} 1' in reading.lines(
        "parsl_task_state_duration_seconds"
    )


# --- rows that have not come yet ----------------------------------------------------------------------------


def test_gauges_show_unknown_at_once_while_counters_hold_the_row() -> None:
    reading = told([status(0, "pending", 1)])
    assert reading.lines("parsl_tasks") == ['{app="unknown",executor="unknown",state="pending"} 1']
    assert reading.lines("parsl_task_transitions_total") == []


def test_the_missing_rows_give_the_names() -> None:
    reading = told([status(0, "pending", 1), task(0), attempt(0)])
    expected = ['{app="add",executor="htex",state="pending"} 1']
    assert reading.lines("parsl_tasks") == reading.lines("parsl_task_transitions_total") == expected


def test_a_host_is_unknown_until_the_try_row_names_it_and_then_no_more() -> None:
    reading = told([task(0), attempt(0), status(0, "running", 1)])
    assert reading.lines("parsl_node_tasks_running", zeros=True) == ['{hostname="unknown"} 1']
    reading.poll([(row[0], (1, *row[1][1:])) for row in as_rows([attempt(0, host="node1", block="0")])])
    assert reading.lines("parsl_node_tasks_running", zeros=True) == ['{hostname="node1"} 1']


def test_what_is_still_missing_when_the_run_is_over_counts_as_unknown_once_its_time_is_up() -> None:
    orphan = [workflow(completed=5), status(0, "pending", 1)]
    reading = told(orphan, Options(close_after=CLOSE_AFTER))
    assert reading.lines("parsl_task_transitions_total") == []
    unknown = ['{app="unknown",executor="unknown",state="pending"} 1']
    assert at_rest(reading).lines("parsl_task_transitions_total") == unknown


def test_rows_written_after_the_end_of_the_run_still_give_the_names() -> None:
    reading = told([workflow(completed=5), status(0, "pending", 1)], Options(close_after=CLOSE_AFTER))
    reading.poll(as_rows([task(0), attempt(0)]))
    known = ['{app="add",executor="htex",state="pending"} 1']
    assert at_rest(reading).lines("parsl_task_transitions_total") == known


def test_a_failure_waits_for_its_reason() -> None:
    failed = [task(0), attempt(0), *lifecycle(0, ("running", 1), ("failed", 2))]
    reading = told(failed, Options(close_after=CLOSE_AFTER))
    assert reading.lines("parsl_task_failures_total") == []
    assert [*reading.runs.incomplete_tries()] == [(RUN, 0, 0)]
    reading.poll(as_rows([attempt(0, history="ValueError('x')", host="n")]))
    assert reading.lines("parsl_task_failures_total") == ['{app="add",executor="htex",reason="ValueError"} 1']
    assert [*reading.runs.incomplete_tries()] == []


def test_a_failure_without_a_reason_is_unknown_when_its_try_closes() -> None:
    failed = [task(0), attempt(0), *lifecycle(0, ("running", 1), ("failed", 2))]
    reading = at_rest(told(failed, Options(close_after=CLOSE_AFTER)))
    assert reading.lines("parsl_task_failures_total") == ['{app="add",executor="htex",reason="unknown"} 1']


@pytest.mark.parametrize(
    ("states", "history", "reason"),
    [
        (("fail_retryable",), "ManagerLost(b'1', 'n')", "ManagerLost"),
        (("failed",), "Strange()", "_other"),
        (("fail_retryable", "failed"), "ValueError('x')", "ValueError"),
        (("dep_fail", "dep_fail"), "DependencyError([...], 1)", "DependencyError"),
        (("dep_fail",), "", "DependencyError"),
    ],
)
def test_a_failed_try_counts_once_by_the_class_of_its_exception(
    states: tuple[str, ...], history: str, reason: str
) -> None:
    story = [task(0), attempt(0, history=history, host="n")]
    story += [status(0, state, i) for i, state in enumerate(states)]
    assert told(story).lines("parsl_task_failures_total") == [
        f'{{app="add",executor="htex",reason="{reason}"}} 1'
    ]


def failed(task_id: int, history: str, app: str = "add") -> list[Told]:
    return [task(task_id, app), attempt(task_id, history=history, host="n"), status(task_id, "failed", 2)]


def test_a_reason_is_there_once_the_run_has_seen_it_and_then_for_all_of_its_apps() -> None:
    reading = told([task(0, "mul"), attempt(0), status(0, "pending", 1)])
    assert reading.lines("parsl_task_failures_total", zeros=True) == []
    reading.poll(as_rows([*failed(1, "ValueError('x')"), *failed(2, "Odd()", "sub")]))
    assert reading.lines("parsl_task_failures_total", zeros=True) == [
        f'{{app="{app}",executor="htex",reason="{reason}"}} {count}'
        for app, counts in (("mul", (0, 0)), ("add", (1, 0)), ("sub", (0, 1)))
        for reason, count in zip(("ValueError", "_other"), counts, strict=True)
    ]


def test_the_classes_that_are_folded_are_noted_once_each_and_not_without_end() -> None:
    reading = told([*failed(0, "Odd()"), *failed(1, "Odd(2)"), *failed(2, "<Strange 4>")])
    run = reading.runs.runs[RUN]
    assert run.untold_classes() == ["Odd", "Strange"]
    assert run.untold_classes() == []
    reading.poll(as_rows([row for i in range(10, 100) for row in failed(i, f"Odd{i}()")]))
    assert len(run.untold_classes()) == 18


def test_a_configured_class_may_be_named_with_its_module() -> None:
    runs = Runs(
        zone=timezone.utc,
        buckets=Buckets.of(SECONDS, BYTES),
        limits=Limits(30, 900, 900, 10),
        failure_reasons=["concurrent.futures.BrokenExecutor"],
    )
    run = runs.run(RUN, 0.0)
    assert run is not None
    assert runs.failure_label(run, failure_class("BrokenExecutor('x')")) == "BrokenExecutor"


def test_rows_that_go_on_waiting_for_their_executor_have_nothing_drawn_anew() -> None:
    reading = ModelHarness(Options(worker_zones=(("htex", timezone(timedelta(hours=-6))),)))
    reading.poll(as_rows([workflow(), task(0), status(0, "pending", 1), status(0, "running", 2)])).draw()
    assert not reading.poll().runs.shows_otherwise(reading.clock)
    reading.poll(as_rows([attempt(0, host="h")]))
    assert reading.runs.shows_otherwise(reading.clock)


def test_only_runs_that_were_named_or_begin_so_are_taken_where_not_all_are_of_interest() -> None:
    runs = Runs(
        zone=timezone.utc,
        buckets=Buckets.of(SECONDS, BYTES),
        limits=Limits(30, 900, 900, 10),
        failure_reasons=(),
        only=["named"],
        beginnings=["ab"],
    )
    for run in ("named", "other", "abc", "named-not"):
        runs.take(WORKFLOW, [row for _, row in as_rows([workflow(run)])], 0.0, EPOCH)
    assert ([*runs.runs], [*runs.others]) == (["named", "abc"], ["other", "named-not"])
