"""What goes when a run, a block, a manager or a host has ended, and when."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from one_task import ONE_TASK, RETENTION, late
from support.model_harness import ModelHarness, Options, told
from support.rows import (
    EPOCH,
    RUN,
    Told,
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


@pytest.mark.parametrize("host", ["node1", "unknown"])
def test_a_host_that_lost_its_manager_goes_the_retention_time_after_its_last_try_ended(host: str) -> None:
    """Also one that is called as those are that have no name."""
    managers = [node("m", 1, host=host), node("m", 2, host=host, active=False)]
    story = [workflow(), *managers, task(0), attempt(0, host=host), status(0, "running", 1)]
    reading = told(story, Options(retention=RETENTION))
    assert shown_of_hosts(reading) == [f'{{hostname="{host}"}} 1']
    reading.clock = 2 * RETENTION
    reading.poll()
    assert shown_of_hosts(reading) == [f'{{hostname="{host}"}} 1']
    reading.poll(late(status(0, "exec_done", 2 * RETENTION)))
    assert shown_of_hosts(reading) == [f'{{hostname="{host}"}} 0']
    reading.clock = 3 * RETENTION
    reading.poll()
    assert shown_of_hosts(reading) == [f'{{hostname="{host}"}} 0']
    reading.clock += 1
    reading.poll()
    assert shown_of_hosts(reading) == []


def test_in_a_first_read_a_manager_has_been_gone_since_its_block_ended() -> None:
    story = [workflow(), block("0", "RUNNING", 1), node("m", 100), block("0", "COMPLETED", 50)]
    for clock, shown in ((50 + RETENTION, 1), (51 + RETENTION, 0)):
        reading = ModelHarness(Options(retention=RETENTION))
        reading.clock = clock
        reading.poll(as_rows(story), first=True)
        assert len(reading.lines("parsl_manager_active", zeros=True)) == shown, clock


def shown_of_hosts(reading: ModelHarness) -> list[str]:
    return reading.lines("parsl_node_tasks_running", zeros=True)


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


# --- before a first read ----------------------------------------------------------------------------------------


def first_reading(*story: Told, **options: Any) -> ModelHarness:
    """A first read that has taken the workflow rows."""
    reading = ModelHarness(Options(**options))
    reading.take(as_rows(story))
    return reading


def left(reading: ModelHarness) -> tuple[list[str], set[str], set[str]]:
    """The runs that are left, those that have ended and those that are abandoned."""
    return [*reading.runs.runs], reading.runs.ended, reading.runs.abandoned


RUNS = [workflow("over", completed=20), workflow("lives"), workflow("later", began=5, completed=30)]


def test_runs_that_ended_longer_ago_than_they_are_shown_are_not_read() -> None:
    reading = first_reading(*RUNS, retention=RETENTION)
    reading.runs.skip_ended(EPOCH + 20 + RETENTION)
    assert left(reading) == (["over", "lives", "later"], set(), set())
    reading.runs.skip_ended(EPOCH + 21 + RETENTION)
    assert left(reading) == (["lives", "later"], {"over"}, set())


def test_of_an_end_in_an_hour_that_came_twice_the_later_reading_counts() -> None:
    ended = workflow()
    ended.values["time_completed"] = "2026-11-01 01:30:00.000000"
    again = datetime(2026, 11, 1, 7, 30, tzinfo=timezone.utc).timestamp()
    reading = first_reading(ended, retention=RETENTION, zone=ZoneInfo("America/Chicago"))
    reading.runs.skip_ended(again + RETENTION)
    assert left(reading) == ([RUN], set(), set())
    reading.runs.skip_ended(again + RETENTION + 1)
    assert left(reading) == ([], {RUN}, set())


def test_runs_without_an_end_that_began_long_ago_may_be_abandoned_and_are_read_when_they_write_again() -> (
    None
):
    reading = first_reading(*RUNS, workflow("newer", began=1), abandon_after=100.0)
    assert reading.runs.maybe_abandoned(EPOCH + 100) == []
    assert reading.runs.maybe_abandoned(EPOCH + 100.5) == ["lives"]
    reading.runs.skip_abandoned(["lives"])
    assert left(reading) == (["over", "later", "newer"], set(), {"lives"})
    reading.take(late(status(0, "pending", 101, run="lives")))
    assert reading.runs.awakened == {"lives"}
    assert "lives" not in reading.runs.runs


def test_of_runs_that_are_over_or_silent_the_newest_are_kept_and_all_that_live() -> None:
    silent = [workflow("silent", began=3), workflow("as old", completed=9)]
    for number, kept in (
        (5, ["over", "lives", "later", "silent", "as old"]),
        (4, ["lives", "later", "silent", "as old"]),
        (3, ["lives", "later", "silent"]),
        (2, ["lives", "later"]),
        (1, ["lives"]),
        (0, ["lives"]),
    ):
        reading = first_reading(*RUNS, *silent)
        reading.runs.keep_newest(number, {"silent"})
        gone = {"over", "later", "silent", "as old"} - {*kept}
        assert left(reading) == (kept, gone - {"silent"}, gone & {"silent"}), number


@pytest.mark.parametrize(
    ("at", "age"), [(60, 0), (90, 30), (50, 0)], ids=["now", "ago", "ahead of the clock"]
)
def test_in_a_first_read_a_run_has_been_silent_since_its_newest_stamp(at: float, age: float) -> None:
    reading = ModelHarness(Options(abandon_after=100.0))
    reading.clock = at
    reading.poll(as_rows([workflow(), task(0), attempt(0), status(0, "pending", 60)]), first=True)
    reading.clock = at + 100 - age
    assert reading.poll().lines("parsl_tasks") != []
    reading.clock += 0.5
    assert reading.poll().lines("parsl_tasks") == []
