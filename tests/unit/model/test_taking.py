"""Rows whose stamps cannot be read yet: which have to wait, and in which order they are taken."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from support.model_harness import ModelHarness, Options
from support.rows import EPOCH, RUN, Told, as_rows, attempt, block, later, node, status, task, workflow

from parsl_exporter.base.tables import NODE

PARIS, UTC = ZoneInfo("Europe/Paris"), timezone.utc
AT_10_TO_3 = datetime(2026, 10, 25, 0, 50, tzinfo=UTC)
"""In Paris it is ten to three for the first time; ten minutes later clocks go back to two o'clock."""


def running(task_id: int, at: str, state: str = "running") -> Told:
    """A worker's row with what its clock shows in that night."""
    row = status(task_id, state, 0)
    return Told(row.table, {**row.values, "timestamp": f"2026-10-25 {at}:00.000000"})


def oldest(reading: ModelHarness) -> datetime:
    """When the task that has been running for the longest began."""
    (line,) = reading.lines("parsl_task_oldest_timestamp_seconds")
    return datetime.fromtimestamp(float(line.rpartition(" ")[2]), UTC)


def options(zone: tzinfo, **workers: tzinfo) -> Options:
    return Options(zone=zone, worker_zones=tuple(workers.items()))


def test_a_stamp_that_came_twice_waits_behind_a_row_that_waits_for_its_try_row() -> None:
    """Which may be of the same writer, and then tells of which pass it is."""
    story = [
        *(task(0), task(1), attempt(1)),
        running(0, "02:50"),
        running(1, "02:10"),
        attempt(0),
    ]
    assert oldest(ModelHarness(options(PARIS)).poll(as_rows(story))) == AT_10_TO_3


def test_a_row_that_goes_on_waiting_holds_up_no_other() -> None:
    story = [task(0), task(1), attempt(1), running(0, "02:50"), running(1, "02:10")]
    reading = ModelHarness(options(PARIS)).poll(as_rows(story))
    assert reading.lines("parsl_tasks") == ['{app="add",executor="htex",state="running"} 1']


@pytest.mark.parametrize("before", [[], [running(1, "01:55")]], ids=["alone", "beside another"])
def test_rows_that_waited_for_different_things_are_taken_as_they_were_inserted(before: list[Told]) -> None:
    """One for its executor's first block, the others for their try row."""
    reading = ModelHarness(options(UTC, htex=PARIS))
    reading.take_by_tables(as_rows([task(0), task(1), attempt(0)]))
    reading.take_by_tables(as_rows([*before, running(0, "02:50"), running(1, "02:10", "running_ended")]))
    reading.poll(as_rows([attempt(0), attempt(1), block("0", "RUNNING", 0)])[1:])
    (line,) = reading.lines("parsl_workflow_last_event_timestamp_seconds")
    assert datetime.fromtimestamp(float(line), UTC) == AT_10_TO_3 + timedelta(minutes=20)
    assert reading.lines("parsl_tasks") == [
        '{app="add",executor="htex",state="running"} 1',
        '{app="add",executor="htex",state="running_ended"} 1',
    ]


def test_rows_of_that_hour_keep_their_order_when_rows_of_finished_tasks_came_between() -> None:
    reading = ModelHarness(options(PARIS)._replace(close_after=30.0))
    done = [workflow(), task(0), attempt(0, host="h"), status(0, "exec_done", 1)]
    reading.poll(as_rows([*done, *(row for i in (1, 2) for row in (task(i), attempt(i)))]), first=True)
    reading.clock = 100
    assert reading.poll().runs.runs[RUN].tasks.finished == 1
    rows = [running(1, "02:50"), status(0, "running", 0), running(2, "02:10", "running_ended")]
    reading.take_by_tables(later(10, *rows))
    (line,) = reading.poll().lines("parsl_workflow_last_event_timestamp_seconds")
    assert datetime.fromtimestamp(float(line), UTC) == AT_10_TO_3 + timedelta(minutes=20)


def test_a_stamp_of_the_moment_at_which_that_hour_is_over_tells_of_which_pass_a_later_row_is() -> None:
    def manager(uid: str, at: str) -> Told:
        stamps = dict.fromkeys(("timestamp", "last_heartbeat"), f"2026-10-25 {at}:00.000000")
        return Told(NODE, {**node(uid, 0).values, **stamps})

    reading = ModelHarness(options(PARIS)).poll(as_rows([manager("m1", "03:00"), manager("m2", "02:10")]))
    read = [run.latest.us / 1_000_000 for run in reading.runs.runs[RUN].managers.values()]
    over = AT_10_TO_3 + timedelta(minutes=70)
    assert [datetime.fromtimestamp(us, UTC) for us in read] == [over, over - timedelta(minutes=50)]


def test_workers_of_an_executor_without_a_name_are_not_the_submit_process() -> None:
    """Their rows come late: what the submit process wrote before does not tell of which pass they are."""
    story = [task(0), attempt(0, executor=None), running(0, "02:50", "launched"), running(0, "02:10")]
    began = oldest(ModelHarness(options(PARIS)).poll(as_rows(story)))
    assert began == AT_10_TO_3 - timedelta(minutes=40)


def test_of_rows_side_by_side_each_is_read_in_the_zone_of_its_run() -> None:
    zones = (("paris*", PARIS), ("utc*", UTC))
    reading = ModelHarness(Options(zone=timezone(timedelta(hours=-6)), run_zones=zones))
    hosts = {"r1": "paris1", "r2": "utc1", "r3": "elsewhere"}
    reading.take_by_tables(as_rows([workflow(run, host=host) for run, host in hosts.items()]))
    blocks = [block(block_id, "RUNNING", 0, run=run) for block_id in "01" for run in hosts]
    reading.take_by_tables(as_rows([*blocks, *(status(0, "pending", 0, run=run) for run in hosts)]))
    for family in ("parsl_block_state_timestamp_seconds", "parsl_task_oldest_timestamp_seconds"):
        at = {dict(key)["run_id"]: value for key, value in reading.poll().series()[family].items()}
        assert at == {"r1": EPOCH - 3_600, "r2": EPOCH, "r3": EPOCH + 6 * 3_600}, family


def test_in_a_first_read_workers_rows_wait_for_the_blocks_until_all_of_these_were_taken() -> None:
    reading = ModelHarness(options(UTC, htex=PARIS))
    reading.take_by_tables(as_rows([task(0), attempt(0), running(0, "02:50")]))
    reading.runs.settle_history()
    reading.take_by_tables(as_rows([block("0", "RUNNING", 0)]))
    assert reading.runs.misread_runs() == []
    assert oldest(reading.poll()) == AT_10_TO_3
    reading = ModelHarness(options(UTC, htex=PARIS))
    reading.runs.all_blocks_taken()
    reading.take_by_tables(as_rows([task(0), attempt(0), running(0, "02:50")]))
    reading.runs.runs[RUN].settle(0.0)
    assert oldest(reading) == AT_10_TO_3 + timedelta(hours=2)
