"""What goes when a run, a block, a manager or a host has ended, and when."""

from __future__ import annotations

from one_task import ONE_TASK, RETENTION, late
from support.model_harness import ModelHarness, Options, told
from support.rows import (
    EPOCH,
    RUN,
    as_rows,
    attempt,
    block,
    node,
    status,
    task,
    workflow,
)

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
    reading = ModelHarness(Options(retention=RETENTION))
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
