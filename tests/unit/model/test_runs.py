"""A run told row by row, and the exposition that comes of it."""

from __future__ import annotations

from datetime import timezone

import pytest
from oracle import BYTES, SECONDS
from reading import Options, Reading, finished, told
from telling import (
    EPOCH,
    RUN,
    Told,
    as_rows,
    attempt,
    block,
    lifecycle,
    node,
    sample,
    status,
    task,
    workflow,
)

from parsl_exporter.base.tables import Row, Table
from parsl_exporter.model.failures import failure_class
from parsl_exporter.model.run import Limits
from parsl_exporter.model.runs import Runs
from parsl_exporter.model.sums import Buckets

CLOSE_AFTER = 30.0
RETENTION = 900.0

ONE_TASK = [
    workflow(),
    task(0),
    *lifecycle(0, ("pending", 1), ("launched", 2)),
    attempt(0, block="0", host="node1"),
    *lifecycle(0, ("running", 5), ("running_ended", 9), ("exec_done", 10)),
    sample(0, 6, user=1.5, system=0.5, resident=20e6, virtual=40e6, children=1, read=100, written=10),
    sample(0, 8, user=3.5, system=0.75, resident=10e6, virtual=50e6, children=2, read=300, written=10),
]


def at_rest(reading: Reading) -> Reading:
    """The same when everything that ended has closed."""
    reading.clock += 2 * CLOSE_AFTER
    return reading.poll()


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


# --- late rows ------------------------------------------------------------------------------------------------


def closed() -> Reading:
    """A finished task that the model has let go of, published."""
    reading = at_rest(told(ONE_TASK, Options(close_after=CLOSE_AFTER)))
    reading.draw()
    assert reading.runs.live_tasks() == 0
    return reading


def late(*story: Told) -> list[tuple[Table, Row]]:
    """Rows with numbers of their own, after all those of `ONE_TASK`."""
    return [(table, (100 + row[0], *row[1:])) for table, row in as_rows(story)]


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


# --- the end of a run, and after ------------------------------------------------------------------------------


def test_a_run_goes_the_retention_time_after_it_ended() -> None:
    reading = told([*ONE_TASK, workflow(completed=20)], Options(retention=RETENTION))
    reading.clock = RETENTION
    assert reading.poll().lines("parsl_workflow_end_timestamp_seconds") == [f" {EPOCH + 20:.0f}"]
    reading.clock += 1
    assert reading.poll().lines("parsl_workflow_info", "parsl_tasks") == []
    reading.poll(late(status(0, "running", 3)))
    assert reading.runs.runs == {}


def test_in_a_first_read_a_runs_age_is_that_of_its_stamps() -> None:
    reading = Reading(Options(retention=RETENTION))
    reading.clock = 20 + RETENTION - 1
    reading.poll(as_rows([*ONE_TASK, workflow(completed=20)]), first=True)
    assert reading.lines("parsl_tasks") != []
    reading.clock += 2
    assert reading.poll().lines("parsl_tasks") == []


def test_a_run_without_a_new_row_is_abandoned_and_comes_back_when_it_writes_again() -> None:
    day = 86_400.0
    reading = told(ONE_TASK, Options(abandon_after=day))
    reading.clock = day
    assert reading.poll().lines("parsl_tasks") != []
    reading.clock += 1
    assert reading.poll().lines("parsl_tasks") == []
    reading.take(late(status(1, "pending", day)))
    assert reading.runs.awakened == {RUN}


def test_a_block_and_its_manager_and_host_go_the_retention_time_after_they_ended() -> None:
    story = [
        *ONE_TASK,
        block("0", "RUNNING", 1),
        block("1", "RUNNING", 1),
        node("m0", 2, host="node1", block_id="0"),
        node("m1", 2, host="node2", block_id="1"),
    ]
    reading = told(story, Options(retention=RETENTION))
    reading.lines("parsl_block_state")
    reading.poll(late(block("0", "COMPLETED", 20)))
    assert reading.lines("parsl_manager_active", zeros=True) == [
        '{manager="m0",hostname="node1",executor="htex",block_id="0"} 0',
        '{manager="m1",hostname="node2",executor="htex",block_id="1"} 1',
    ]
    assert reading.lines("parsl_node_cpus") == ['{hostname="node1"} 4', '{hostname="node2"} 4']
    reading.clock = RETENTION + 1
    assert reading.poll().lines("parsl_block_state") == ['{executor="htex",block_id="1",state="RUNNING"} 1']
    assert reading.lines("parsl_manager_info") == [
        '{manager="m1",hostname="node2",executor="htex",block_id="1",python_version="3.11.7"} 1'
    ]
    assert reading.lines("parsl_node_cpus", "parsl_node_tasks_running", zeros=True) == [
        '{hostname="node2"} 4',
        '{hostname="node2"} 0',
    ]
    assert reading.lines("parsl_blocks") == [
        '{executor="htex",state="RUNNING"} 1',
        '{executor="htex",state="COMPLETED"} 1',
    ]


def test_a_block_worked_once_a_try_names_it_or_its_manager_wrote_a_second_active_row() -> None:
    worked = "parsl_block_worked"
    reading = told(
        [
            *(block(block_id, "RUNNING", 1) for block_id in "0123"),
            task(0),
            attempt(0, block="0"),
            *(node(f"m{block_id}", 2, block_id=block_id) for block_id in "123"),
            node("m1", 3, block_id="1", active=False),
            node("m2", 3, block_id="2"),
        ]
    )
    of_block = '{{executor="htex",block_id="{}"}} {}'.format
    assert reading.lines(worked, zeros=True) == [
        of_block(0, 1),
        of_block(1, 0),
        of_block(2, 1),
        of_block(3, 0),
    ]
    reading.poll([*late(node("m1", 4, block_id="1")), *late(node("m3", 4, block_id="3", active=False))])
    assert reading.lines(worked) == [of_block(0, 1), of_block(1, 1), of_block(2, 1)]


def test_of_two_executors_blocks_of_one_id_the_one_that_a_try_names_worked() -> None:
    reading = told(
        [
            block("0", "RUNNING", 1, "htex"),
            block("0", "RUNNING", 1, "other"),
            *(node("m", at, block_id="0") for at in (2, 3)),
        ]
    )
    assert reading.lines("parsl_block_worked") == []
    reading.poll(as_rows([task(0), attempt(0, executor="other", block="0", host="node1")]))
    assert reading.lines("parsl_block_worked") == ['{executor="other",block_id="0"} 1']


def test_a_managers_last_row_is_the_last_inserted() -> None:
    reading = told([node("m", 30), node("m", 20, active=False), node("m", 25, active=False)])
    assert reading.lines("parsl_manager_last_row_timestamp_seconds") == [
        f'{{manager="m",hostname="node1",executor="unknown",block_id="0"}} {EPOCH + 25:.0f}'
    ]


# --- limits ---------------------------------------------------------------------------------------------------


def apps(*names: str) -> list[Told]:
    return [row for i, app in enumerate(names) for row in (task(i, app), attempt(i), status(i, "pending", i))]


def test_apps_beyond_the_limit_are_folded_in_the_order_of_their_tasks() -> None:
    reading = told(apps("a", "b", "c", "a", "d", "c"), Options(apps=2))
    assert reading.lines("parsl_tasks") == [
        '{app="a",executor="htex",state="pending"} 2',
        '{app="b",executor="htex",state="pending"} 1',
        '{app="_other",executor="htex",state="pending"} 3',
    ]
    assert reading.runs.folded == 2


def runs(*names: str) -> list[Told]:
    return [
        row
        for i, run in enumerate(names)
        for row in (
            workflow(run, began=i),
            task(0, "add", run),
            attempt(0, run=run),
            *lifecycle(0, ("pending", i), ("running", i + 1), run=run),
            sample(0, i + 1, run=run, resident=100.0),
        )
    ]


def of_runs(reading: Reading, family: str) -> list[str]:
    """Lines of a family that are not 0, with the run in place of the labels that are all the same."""
    strip = (',app="add"', ',app="_other"', ',executor="htex"', ',executor="_other"')
    lines = reading.lines(family)
    for text in strip:
        lines = [line.replace(text, "") for line in lines]
    return lines


def test_runs_beyond_the_limit_are_folded_and_say_so() -> None:
    reading = told(runs("r1", "r2", "r3"), Options(runs=1))
    assert of_runs(reading, "parsl_tasks") == [
        '{run_id="r3",state="running"} 1',
        '{run_id="_other",state="running"} 2',
    ]
    assert of_runs(reading, "parsl_task_memory_resident_bytes") == [
        '{run_id="r3"} 100',
        '{run_id="_other"} 200',
    ]
    assert of_runs(reading, "parsl_workflow_start_timestamp_seconds") == [
        f'{{run_id="r3"}} {EPOCH + 2:.0f}',
        f'{{run_id="_other"}} {EPOCH:.0f}',
    ]
    assert of_runs(reading, "parsl_workflow_last_event_timestamp_seconds") == [
        f'{{run_id="r3"}} {EPOCH + 3:.0f}',
        f'{{run_id="_other"}} {EPOCH + 2:.0f}',
    ]
    assert not any("_other" in line for line in reading.lines("parsl_workflow_info", "parsl_block_info"))
    assert reading.drawing.folds == 2


def test_counters_of_folded_runs_do_not_fall_when_one_of_them_goes() -> None:
    options = Options(runs=1, retention=RETENTION)
    reading = told(runs("r1", "r2", "r3"), options)
    before = of_runs(reading, "parsl_task_transitions_total")
    assert before[-2:] == ['{run_id="_other",state="pending"} 2', '{run_id="_other",state="running"} 2']
    reading.poll(late(workflow("r2", began=1, completed=5)))
    reading.lines("parsl_tasks")
    reading.clock = RETENTION + 1
    reading.poll()
    assert of_runs(reading, "parsl_tasks")[-1] == '{run_id="_other",state="running"} 1'
    assert of_runs(reading, "parsl_task_transitions_total") == before


def test_a_run_once_folded_stays_folded() -> None:
    reading = told(runs("r1", "r2"), Options(runs=1, retention=RETENTION))
    reading.lines("parsl_tasks")
    reading.poll(late(workflow("r2", began=1, completed=5)))
    reading.lines("parsl_tasks")
    reading.clock = RETENTION + 1
    assert of_runs(reading.poll(), "parsl_tasks") == ['{run_id="_other",state="running"} 1']


def test_a_run_that_would_go_beyond_the_limit_of_series_is_folded() -> None:
    one_run = told(runs("r1")).drawing.runs(told(runs("r1")).views(), 1_000_000)[0].series
    reading = told(runs("r1", "r2", "r3"), Options(series=2 * one_run))
    assert of_runs(reading, "parsl_tasks") == [
        '{run_id="r2",state="running"} 1',
        '{run_id="r3",state="running"} 1',
        '{run_id="_other",state="running"} 1',
    ]


def over(*names: str) -> list[Told]:
    return [workflow(run, began=int(run[1:]), completed=100) for run in names]


def kept(reading: Reading) -> list[str]:
    """The runs that have an info, and those dropped with a minus before them."""
    shown = [line.split('"')[1] for line in reading.lines("parsl_workflow_info")]
    return [*shown, *(f"-{run}" for run in sorted(reading.runs.ended))]


def test_live_runs_are_kept_and_then_the_newest_and_one_that_is_over_is_dropped() -> None:
    reading = told([*runs("r0"), *over("r1", "r2", "r3", "r4")], Options(runs=3))
    assert kept(reading) == ["r0", "r3", "r4", "-r1", "-r2"]
    assert reading.drawing.folds == 0
    assert not any("_other" in line for line in reading.lines("parsl_tasks", zeros=True))
    reading.poll(late(workflow("r5", began=5)))
    assert kept(reading) == ["r0", "r4", "r5", "-r1", "-r2", "-r3"]


def test_the_newest_by_their_first_row_is_not_the_last_inserted() -> None:
    reading = told(over("r4", "r2", "r3", "r1"), Options(runs=2))
    assert kept(reading) == ["r4", "r3", "-r1", "-r2"]


def test_a_run_without_a_workflow_row_is_as_old_as_its_first_row() -> None:
    named = runs("r1", "r2", "r3")
    orphan = [task(0, run="r"), attempt(0, run="r"), status(0, "running", 9, run="r")]
    orphan += [status(0, "pending", 1.5, run="r"), sample(0, 9, run="r")]
    for story in ([*named, *orphan], [*orphan, *named]):
        reading = told(story, Options(runs=3))
        assert {*kept(reading)} == {"r2", "r3", "r"}
        reading = told(story, Options(runs=2))
        assert {*kept(reading)} == {"r", "r3"}
    by_tables = Reading(Options(runs=2))
    by_tables.take_by_tables(as_rows([*orphan, *named]))
    assert by_tables.runs.runs["r"].first_us == (EPOCH + 1.5) * 1e6


def test_a_live_run_once_kept_stays_when_newer_ones_come() -> None:
    reading = told(runs("r1", "r2"), Options(runs=2))
    assert kept(reading) == ["r1", "r2"]
    reading.poll(late(workflow("r3", began=3), task(0, "add", "r3"), attempt(0, run="r3")))
    assert kept(reading) == ["r1", "r2"]
    assert reading.drawing.folds == 1


def test_a_kept_run_that_ends_stays_until_a_live_one_needs_its_place() -> None:
    reading = told(runs("r1", "r2"), Options(runs=2))
    assert kept(reading) == ["r1", "r2"]
    reading.poll(late(workflow("r1", began=0, completed=5)))
    assert kept(reading) == ["r1", "r2"]
    reading.poll(late(workflow("r3", began=3)))
    assert kept(reading) == ["r2", "r3", "-r1"]
    assert reading.drawing.folds == 0
    reading.poll(late(status(1, "pending", 200, run="r1")))
    assert kept(reading) == ["r2", "r3", "-r1"]


def test_hidden_labels_say_so() -> None:
    hidden = frozenset({"user", "host", "rundir"})
    assert finished([workflow()], Options(hidden=hidden)).lines("parsl_workflow_info") == [
        '{workflow_name="wf",workflow_version="1",host="hidden",user="hidden",rundir="hidden"} 1'
    ]
